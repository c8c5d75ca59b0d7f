# Shift-GCN as its authors publish it (joint stream, two bodies, 300 frames), so
# that their weights fit; f_x has 256 dimensions. To train one's own, the recipe
# that Neuron (CVPR 2025) gives for its backbone: SGD, 110 epochs, steps at 60, 80
# and 100, random rotation. Neuron samples 64 frames where this repeats the clip to
# fill 300, which is several times the work: for that, frames=None and, after the
# rotation, dict(type="UniformSampleFrames", clip_len=64).
_epochs = 110

# Each time rather than in prepare, which holds its results: those of NTU-60 are 7 GB.
_normalize = dict(type="DataStep", step="shift_gcn_normalize", frames=300)
_to_input = [
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=2),
    dict(type="PackActionInputs"),
]

backbone = dict(
    name="shift-gcn",
    model=dict(
        type="RecognizerGCN",
        backbone=dict(
            type="ShiftGCN",
            channels=[64, 64, 64, 64, 128, 128, 128, 256, 256, 256],
            strides=[1, 1, 1, 1, 2, 1, 1, 2, 1, 1],
            num_person=2,
        ),
        cls_head=dict(type="GCNHead", in_channels=256),
    ),
    prepare=[],
    train_pipeline=[
        _normalize,
        dict(type="RandomRotation3D", degrees=(17, 17, 17)),
        *_to_input,
    ],
    test_pipeline=[_normalize, *_to_input],
    epochs=_epochs,
    batch_size=64,
    optim_wrapper=dict(
        optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)
    ),
    param_scheduler=[
        dict(type="MultiStepLR", milestones=[60, 80, 100], gamma=0.1, by_epoch=True)
    ],
    seed=0,
)
