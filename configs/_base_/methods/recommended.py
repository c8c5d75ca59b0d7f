# What docs/recommended.md recommends by its measurements: this method and this gate.
_base_ = ["text_prototypes.py"]
fit = dict(gate=dict(name="left_out_classes"))
