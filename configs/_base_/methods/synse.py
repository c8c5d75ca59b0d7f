# SynSE with the schedule of its 55/5 split, for hundreds of clips rather than
# tens of thousands. It needs the texts of _base_/text/verb_noun_parts.py.
fit = dict(
    method=dict(
        name="synse",
        options=dict(latent_dim=100, cycles=10, epochs=60, batch_size=32, learning_rate=1e-3),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=3,
)
