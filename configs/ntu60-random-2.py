# Random split 2 of 3 on NTU-60, as in the paper's Tables 6 and 7.
_base_ = [
    "_base_/datasets/ntu60.py",
    "_base_/backbones/stgcn.py",
    "_base_/text/clip_label.py",
    "_base_/methods/sa_dvae_table5_ntu60.py",
]

split = dict(name="random-2")
