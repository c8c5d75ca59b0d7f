# CADA-VAE as SynSE's authors ran it on NTU-60: no hidden layers, no Wasserstein
# term. 30 epochs are their 10 cycles of 1700 steps on the 55/5 split.
fit = dict(
    method=dict(
        name="cada_vae",
        options=dict(
            recipe="released", latent_dim=100, cycles=10, epochs=30, batch_size=64,
            learning_rate=1e-4,
        ),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=5,
)
