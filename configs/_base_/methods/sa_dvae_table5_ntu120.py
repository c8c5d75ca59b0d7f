# SA-DVAE with the hyper-parameters of the paper's Table 5, NTU-120.
fit = dict(
    method=dict(
        name="sa_dvae",
        options=dict(
            variant="fd+tc", z_r_dim=176, z_v_dim=20, beta_x=0.023, beta_y=0.011, lambda_2=0.011,
            n_d=12, epochs=10, batch_size=32, learning_rate=7.36e-5,
        ),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=5,
)
