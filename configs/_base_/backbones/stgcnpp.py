# mmaction2's STGCN++ at full size, its input and its recipe those of ST-GCN: the
# weights of the model zoo's joint stream fit.
_base_ = ["stgcn.py"]

backbone = dict(
    name="stgcnpp",
    model=dict(
        backbone=dict(
            gcn_adaptive="init",
            gcn_with_res=True,
            tcn_type="mstcn",
            graph_cfg=dict(mode="spatial"),
        ),
    ),
)
