# UTD-MHAD as in utd-mhad-22-5, with f_x from PoseC3D.
_base_ = [
    "_base_/datasets/utd_mhad.py",
    "_base_/backbones/posec3d_cpu.py",
    "_base_/text/minilm_label.py",
    "_base_/text/verb_noun_parts.py",
    "_base_/methods/sa_dvae.py",
]

split = dict(name="purls-22-5")
fit = dict(seeds=5)
