# TDSM in a size for hundreds of clips on a CPU; _base_/methods/tdsm_full_ntu60.py has the
# published 12 blocks of width 768, 261 million parameters.
fit = dict(method=dict(name="tdsm"))
