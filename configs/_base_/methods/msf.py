# MSF with the schedule of NTU-60, for hundreds of clips rather than tens of thousands.
# Its texts are several a class side by side, as in _base_/text/label_beside_description.py.
fit = dict(method=dict(name="msf"))
