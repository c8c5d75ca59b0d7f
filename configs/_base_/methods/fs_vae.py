# FS-VAE with the schedule of NTU-60, for hundreds of clips rather than tens of thousands.
# It reads three texts a class side by side: _base_/text/clip_label_description_motion.py.
fit = dict(method=dict(name="fs_vae"))
