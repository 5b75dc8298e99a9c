"""What does not stop the platform or its service, and what does not slip through: figures of several parts.

A part is a module with ``run()`` that returns its figures, or figures and details; ``SOIL_BENCH_PARTS`` names those to
run, all by default.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from soil_assets.benchmarks.harness import Figure
from soil_assets.errors import BadInput

PARTS = ("reboots", "leaks")


def run() -> tuple[list[Figure], dict[str, Any]]:
    """Measure every part.

    Raises
    ------
    BadInput
        For a part that there is not.
    """
    wanted = tuple(filter(None, os.environ.get("SOIL_BENCH_PARTS", "").split(","))) or PARTS
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for part in wanted:
        if part not in PARTS:
            raise BadInput("no such part of the bench", found=part, expected=", ".join(PARTS))
        measured = import_module(f"soil_assets.benchmarks.resilience_{part}").run()
        if isinstance(measured, tuple):
            measured, more = measured
            details |= more
        figures += measured
    return figures, details
