# CADA-VAE as SynSE's authors ran it on NTU-120: no hidden layers, no Wasserstein
# term. 21 epochs are their 10 cycles of 1900 steps on the 110/10 split.
fit = dict(
    method=dict(
        name="cada_vae",
        options=dict(
            recipe="released", latent_dim=200, cycles=10, epochs=21, batch_size=64,
            learning_rate=1e-4, beta=0.03, kl_start=1000 / 1900, alignment_start=1500 / 1900,
        ),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=5,
)
