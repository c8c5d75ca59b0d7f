# ConSE on nearest class means: no training at all.
fit = dict(
    method=dict(name="conse", options=dict(top=10)),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=3,
)
