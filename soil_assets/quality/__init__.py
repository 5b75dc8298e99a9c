"""What a good batch is: schema, units, physical limits, spectral quality, duplicates, replicates.

Belongs here: expectations as data, the figures they are held against, the gate and the quarantine.
Does not belong here: whether a batch is *different* (``drift``) and the tool that evaluates expectations
(``adapters.great_expectations``; the gate takes it as an argument).
"""
