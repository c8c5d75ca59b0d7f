# Random split 1 of 3 on NTU-120, as in the paper's Tables 6 and 7.
_base_ = [
    "_base_/datasets/ntu120.py",
    "_base_/backbones/stgcn.py",
    "_base_/text/clip_label.py",
    "_base_/methods/sa_dvae_table5_ntu120.py",
]

split = dict(name="random-1")
