# SynSE with its published hyper-parameters for NTU-120: 21 epochs are its 10
# cycles of 1900 steps on the 110/10 split. It needs the texts of
# _base_/text/verb_noun_parts_stsb.py. options=dict(recipe="released") adds what
# its code does beyond the paper.
fit = dict(
    method=dict(
        name="synse",
        options=dict(
            latent_dim=200, cycles=10, epochs=21, batch_size=64, learning_rate=1e-4,
            beta_x=0.03, beta_y=0.1 * 400 / 3000, kl_start=1000 / 1900,
            alignment_start=1500 / 1900,
        ),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=5,
)
