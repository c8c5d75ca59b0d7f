# Any data set as mmaction2's and pyskl's pickle of 3D skeletons; here NTU-60. For
# one of your own, give it a name and class_names=[...] (or a text file with one a
# line), and in reader_options a layout (docs/layouts.md): layout="h36m-17", or
# dict(joints=[...], bones=[[child, parent], ...], center=..., spine=[lower, upper],
# shoulders=[left, right], hips=[left, right]). Which clips train is said by
# sample_protocol="cross-subject" with train=[subjects], whom annotations or
# name_pattern in reader_options tell; by "listed" with train_split in
# reader_options, the name of the pickle's own split; or "random-clips" draws them.
dataset = dict(
    name="ntu60",
    reader="pose_pickle",
    reader_options=dict(dataset="ntu60", layout="nturgb+d", train_split=None),
    cleaning=[dict(type="keep_most_active", bodies=2)],
    sample_protocol="cross-subject",
)
