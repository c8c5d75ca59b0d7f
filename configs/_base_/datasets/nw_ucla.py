# NW-UCLA: 10 classes, 10 subjects, 3 views; views 1 and 2 train.
dataset = dict(
    name="nw-ucla",
    reader="nw_ucla",
    cleaning=[dict(type="keep_most_active", bodies=1)],
    sample_protocol="cross-view",
)
