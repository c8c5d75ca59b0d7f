# UTD-MHAD, its bodies turned to face the sensor in every frame (the paper's
# Appendix C.1) before the normalization that turns the clip by its first frame.
_base_ = ["utd-mhad-22-5.py"]

backbone = dict(
    prepare=[
        dict(type="DataStep", step="canonicalize", mode="frame", sigma=10.0),
        dict(type="DataStep", step="pre_normalize_3d"),
    ],
)
