# Table B: beta_x and beta_y on the random splits of NTU-60; lambda_2 stays the paper's.
_splits = [f"ntu60-random-{k}" for k in (1, 2, 3)]
_weights = [("0.01", "0.01"), ("0.05", "0.01"), ("0.01", "0.05"), ("0.05", "0.05"),
            ("0.1", "0.1"), ("0.2", "0.2")]

table = dict(
    title="Table B: sensitivity to beta_x and beta_y",
    runs=[
        dict(experiments=_splits),  # 0.023 and 0.011
        *(dict(
            experiments=_splits,
            suffix=f"beta-{x}-{y}",
            options=[f"fit.method.options.beta_x={x}", f"fit.method.options.beta_y={y}"],
        ) for x, y in _weights),
    ],
)
