"""Spectra as data: axis, batch, property catalogue, readers, harmonisation.

Belongs here: what a spectrum and a soil property *are*, and how files become a :class:`SpectralBatch`.
Does not belong here: whether a batch is good (``quality``), different (``drift``) or useful (``modeling``).

``soil_assets.spectra.read(path_or_url)`` reads anything; it is looked up on first use, so that importing
the package costs nothing (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soil_assets.spectra.read import read as read

__all__ = ["read"]


def __getattr__(name: str) -> Any:
    if name == "read":
        from soil_assets.spectra.read import read

        return read
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
