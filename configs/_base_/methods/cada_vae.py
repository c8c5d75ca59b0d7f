# CADA-VAE as its paper has it, but with a learning rate for hundreds of clips
# rather than tens of thousands.
fit = dict(method=dict(name="cada_vae"))
