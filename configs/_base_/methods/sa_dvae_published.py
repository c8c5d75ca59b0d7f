# What the paper's Tables 2, 5 and F have in common; each adds widths, n_d and
# learning rate. The fast engine with f_y in a basis of the seen texts takes a sixth of
# the time; engine="reference", text_basis=False are the same steps in full width.
fit = dict(
    method=dict(name="sa_dvae", options=dict(epochs=10, engine="fast", text_basis=True)),
    seeds=5,
)
