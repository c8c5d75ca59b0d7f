# PKU-MMD, 51 classes, both phases as in the paper (28,443 instances). --raw takes
# the folder with Data/, Label/ and Split/, or one of each phase. phase may be 1,
# 2 or "both"; protocol, "cross-subject" or "cross-view", picks the split files,
# so sample_protocol has to say the same.
dataset = dict(
    name="pku-mmd",
    reader="pku_mmd",
    reader_options=dict(protocol="cross-subject", phase="both"),
    cleaning=[dict(type="keep_most_active", bodies=2)],
    sample_protocol="cross-subject",
)
