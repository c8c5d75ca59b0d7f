# SA-DVAE with the hyper-parameters of the paper's Table 5, PKU-MMD.
_base_ = ["sa_dvae_published.py"]

fit = dict(method=dict(options=dict(
    z_r_dim=128, z_v_dim=16, n_d=2, batch_size=64, learning_rate=3.07e-5,
)))
