# STGCN++ as small as stgcn_cpu, and trained like it.
_base_ = ["stgcn_cpu.py"]

backbone = dict(
    name="stgcnpp-cpu",
    model=dict(
        backbone=dict(
            gcn_adaptive="init",
            gcn_with_res=True,
            tcn_type="mstcn",
            graph_cfg=dict(mode="spatial"),
        ),
    ),
)
