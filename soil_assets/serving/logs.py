"""One line of JSON an event, on standard output: what platforms collect.

Belongs here: the line. It holds what it is given and nothing of a request's body or headers; callers give neither
keys nor spectra.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, TextIO

import orjson


class EventLog:
    """Writes events.

    Parameters
    ----------
    stream : file, optional
        Standard output by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def __call__(self, event: str, facts: dict[str, Any]) -> None:
        """Write one event."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        line = orjson.dumps({"time": stamp, "event": event, **facts}, default=str).decode()
        stream = self._stream or sys.stdout
        with contextlib.suppress(OSError):  # a full disk under the log must not end requests
            stream.write(line + "\n")
            stream.flush()
