# JPoSE with the batch size and learning rate that were published for it on NTU-120.
# synse-zsl trains for up to 2000 epochs and stops by accuracy on test clips; here
# it is 300 epochs, as long as its ReViSE. Beside _base_/text/verb_noun_parts_stsb.py.
fit = dict(
    method=dict(
        name="jpose",
        options=dict(
            recipe="paper", epochs=300, batch_size=1024, learning_rate=1e-4,
        ),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=5,
)
