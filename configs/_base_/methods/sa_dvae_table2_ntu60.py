# SA-DVAE with the hyper-parameters of the paper's Table 2, NTU-60.
_base_ = ["sa_dvae_published.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=160, z_v_dim=8, n_d=5, learning_rate=3.39e-5,
)))
