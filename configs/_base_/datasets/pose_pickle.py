# Any data set as mmaction2's and pyskl's pickle of 3D skeletons; here NTU-60. For one of
# your own see configs/my-own-data.py and docs/your-own-recordings.md. Which clips train is
# said by sample_protocol="cross-subject" with train=[subjects], whom annotations or
# name_pattern in reader_options tell; by "listed" with train_split in reader_options, the
# name of the pickle's own split; or "random-clips" draws them.
dataset = dict(
    name="ntu60",
    reader="pose_pickle",
    reader_options=dict(dataset="ntu60", layout="nturgb+d", train_split=None),
    cleaning=[dict(type="keep_most_active", bodies=2)],
    sample_protocol="cross-subject",
)
