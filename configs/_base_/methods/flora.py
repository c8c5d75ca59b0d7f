# Flora in a size for hundreds of clips; _base_/methods/flora_ntu60.py is the published one.
fit = dict(method=dict(name="flora"))
