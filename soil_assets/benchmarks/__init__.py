"""Official benchmark definitions, and the benches behind ``soil bench``.

Belongs here: frozen sets with checksums, published results, and measurements with a named peer in the same run.
Does not belong here: science that anything else calls.
"""
