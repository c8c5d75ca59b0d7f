"""Hyper-parameter search on the calibration phase, shared through Optuna's storage.

``space`` is what a search consists of, ``storage`` where it is kept, ``worker`` the loop
of a process, and the others what is made of the outcome.
"""
