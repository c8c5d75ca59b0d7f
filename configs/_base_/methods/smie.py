# SMIE as it is defined; recipe="released" is what the published code executes.
# With features of masked clips (f_x_masked) it has its temporal constraint too.
# Epochs and learning rate are for hundreds of clips rather than tens of thousands.
fit = dict(
    method=dict(
        name="smie",
        options=dict(
            recipe="paper", epochs=30, batch_size=64, learning_rate=3e-4, warm_up=0.15,
        ),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=3,
)
