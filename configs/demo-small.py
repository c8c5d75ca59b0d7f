# The demo with few clips, channels and epochs: seconds on two CPU cores. It shows
# that everything works, not how well. Its recordings are those of
# `pipeline demo-data FOLDER --performers 4 --cameras 1`.
_base_ = ["demo.py"]

backbone = dict(
    name="stgcn-smallest",
    model=dict(backbone=dict(base_channels=4), cls_head=dict(in_channels=64)),
    epochs=2,
)
fit = dict(method=dict(options=dict(epochs=3)), seeds=2)
