# Clips without the frames of the largest motion and without as many others, for SMIE's
# temporal constraint; the shares are those of SMIE's code.
feature_views = dict(
    f_x_masked=[dict(type="MaskMotionFrames", motion_share=0.3, random_share=0.3, seed=0)])
