# SA-DVAE as released, with its script's sizes for the random splits of NTU-60.
_base_ = ["sa_dvae_released.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=224, z_v_dim=16, n_d=7, learning_rate=3.596e-5,
)))
