# SA-DVAE with the hyper-parameters of the paper's Table F (descriptions by an LLM), NTU-120.
_base_ = ["sa_dvae_published.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=304, z_v_dim=12, n_d=16, batch_size=24, learning_rate=2.13e-5,
)))
