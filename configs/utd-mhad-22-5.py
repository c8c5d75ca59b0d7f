# UTD-MHAD with the 5 unseen classes of PURLS: throw, tennis swing, push,
# sit to stand, stand to sit. A quarter of an hour on two CPU cores.
_base_ = [
    "_base_/datasets/utd_mhad.py",
    "_base_/backbones/stgcn_cpu.py",
    "_base_/text/minilm_label.py",
    "_base_/text/verb_noun_parts.py",
    "_base_/methods/sa_dvae.py",
    "_base_/views/f_x_masked.py",  # for SMIE's temporal constraint
]

split = dict(name="purls-22-5")
fit = dict(seeds=5)
