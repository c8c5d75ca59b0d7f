# SA-DVAE with the hyper-parameters of the paper's Table 2, NTU-60.
fit = dict(
    method=dict(
        name="sa_dvae",
        options=dict(
            variant="fd+tc", z_r_dim=160, z_v_dim=8, beta_x=0.023, beta_y=0.011, lambda_2=0.011,
            n_d=5, epochs=10, batch_size=32, learning_rate=3.39e-5,
        ),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=5,
)
