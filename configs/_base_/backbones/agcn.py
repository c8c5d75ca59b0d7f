# 2s-AGCN's joint stream: AAGCN without attention, as in mmaction2's model zoo, whose
# weights fit.
_base_ = ["aagcn.py"]

backbone = dict(name="agcn", model=dict(backbone=dict(gcn_attention=False)))
