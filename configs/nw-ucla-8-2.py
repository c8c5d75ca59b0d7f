# NW-UCLA with the 2 unseen classes of PURLS, "pick up with two hands" and "sit down";
# views 1 and 2 train, view 3 tests. Sized for two CPU cores, like utd-mhad-22-5.
_base_ = [
    "_base_/datasets/nw_ucla.py",
    "_base_/backbones/stgcn_cpu.py",
    "_base_/text/minilm_label.py",
    "_base_/text/verb_noun_parts.py",
    "_base_/methods/sa_dvae.py",
    "_base_/views/f_x_masked.py",  # for SMIE's temporal constraint
]

split = dict(name="purls-8-2")
fit = dict(seeds=5)
