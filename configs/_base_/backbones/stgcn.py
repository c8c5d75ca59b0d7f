# mmaction2's ST-GCN at full size with the recipe of its model zoo: 100 frames,
# two bodies, 80 passes over the clips.
_to_input = [
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=2),
    dict(type="PackActionInputs"),
]

backbone = dict(
    name="stgcn",
    model=dict(
        type="RecognizerGCN",
        backbone=dict(type="STGCN", graph_cfg=dict(mode="stgcn_spatial"), num_person=2),
        cls_head=dict(type="GCNHead", in_channels=256),
    ),
    prepare=[dict(type="DataStep", step="pre_normalize_3d")],
    train_pipeline=[
        dict(type="GenSkeFeat", feats=["j"]),
        dict(type="UniformSampleFrames", clip_len=100),
        *_to_input,
    ],
    test_pipeline=[
        dict(type="GenSkeFeat", feats=["j"]),
        dict(type="UniformSampleFrames", clip_len=100, num_clips=1, test_mode=True),
        *_to_input,
    ],
    epochs=80,
    batch_size=16,
    optim_wrapper=dict(
        optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    ),
    param_scheduler=[
        dict(type="CosineAnnealingLR", eta_min=0, by_epoch=True, convert_to_iter_based=True)
    ],
    seed=0,
)
