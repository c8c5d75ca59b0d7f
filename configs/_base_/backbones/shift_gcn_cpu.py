# Shift-GCN with six blocks, one body and 32 frames, so that two cores can train
# it in minutes. f_x has 256 dimensions all the same.
_base_ = ["../recipes/sgd_cpu.py"]

_clip_len = 32
_bodies = 1
_epochs = 60

_to_input = [
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=_bodies),
    dict(type="PackActionInputs"),
]

backbone = dict(
    name="shift-gcn-cpu",
    model=dict(
        type="RecognizerGCN",
        backbone=dict(
            type="ShiftGCN",
            channels=[32, 32, 64, 64, 128, 256],
            strides=[1, 1, 2, 1, 2, 1],
            num_person=_bodies,
        ),
        cls_head=dict(type="GCNHead", in_channels=256),
    ),
    prepare=[dict(type="DataStep", step="shift_gcn_normalize", frames=None)],
    train_pipeline=[
        dict(type="RandomTemporalCrop", shortest=0.7),
        dict(type="RandomRotation3D", degrees=(20, 20, 20)),
        dict(type="RandomScale3D", ratio=0.2),
        dict(type="UniformSampleFrames", clip_len=_clip_len),
        *_to_input,
    ],
    test_pipeline=[
        dict(type="UniformSampleFrames", clip_len=_clip_len, num_clips=1, test_mode=True),
        *_to_input,
    ],
    epochs=_epochs,
    param_scheduler=[
        dict(type="CosineAnnealingLR", T_max=_epochs, eta_min=0, by_epoch=True,
             convert_to_iter_based=True)
    ],
)
