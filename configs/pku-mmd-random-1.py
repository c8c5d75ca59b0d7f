# Random split 1 of 3 on PKU-MMD, as in the paper's Tables 6 and 7.
_base_ = [
    "_base_/datasets/pku_mmd.py",
    "_base_/backbones/stgcn.py",
    "_base_/text/clip_label.py",
    "_base_/methods/sa_dvae_table5_pku.py",
]

split = dict(name="random-1")
