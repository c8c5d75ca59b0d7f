# The ablation "naive" of Tables 6 and 7: naive alignment: no z_v, no D_T.
_base_ = ["sa_dvae.py"]

fit = dict(method=dict(options=dict(variant="naive")))
