# SA-DVAE as released, with its script's sizes for descriptions by an LLM on NTU-120.
_base_ = ["sa_dvae_released.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=304, z_v_dim=12, n_d=16, batch_size=24, learning_rate=2.134e-5,
)))
