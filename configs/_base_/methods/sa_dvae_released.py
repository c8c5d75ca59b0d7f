# SA-DVAE as the released code trains it, whatever its scripts have in common. The
# recipe brings its own beta_x, beta_y and lambda_2 (0.02333, 0.01133, 0.01133).
fit = dict(
    method=dict(name="sa_dvae", options=dict(recipe="released", epochs=10, engine="fast")),
    seeds=5,
)
