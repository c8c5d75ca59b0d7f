# SA-DVAE (FD + TC) with the paper's sizes and weights (Table 2). Epochs and
# learning rate are for hundreds of clips rather than tens of thousands.
fit = dict(
    method=dict(
        name="sa_dvae",
        options=dict(
            variant="fd+tc", z_r_dim=160, z_v_dim=8, beta_x=0.023, beta_y=0.011, lambda_2=0.011,
            n_d=5, epochs=25, batch_size=32, learning_rate=1e-3, engine="fast",
        ),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=3,
)
