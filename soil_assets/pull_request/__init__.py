"""What surrounds a pull request: what main is, what the change touches, and the one comment that tells it.

Belongs here: bringing main's models and judge beside a change (``baseline``), trusting nothing that a change's own
run wrote (``artifact``), publishing plots and keeping one comment (``poster``, ``cml``).
Does not belong here: the report (``reporting``), any single tool (``adapters``).
"""
