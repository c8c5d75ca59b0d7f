# Ridge regression to the text features; penalty and temperature are chosen on
# left-out seen classes. The seed only divides these.
fit = dict(
    method=dict(name="ridge", options=dict(folds=5)),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=3,
)
