# The ablation of Tables 6 and 7 on the demo: minutes on two CPU cores.
table = dict(
    title="the demo: naive alignment, FD, FD + TC",
    keep_models=True,
    runs=[dict(experiments=["demo"], variants=["naive", "fd", "fd+tc"])],
)
