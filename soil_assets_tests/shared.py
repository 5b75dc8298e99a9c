"""Data sets that lie beside a checkout on some machines: the one place by which tests name them.

A module whose tests can read them says ``pytestmark = pytest.mark.shared``, so that ``make test-without-data`` runs
those tests where the folder is absent; a test skips then, or does without.
"""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
DATA = SHARED / "data"


def needs(path: Path) -> pytest.MarkDecorator:
    """Return the mark that skips a test where a file or folder is absent."""
    return pytest.mark.skipif(not path.exists(), reason=f"{path.name} is not on this machine")
