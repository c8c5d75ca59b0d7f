# What the head of backbone.text_supervision makes of f_x in the space of the texts, from the
# same weights; fit.features="f_x_aligned" lets methods stand on it.
feature_views = dict(f_x_aligned=dict(features="aligned"))
