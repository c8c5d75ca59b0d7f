# SA-DVAE as released, with its script's sizes for the splits of SynSE on NTU-60.
_base_ = ["sa_dvae_released.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=160, z_v_dim=8, n_d=5, learning_rate=3.389e-5,
)))
