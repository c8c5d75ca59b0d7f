# NTU RGB+D 120: 113,945 clips, 120 classes. --raw takes folders or both archives,
# nturgbd_skeletons_s001_to_s017.zip and nturgbd_skeletons_s018_to_s032.zip.
dataset = dict(
    name="ntu120",
    reader="ntu",
    reader_options=dict(dataset="ntu120", num_classes=120),
    cleaning=[dict(type="keep_most_active", bodies=2)],
    sample_protocol="cross-subject",
)
