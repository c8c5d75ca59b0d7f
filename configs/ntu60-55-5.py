# The 55/5 split of SynSE on NTU-60, as in the paper's Tables 3 and 4.
_base_ = [
    "_base_/datasets/ntu60.py",
    "_base_/backbones/shift_gcn.py",
    "_base_/text/stsb_label.py",
    "_base_/methods/sa_dvae_table2_ntu60.py",
]

split = dict(name="55-5")
