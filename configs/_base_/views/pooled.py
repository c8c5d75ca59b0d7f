# Where on the body and when, of the same pass as f_x: means of each joint over the frames,
# and of each frame over the joints.
feature_views = dict(
    joint_means=dict(pool="joint_means"),
    frame_means=dict(pool="frame_means"))
