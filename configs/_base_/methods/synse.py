# SynSE with the schedule of its 55/5 split, for hundreds of clips rather than
# tens of thousands. It needs the texts of _base_/text/verb_noun_parts.py.
fit = dict(method=dict(name="synse"))
