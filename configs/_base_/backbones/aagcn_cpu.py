# AAGCN as small as stgcn_cpu, and trained like it.
_base_ = ["stgcn_cpu.py"]

backbone = dict(
    name="aagcn-cpu",
    model=dict(
        backbone=dict(type="AAGCN", graph_cfg=dict(mode="spatial")),
    ),
)
