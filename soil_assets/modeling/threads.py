"""How many threads linear algebra may use.

Belongs here: that one decision. Does not belong here: parallelism over batches (the orchestrator's).
"""

from __future__ import annotations

import contextlib
from typing import Any

_SMALL = 1_000_000  # cells of a spectra matrix


def suited_threads(cells: int) -> contextlib.AbstractContextManager[Any]:
    """Keep linear algebra on one thread while a small matrix is worked on.

    On small matrices threads wait for each other longer than they work; on a busy machine, many times longer.
    """
    if cells > _SMALL:
        return contextlib.nullcontext()
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1)  # type: ignore[no-any-return]
