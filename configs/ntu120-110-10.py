# The 110/10 split of SynSE on NTU-120, as in the paper's Tables 3 and 4.
_base_ = [
    "_base_/datasets/ntu120.py",
    "_base_/backbones/shift_gcn.py",
    "_base_/text/stsb_label.py",
    "_base_/methods/sa_dvae_table2_ntu120.py",
]

split = dict(name="110-10")
