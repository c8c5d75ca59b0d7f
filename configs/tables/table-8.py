# Table 8: what C_s reads, f_x or z_r.
_splits = [f"{name}-random-{k}" for name in ("ntu60", "ntu120", "pku-mmd") for k in (1, 2, 3)]

table = dict(
    title="Table 8: GZSL accuracy by what the seen classifier reads",
    runs=[
        dict(experiments=_splits),
        dict(experiments=_splits, suffix="z_r", seen_classifier="z_r"),
    ],
)
