# Shift-GCN trained by the seen classes' texts alone, with the settings of PGFA (IEEE TIP
# 2025) for NTU-60 and PKU-MMD; for NTU-120 its learning rate is 0.005. PGFA stretches 50
# frames to 64, leaves short last batches out and has a temperature that it means to learn
# but does not: that is learn_temperature=False, the default.
_base_ = ["shift_gcn.py"]

_to_input = [
    dict(type="UniformSampleFrames", clip_len=64),
    dict(type="PoseDecode"),
    dict(type="FormatGCNInput", num_person=2),
    dict(type="PackActionInputs"),
]
_normalize = dict(type="DataStep", step="shift_gcn_normalize", frames=None)

backbone = dict(
    name="shift-gcn-text-supervised",
    text_supervision=dict(cross_entropy=0.0),
    train_pipeline=[_normalize, *_to_input],
    test_pipeline=[
        _normalize,
        dict(type="UniformSampleFrames", clip_len=64, num_clips=1, test_mode=True),
        *_to_input[1:],
    ],
    epochs=50,
    batch_size=128,
    optim_wrapper=dict(optimizer=dict(lr=0.05, weight_decay=5e-4, nesterov=False)),
    param_scheduler=[dict(type="LinearLR", start_factor=1e-3, end=5, by_epoch=True)],
)
