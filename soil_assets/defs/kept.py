"""What one run over many batches reads once: models on main, the reference profile, earlier batches' scans.

Belongs here: keeping for the length of a ``with`` block. Does not belong here: what is kept. Outside such a block
everything is read anew, so that an ordinary run sees what is there now.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

Value = TypeVar("Value")
_kept: ContextVar[dict[Hashable, Any] | None] = ContextVar("kept", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """Keep what is read until the block ends: every batch in it is judged by the same models and profile."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def kept(key: Hashable, read: Callable[[], Value]) -> Value:
    """Return what was read under ``key`` in this block, else read it; outside of any block, always read."""
    store = _kept.get()
    if store is None:
        return read()
    if key not in store:
        store[key] = read()
    return cast(Value, store[key])
