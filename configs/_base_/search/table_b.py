# The grid on which the seven pairs of the paper's Table B lie. Everything else is the
# experiment's; lambda_2 is tied to beta_y, as in the search.
search = dict(
    title="Sensitivity to beta_x and beta_y, the grid of Table B",
    objective="gzsl_harmonic_mean",
    steps=[
        dict(
            name="betas",
            sampler="grid",
            seeds=3,
            space=dict(
                beta_x=dict(type="grid", values=[0.01, 0.023, 0.05, 0.1, 0.2]),
                beta_y=dict(type="grid", values=[0.01, 0.011, 0.05, 0.1, 0.2]),
            ),
            ties=dict(lambda_2="beta_y"),
        ),
    ],
)
