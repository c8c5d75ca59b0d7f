# SA-DVAE as released, with its script's sizes for the random splits of NTU-120.
_base_ = ["sa_dvae_released.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=176, z_v_dim=20, n_d=12, learning_rate=7.361e-5,
)))
