# SA-DVAE with the hyper-parameters of the paper's Table 5, NTU-60.
_base_ = ["sa_dvae_published.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=224, z_v_dim=16, n_d=7, learning_rate=3.60e-5,
)))
