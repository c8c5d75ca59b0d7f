# Table D: with and without pose canonicalization (Appendix C.1), in every frame.
_splits = [f"{name}-random-{k}" for name in ("ntu60", "ntu120", "pku-mmd") for k in (1, 2, 3)]
_prepare = [
    dict(type="DataStep", step="canonicalize", mode="frame", sigma=10.0),
    dict(type="DataStep", step="pre_normalize_3d"),
]

table = dict(
    title="Table D: ZSL accuracy with pose canonicalization",
    runs=[
        dict(experiments=_splits),
        dict(experiments=_splits, suffix="canonical", options=[f"backbone.prepare={_prepare}"]),
    ],
)
