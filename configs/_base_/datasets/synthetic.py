# The embedded recordings of `pipeline demo-data`: NTU-format files of
# made-up people, read like any NTU folder.
dataset = dict(
    name="synthetic",
    reader="ntu",
    reader_options=dict(dataset="synthetic", num_classes=40),
    cleaning=[dict(type="keep_most_active", bodies=2)],
    sample_protocol="cross-subject",
)
