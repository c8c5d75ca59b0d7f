# The 55/5 split of SynSE on NTU-60 as in ntu60-55-5, with a backbone that is trained by
# the texts of the 55 seen classes. For another split, that experiment's data set and split.
_base_ = [
    "_base_/datasets/ntu60.py",
    "_base_/backbones/shift_gcn_text_supervised.py",
    "_base_/text/stsb_label.py",
    "_base_/methods/pgfa_head.py",
    "_base_/views/f_x_aligned.py",
]

split = dict(name="55-5")
