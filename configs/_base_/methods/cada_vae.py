# CADA-VAE as its paper has it, but with a learning rate for hundreds of clips
# rather than tens of thousands.
fit = dict(
    method=dict(
        name="cada_vae",
        options=dict(latent_dim=64, epochs=100, batch_size=50, learning_rate=1e-3),
    ),
    gate=dict(name="domain_classifier"),
    protocol="strict",
    seeds=3,
)
