# ReViSE as it is defined; recipe="released" is what the published code executes.
# Epochs and learning rate are for hundreds of clips rather than tens of thousands.
fit = dict(method=dict(name="revise"))
