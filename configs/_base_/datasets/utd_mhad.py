# UTD-MHAD: 861 clips, 27 classes, 8 subjects; odd subjects train.
dataset = dict(
    name="utd-mhad",
    reader="utd_mhad",
    cleaning=[dict(type="keep_most_active", bodies=1)],
    sample_protocol="cross-subject",
)
