# PURLS with its published optimizer, but at a constant learning rate.
fit = dict(method=dict(name="purls", options=dict(batch_size=256, learning_rate=1e-4)))
