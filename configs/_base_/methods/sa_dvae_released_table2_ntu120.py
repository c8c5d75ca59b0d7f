# SA-DVAE as released, with its script's sizes for the splits of SynSE on NTU-120.
_base_ = ["sa_dvae_released.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=256, z_v_dim=32, n_d=4, learning_rate=3.478e-5,
)))
