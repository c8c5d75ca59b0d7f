# The ablation "FD" of Tables 6 and 7: feature disentanglement without D_T.
_base_ = ["sa_dvae.py"]

fit = dict(method=dict(options=dict(variant="fd")))
