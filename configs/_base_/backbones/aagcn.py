# mmaction2's AAGCN at full size, its input and its recipe those of ST-GCN.
_base_ = ["stgcn.py"]

backbone = dict(
    name="aagcn",
    model=dict(
        backbone=dict(
            _delete_=True,
            type="AAGCN",
            graph_cfg=dict(mode="spatial"),
            num_person=2,
        ),
    ),
)
