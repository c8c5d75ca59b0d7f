# PoseC3D with one block a stage and a small first kernel, on 12 frames of 28 x 28, so
# that two cores can train it. f_x has 512 dimensions all the same. The view is turned
# at random, and nothing is mirrored: small data sets tell left from right.
_base_ = ["../recipes/sgd_cpu.py"]

_clip_len = 12
_to_heatmaps = [
    dict(type="PoseDecode"),
    dict(type="PoseCompact", hw_ratio=1.0, allow_imgpad=True),
    dict(type="Resize", scale=(28, 28), keep_ratio=False),
    dict(type="GeneratePoseTarget", sigma=0.6, use_score=True),
    dict(type="FormatShape", input_format="NCTHW_Heatmap"),
    dict(type="PackActionInputs"),
]

backbone = dict(
    name="posec3d-cpu",
    model=dict(
        type="Recognizer3D",
        backbone=dict(
            type="ResNet3dSlowOnly",
            depth=50,
            pretrained=None,
            base_channels=32,
            num_stages=3,
            out_indices=(2,),
            stage_blocks=(1, 1, 1),
            conv1_kernel=(1, 3, 3),
            conv1_stride_s=2,
            pool1_stride_s=1,
            inflate=(0, 1, 1),
            spatial_strides=(1, 2, 2),
            temporal_strides=(1, 1, 2),
            dilations=(1, 1, 1),
        ),
        cls_head=dict(type="I3DHead", in_channels=512, dropout_ratio=0.5),
    ),
    prepare=[],
    train_pipeline=[
        dict(type="RandomTemporalCrop", shortest=0.7),
        dict(type="RandomRotation3D", degrees=(10, 20, 10)),
        dict(type="RandomScale3D", ratio=0.2),
        dict(type="OrthographicView"),
        dict(type="UniformSampleFrames", clip_len=_clip_len),
        *_to_heatmaps,
    ],
    test_pipeline=[
        dict(type="OrthographicView"),
        dict(type="UniformSampleFrames", clip_len=_clip_len, num_clips=1, test_mode=True),
        *_to_heatmaps,
    ],
    epochs=40,
    optim_wrapper=dict(clip_grad=dict(max_norm=40, norm_type=2)),
)
