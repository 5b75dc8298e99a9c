"""How many threads linear algebra may use.

Belongs here: that one decision. Does not belong here: parallelism over batches (the orchestrator's).
"""

from __future__ import annotations

import contextlib
from typing import Any

_SMALL = 20_000_000  # cells of a spectra matrix: 10,000 spectra of 1,701 bands


def suited_threads(cells: int) -> contextlib.AbstractContextManager[Any]:
    """Keep linear algebra on one thread while a small matrix is worked on.

    On small matrices threads wait for each other longer than they work: on two busy cores, two threads took over
    thirty times as long as one for the nested selection on 10,000 spectra.
    """
    if cells > _SMALL:
        return contextlib.nullcontext()
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1)  # type: ignore[no-any-return]
