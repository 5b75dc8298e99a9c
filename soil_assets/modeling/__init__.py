"""Models worth registering: learners, validation, metrics, intervals, applicability and comparison.

Pure: numbers and tables in, values out. No orchestration, no registry, no files but a model's own artifact.
"""
