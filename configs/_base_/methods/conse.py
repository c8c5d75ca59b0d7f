# ConSE on nearest class means: no training at all.
fit = dict(method=dict(name="conse"))
