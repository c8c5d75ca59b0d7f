# SA-DVAE with the hyper-parameters of the paper's Table 5, NTU-120.
_base_ = ["sa_dvae_published.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=176, z_v_dim=20, n_d=12, learning_rate=7.36e-5,
)))
