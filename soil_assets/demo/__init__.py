"""The main job on the embedded real spectra: four batches land, each meets its fate at the right gate.

Belongs here: what the demo's batches are, the order of its steps, and the table it prints.
Does not belong here: anything a real deployment runs; the demo only does by hand what the daemon does by itself.
"""
