# SMIE with the batch size and learning rate that were published for it on NTU-60.
# The last epoch counts; the released code reports the best one on test clips.
fit = dict(
    method=dict(
        name="smie",
        options=dict(
            recipe="paper", epochs=100, batch_size=128, learning_rate=1e-5, warm_up=0.15,
        ),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=5,
)
