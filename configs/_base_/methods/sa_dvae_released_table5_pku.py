# SA-DVAE as released, with its script's sizes for the random splits of PKU-MMD.
_base_ = ["sa_dvae_released.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=128, z_v_dim=16, n_d=2, batch_size=64, learning_rate=3.074e-5,
)))
