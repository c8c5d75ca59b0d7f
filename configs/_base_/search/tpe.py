# All of Table A in one step, by Optuna's tree-structured Parzen estimator: later trials
# learn from earlier ones. Most good weights are small, so their scale is logarithmic.
search = dict(
    title="Table A in one step, by TPE",
    objective="gzsl_harmonic_mean",
    steps=[
        dict(
            name="all",
            trials=100,
            sampler="tpe",
            space=dict(
                beta_x=dict(type="log-uniform", low=1e-3, high=1.0),
                beta_y=dict(type="log-uniform", low=1e-3, high=1.0),
                learning_rate=dict(type="exponent", low=-6, high=-3),
                batch_size=dict(type="choice", values=[32, 64, 128, 256]),
                n_d=dict(type="int", low=1, high=16),
                z_r_dim=dict(type="int", low=128, high=256, step=16),
                z_v_dim=dict(type="int", low=8, high=32, step=4),
            ),
            ties=dict(lambda_2="beta_y"),
        ),
    ],
)
