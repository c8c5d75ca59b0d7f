# Two projections into one space, trained by a symmetric InfoNCE: a plain baseline.
fit = dict(method=dict(name="infonce"))
