# ESZSL with its paper's candidates for both penalties, chosen on left-out seen
# classes. The seed only divides these.
fit = dict(
    method=dict(name="eszsl", options=dict(folds=5)),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=3,
)
