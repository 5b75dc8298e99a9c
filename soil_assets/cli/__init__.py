"""``soil``: the same verbs for people, CI and DVC stages. Thin: every command calls a function that others call.

Exit codes: 0 pass, 1 a gate failed, 2 bad input. ``--json`` prints one object on standard output; progress and
messages go to standard error.
"""

from soil_assets.cli.app import app, main

__all__ = ["app", "main"]
