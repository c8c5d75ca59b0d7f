# The search of the SA-DVAE paper, its Table A: No. 2-6 stay at their initial values while
# beta_x and beta_y are sampled 5 times; then these stay and No. 2-6 are sampled 100 times.
# Both steps choose by H on the validation set.
#
# Table A has no lambda_2. All published settings have lambda_2 = beta_y (0.011), and in the
# released code it is the same variable: it is tied here.
_tied = dict(lambda_2="beta_y")

search = dict(
    title="Table A of the SA-DVAE paper",
    objective="gzsl_harmonic_mean",
    steps=[
        dict(
            name="betas",
            trials=5,
            fixed=dict(learning_rate=1e-5, batch_size=64, n_d=10, z_r_dim=192, z_v_dim=8),
            space=dict(
                beta_x=dict(type="uniform", low=0.0, high=1.0),
                beta_y=dict(type="uniform", low=0.0, high=1.0),
            ),
            ties=_tied,
        ),
        dict(
            name="rest",
            trials=100,
            space=dict(
                learning_rate=dict(type="exponent", low=-6, high=-3),
                batch_size=dict(type="choice", values=[32, 64, 128, 256]),
                n_d=dict(type="int", low=1, high=16),
                z_r_dim=dict(type="int", low=128, high=256, step=16),
                z_v_dim=dict(type="int", low=8, high=32, step=4),
            ),
            ties=_tied,
        ),
    ],
)
