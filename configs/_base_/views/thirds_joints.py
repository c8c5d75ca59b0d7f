# Means of each joint over each third of the frames, of the same pass as f_x.
feature_views = dict(thirds_joints=dict(pool="thirds_joints"))
