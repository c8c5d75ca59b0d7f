# For some hundred clips: the paper's two steps with learning rates and widths that suit the
# demo. A trial takes about a second of one core.
_tied = dict(lambda_2="beta_y")

search = dict(
    title="The paper's two steps, for the demo",
    objective="gzsl_harmonic_mean",
    steps=[
        dict(
            name="betas",
            trials=20,
            fixed=dict(
                epochs=10, learning_rate=5e-3, batch_size=32, n_d=5, z_r_dim=64, z_v_dim=8),
            space=dict(
                beta_x=dict(type="log-uniform", low=1e-3, high=1.0),
                beta_y=dict(type="log-uniform", low=1e-3, high=1.0),
            ),
            ties=_tied,
        ),
        dict(
            name="rest",
            trials=80,
            space=dict(
                learning_rate=dict(type="exponent", low=-4, high=-2),
                batch_size=dict(type="choice", values=[32, 64]),
                n_d=dict(type="choice", values=[1, 5]),
                z_r_dim=dict(type="choice", values=[32, 64]),
                z_v_dim=dict(type="choice", values=[4, 8]),
            ),
            ties=_tied,
        ),
    ],
)
