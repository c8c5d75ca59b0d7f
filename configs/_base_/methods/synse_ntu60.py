# SynSE with its published hyper-parameters for NTU-60: 30 epochs are its 10
# cycles of 1700 steps on the 55/5 split. It needs the texts of
# _base_/text/verb_noun_parts_stsb.py. options=dict(recipe="released") adds what
# its code does beyond the paper.
fit = dict(
    method=dict(
        name="synse",
        options=dict(latent_dim=100, cycles=10, epochs=30, batch_size=64, learning_rate=1e-4),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=5,
)
