# Random split 2 of 3 on NTU-60 with f_x from PoseC3D, for the paper's Table C.
_base_ = [
    "_base_/datasets/ntu60.py",
    "_base_/backbones/posec3d.py",
    "_base_/text/clip_label.py",
    "_base_/methods/sa_dvae_table5_ntu60.py",
]

split = dict(name="random-2")
