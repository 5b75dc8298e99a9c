"""One file per outside tool, each imported inside the function that needs it.

Belongs here: the translation between our tables and one tool's objects. Does not belong here: science.
"""
