# ReViSE as it is defined; recipe="released" is what the published code executes.
# Epochs and learning rate are for hundreds of clips rather than tens of thousands.
fit = dict(
    method=dict(
        name="revise",
        options=dict(
            recipe="paper", epochs=30, batch_size=64, learning_rate=1e-3,
        ),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=3,
)
