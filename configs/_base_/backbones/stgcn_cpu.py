# mmaction2's ST-GCN, six blocks deep and half as wide as the published one, so
# that two cores can train it in minutes. f_x has 256 dimensions all the same.
_base_ = ["../recipes/sgd_cpu.py"]

_clip_len = 32
_bodies = 1
_to_input = [
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=_bodies),
    dict(type="PackActionInputs"),
]

backbone = dict(
    name="stgcn-cpu",
    model=dict(
        type="RecognizerGCN",
        backbone=dict(
            type="STGCN",
            graph_cfg=dict(mode="stgcn_spatial"),
            base_channels=32,
            num_stages=6,
            inflate_stages=[2, 3, 5],
            down_stages=[2, 3, 5],
            num_person=_bodies,
        ),
        cls_head=dict(type="GCNHead", in_channels=256),
    ),
    prepare=[dict(type="PreNormalize3D")],
    train_pipeline=[
        dict(type="RandomTemporalCrop", shortest=0.7),
        dict(type="RandomRotation3D", degrees=(20, 20, 20)),
        dict(type="RandomScale3D", ratio=0.2),
        dict(type="GenSkeFeat", feats=["j"]),
        dict(type="UniformSampleFrames", clip_len=_clip_len),
        *_to_input,
    ],
    test_pipeline=[
        dict(type="GenSkeFeat", feats=["j"]),
        dict(type="UniformSampleFrames", clip_len=_clip_len, num_clips=1, test_mode=True),
        *_to_input,
    ],
    epochs=40,
)
