# UTD-MHAD as in utd-mhad-22-5, but the seen classes' texts train the backbone together
# with the classifier, as in PGFA. fit.features="f_x_aligned" fits on what its head makes of
# f_x in the space of the texts, from the same weights.
_base_ = ["utd-mhad-22-5.py"]

backbone = dict(name="stgcn-cpu-text-supervised", text_supervision=dict())
feature_views = dict(f_x_aligned=dict(features="aligned"))  # _base_/views/f_x_aligned.py
