"""From a registered version to live traffic: the rules of it, as values.

Belongs here: which alias may move when, what a colour slot holds, what a smoke test must show. Pure: documents and
figures in, decisions out. Does not belong here: MLflow, git and HTTP (``adapters``), and traffic itself (``serving``).
"""
