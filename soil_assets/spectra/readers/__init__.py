"""One module a file format, each turning bytes into :class:`~soil_assets.spectra.readers.scans.Scans`.

Belongs here: formats, their checks, and what their headers tell. Does not belong here: which reader a file
needs (``spectra.read``), whether spectra are good (``quality``) and lab tables (``spectra.lab``).
"""
