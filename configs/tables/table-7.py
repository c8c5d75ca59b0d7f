# Table 7: the fits of Table 6 but SMIE, of which no GZSL figures were published.
_common = dict(
    texts=["verb_noun_parts_clip"],
    views=["f_x_masked"],
    variants=["naive", "fd", "fd+tc"],
)

table = dict(
    title="Table 7: GZSL accuracy on random splits",
    runs=[
        dict(
            experiments=[f"{name}-random-{k}" for name in ("ntu60", "ntu120") for k in (1, 2, 3)],
            methods=["own", "revise", "jpose", "cada_vae", "synse"],
            **_common,
        ),
        dict(
            experiments=[f"pku-mmd-random-{k}" for k in (1, 2, 3)],
            methods=["own", "revise_ntu60", "jpose_ntu60", "cada_vae_ntu60", "synse_ntu60"],
            **_common,
        ),
    ],
)
