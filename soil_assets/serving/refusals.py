"""How the service says no: a status, and the same facts that every other room gives about bad input.

Belongs here: the exceptions that carry a status. Does not belong here: when they are raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soil_assets.errors import BadInput


class Refused(BadInput):  # a request is refused; the facts are those of bad input
    """A request that is not answered, with its HTTP status.

    Parameters
    ----------
    status : int
    what : str
        One sentence.
    headers : mapping of str to str, optional
        Sent along (``Retry-After``, ``WWW-Authenticate``).
    **facts
        As for :class:`BadInput`.
    """

    def __init__(
        self, status: int, what: str, *, headers: Mapping[str, str] | None = None, **facts: Any
    ) -> None:
        super().__init__(what, **facts)
        self.status = status
        self.headers = dict(headers or {})


def too_large(what: str, found: str, expected: str) -> Refused:
    """Return the refusal of something over a limit."""
    return Refused(413, what, found=found, expected=expected, mend="send it in several requests")


def status_of(error: BadInput) -> int:
    """Return the HTTP status of an error: what was sent was understood and cannot be used, unless it says more."""
    return error.status if isinstance(error, Refused) else 422


def facts_of(error: BadInput) -> dict[str, Any]:
    """Return the facts that are there, JSON-ready."""
    return {k: v for k, v in error.to_dict().items() if v is not None}
