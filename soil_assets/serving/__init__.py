"""Answering requests with registered models.

Belongs here: what runs where predictions are served. Does not belong here: training, gates, dagster.
"""
