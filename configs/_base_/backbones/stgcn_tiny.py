# mmaction2's ST-GCN with few channels and early temporal strides, one body and
# 24 frames: the demo trains it twice in about three minutes on two cores.
_base_ = ["../recipes/sgd_cpu.py"]

_clip_len = 24

_to_input = [
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=1),
    dict(type="PackActionInputs"),
]

backbone = dict(
    name="stgcn-tiny",
    model=dict(
        type="RecognizerGCN",
        backbone=dict(
            type="STGCN",
            graph_cfg=dict(mode="stgcn_spatial"),
            base_channels=16,
            num_stages=5,
            inflate_stages=[2, 3, 4, 5],
            down_stages=[2, 3, 4],
            num_person=1,
        ),
        cls_head=dict(type="GCNHead", in_channels=256),
    ),
    prepare=[dict(type="PreNormalize3D")],
    train_pipeline=[
        dict(type="RandomTemporalCrop", shortest=0.8),
        dict(type="RandomRotation3D", degrees=(10, 10, 20)),
        dict(type="RandomScale3D", ratio=0.1),
        dict(type="UniformSampleFrames", clip_len=_clip_len),
        *_to_input,
    ],
    test_pipeline=[
        dict(type="UniformSampleFrames", clip_len=_clip_len, num_clips=1, test_mode=True),
        *_to_input,
    ],
    epochs=16,
    optim_wrapper=dict(optimizer=dict(weight_decay=5e-4)),
)
