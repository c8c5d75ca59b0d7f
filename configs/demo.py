# The demo: everything real but the people. Minutes on two CPU cores.
_base_ = [
    "_base_/datasets/synthetic.py",
    "_base_/backbones/stgcn_tiny.py",
    "_base_/text/minilm_label.py",
    "_base_/text/verb_noun_parts.py",
    "_base_/methods/sa_dvae.py",
]

split = dict(name="default")
