# How two cores train a small backbone: SGD in small batches, a cosine to 0 by the
# last epoch. Each backbone says how many epochs.
backbone = dict(
    batch_size=16,
    optim_wrapper=dict(
        optimizer=dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=1e-3, nesterov=True)
    ),
    param_scheduler=[
        dict(type="CosineAnnealingLR", eta_min=0, by_epoch=True, convert_to_iter_based=True)
    ],
    seed=0,
)
