"""Continuous validation for soil-spectroscopy models, built on Dagster assets and asset checks."""

__version__ = "0.1.0"
