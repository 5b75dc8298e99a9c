"""Spectra as data: axis, batch, property catalogue, readers, harmonisation.

Belongs here: what a spectrum and a soil property *are*, and how files become a :class:`SpectralBatch`.
Does not belong here: whether a batch is good (``quality``), different (``drift``) or useful (``modeling``).
"""
