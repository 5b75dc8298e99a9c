"""Drift: a batch of spectra against a reference, judged, explained and kept apart from damage.

Belongs here: the reference profile, the tests, the verdict and the words for it; numbers and tables in,
values out. Does not belong here: plots (``reporting``), single-sample outliers (``modeling.applicability``),
gates (``defs``).
"""
