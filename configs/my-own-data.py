# Recordings of your own, to copy to any folder and change: `_base_` finds the shipped files
# from everywhere. docs/your-own-recordings.md goes this way from the first clip to the report.
_base_ = [
    "_base_/datasets/pose_pickle.py",  # the reader
    "_base_/backbones/stgcn_tiny.py",  # what makes f_x; stgcn_cpu.py and stgcn.py learn more
    "_base_/text/minilm_label.py",  # what makes f_y: the class names
    "_base_/methods/sa_dvae.py",  # what is fitted on both
]

dataset = dict(
    name="my-own-data",  # what caches, results and the report call it
    # In label order: the first has label 0. Or a text file beside this one, a name a line.
    class_names=["wave", "clap", "jump", "kick", "throw"],
    reader_options=dict(
        dataset="my-own-data",  # as above
        layout="h36m-17",  # the joints' names and order; docs/layouts.md shows those there are
    ),
    cleaning=[dict(type="keep_most_active", bodies=1)],  # people in a clip
    # Which clips train: those of some subjects. "random-clips", without `train`, draws them.
    sample_protocol="cross-subject",
    train=["p01", "p02", "p03", "p04"],  # all other subjects test
)
split = dict(
    name="own",  # what results call the split
    unseen=["kick"],  # never trained on
    # The seen class that plays the unseen one to calibrate the gate; left out, it is drawn.
    validation_unseen=["clap"],
)
backbone = dict(epochs=40)  # passes over the training clips; the fewer those, the more passes
fit = dict(seeds=5)  # as many fits; the report gives mean and standard deviation
