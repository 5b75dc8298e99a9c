"""Memory of a long run: what was freed goes back to the system.

Belongs here: asking the allocators. Does not belong here: what a run keeps on purpose (``defs.kept``).

A batch makes and drops thousands of small tables; between them lie the few things that stay, so that the C library's
heap has holes and grows, although nothing leaks: a backfill of a thousand batches ended a third larger than it began.
"""

from __future__ import annotations

import ctypes
import sys


def give_memory_back() -> None:
    """Return freed memory to the system, where the allocators in use can do so; elsewhere do nothing."""
    if "pyarrow" in sys.modules:
        import pyarrow

        pyarrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # glibc has it, musl has not
        trim(0)
