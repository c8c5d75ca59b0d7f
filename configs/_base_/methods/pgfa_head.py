# PGFA's head on features that stay as they are; recipe="released" keeps its temperature fixed.
fit = dict(method=dict(name="pgfa_head"))
