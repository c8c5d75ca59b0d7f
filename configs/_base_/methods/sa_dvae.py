# SA-DVAE (FD + TC) with the paper's sizes and weights (Table 2). Epochs and
# learning rate are for hundreds of clips rather than tens of thousands.
fit = dict(method=dict(name="sa_dvae", options=dict(engine="fast")))
