# JPoSE as it is defined; recipe="released" is what the published code executes.
# It takes verb and noun apart: beside _base_/text/verb_noun_parts.py.
# Epochs and learning rate are for hundreds of clips rather than tens of thousands.
fit = dict(method=dict(name="jpose"))
