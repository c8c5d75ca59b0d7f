# PoseC3D (mmaction2's SlowOnly on heatmaps of joints) with the recipe of its model
# zoo: 48 frames of 56 x 56, 240 passes over the clips, 10 sampled clips and their
# mirror images at test time; f_x has 512 dimensions. The zoo's detector gives 17
# joints in the image, ours are the data set's: seen from the sensor, without
# perspective (see data/projection.py). Where left and right tell classes apart, drop
# Flip from the training and double=True from the test. The zoo's learning rate of 0.2 is
# for 8 x 16 clips a step; this is it for 16.
_to_input = [
    dict(type="FormatShape", input_format="NCTHW_Heatmap"),
    dict(type="PackActionInputs"),
]

backbone = dict(
    name="posec3d",
    model=dict(
        type="Recognizer3D",
        backbone=dict(
            type="ResNet3dSlowOnly",
            depth=50,
            pretrained=None,
            base_channels=32,
            num_stages=3,
            out_indices=(2,),
            stage_blocks=(4, 6, 3),
            conv1_stride_s=1,
            pool1_stride_s=1,
            inflate=(0, 1, 1),
            spatial_strides=(2, 2, 2),
            temporal_strides=(1, 1, 2),
            dilations=(1, 1, 1),
        ),
        cls_head=dict(type="I3DHead", in_channels=512, dropout_ratio=0.5),
    ),
    prepare=[dict(type="OrthographicView")],
    train_pipeline=[
        dict(type="UniformSampleFrames", clip_len=48),
        dict(type="PoseDecode"),
        dict(type="PoseCompact", hw_ratio=1.0, allow_imgpad=True),
        dict(type="Resize", scale=(-1, 64)),
        dict(type="RandomResizedCrop", area_range=(0.56, 1.0)),
        dict(type="Resize", scale=(56, 56), keep_ratio=False),
        dict(type="Flip", flip_ratio=0.5),
        dict(type="GeneratePoseTarget", sigma=0.6, use_score=True),
        *_to_input,
    ],
    test_pipeline=[
        dict(type="UniformSampleFrames", clip_len=48, num_clips=10, test_mode=True),
        dict(type="PoseDecode"),
        dict(type="PoseCompact", hw_ratio=1.0, allow_imgpad=True),
        dict(type="Resize", scale=(-1, 64)),
        dict(type="CenterCrop", crop_size=64),
        dict(type="GeneratePoseTarget", sigma=0.6, use_score=True, double=True),
        *_to_input,
    ],
    epochs=240,
    batch_size=16,
    optim_wrapper=dict(
        optimizer=dict(type="SGD", lr=0.025, momentum=0.9, weight_decay=3e-4),
        clip_grad=dict(max_norm=40, norm_type=2),
    ),
    param_scheduler=[
        dict(type="CosineAnnealingLR", eta_min=0, by_epoch=True, convert_to_iter_based=True)
    ],
    seed=0,
)
