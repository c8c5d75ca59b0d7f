"""Caches to and from the folders and files that other people work with.

``synse`` is the lineage of SynSE (synse-zsl, MSF, SA-DVAE): directories of
``train``, ``ztest``, ``gtest``, ``val`` and ``_out`` arrays. ``npz`` is one plain
file a phase, ``mapping`` takes arrays of one's own, ``smie`` and ``table`` only
go out. Nothing here ever unpickles.
"""
