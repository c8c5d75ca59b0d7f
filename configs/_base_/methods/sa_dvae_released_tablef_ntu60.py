# SA-DVAE as released, with its script's sizes for descriptions by an LLM on NTU-60.
_base_ = ["sa_dvae_released.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=96, z_v_dim=8, n_d=4, learning_rate=4.937e-5,
)))
