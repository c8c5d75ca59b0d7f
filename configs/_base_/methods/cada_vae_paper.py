# CADA-VAE with everything as in its paper and its authors' code: 64 latents,
# hidden layers, L1, three warm-ups within 100 epochs of batches of 50.
fit = dict(
    method=dict(
        name="cada_vae",
        options=dict(latent_dim=64, epochs=100, batch_size=50, learning_rate=1.5e-4),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=5,
)
