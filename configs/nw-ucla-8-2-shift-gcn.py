# NW-UCLA as in nw-ucla-8-2, with f_x from Shift-GCN.
_base_ = [
    "_base_/datasets/nw_ucla.py",
    "_base_/backbones/shift_gcn_cpu.py",
    "_base_/text/minilm_label.py",
    "_base_/text/verb_noun_parts.py",
    "_base_/methods/sa_dvae.py",
]

split = dict(name="purls-8-2")
fit = dict(seeds=5)
