# Table 6: three random splits of each data set, the paper's ablation and every baseline.
# Nobody published settings of the baselines for PKU-MMD: they get those of NTU-60.
_common = dict(
    texts=["verb_noun_parts_clip"],
    views=["f_x_masked"],  # for SMIE's temporal constraint
    variants=["naive", "fd", "fd+tc"],
)

table = dict(
    title="Table 6: ZSL accuracy on random splits",
    runs=[
        dict(
            experiments=[f"{name}-random-{k}" for name in ("ntu60", "ntu120") for k in (1, 2, 3)],
            methods=["own", "revise", "jpose", "cada_vae", "synse", "smie"],
            **_common,
        ),
        dict(
            experiments=[f"pku-mmd-random-{k}" for k in (1, 2, 3)],
            methods=["own", "revise_ntu60", "jpose_ntu60", "cada_vae_ntu60", "synse_ntu60",
                     "smie_ntu60"],
            **_common,
        ),
    ],
)
