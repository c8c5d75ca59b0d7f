# NTU RGB+D: 56,578 clips without those of the authors' list of missing
# skeletons, 60 classes. --raw takes the folder or nturgbd_skeletons_s001_to_s017.zip.
dataset = dict(
    name="ntu60",
    reader="ntu",
    reader_options=dict(dataset="ntu60", num_classes=60),
    cleaning=[dict(type="keep_most_active", bodies=2)],
    sample_protocol="cross-subject",
)
