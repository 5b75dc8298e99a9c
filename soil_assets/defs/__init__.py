"""The only room that imports dagster: assets, checks, sensors, jobs, partitions, resources, IO.

Belongs here: the translation of pure functions into assets and gates. An asset reads, calls, returns metadata.
Does not belong here: arithmetic, thresholds, file formats.
"""
