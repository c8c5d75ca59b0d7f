# Table E: GZSL figures of the fits of Table D.
_base_ = ["table-d.py"]

table = dict(title="Table E: GZSL accuracy with pose canonicalization")
