# SA-DVAE with the hyper-parameters of the paper's Table F (descriptions by an LLM), NTU-60.
_base_ = ["sa_dvae_published.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=96, z_v_dim=8, n_d=4, learning_rate=4.94e-5,
)))
