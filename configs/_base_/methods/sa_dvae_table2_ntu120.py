# SA-DVAE with the hyper-parameters of the paper's Table 2, NTU-120.
_base_ = ["sa_dvae_published.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=256, z_v_dim=32, n_d=4, learning_rate=3.48e-5,
)))
