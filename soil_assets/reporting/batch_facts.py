"""What the page of a batch is written from: the results of the quality and drift gates, by their shape.

Belongs here: that shape. Does not belong here: the page (``batch_page``), the gates themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd

from soil_assets.spectra.batch import SpectralBatch


class Outcome(Protocol):
    """One check's outcome (``quality.outcomes.CheckOutcome``)."""

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""

    @property
    def severity(self) -> str:
        """``critical`` when the batch as a whole is refused."""

    @property
    def quarantined(self) -> int:
        """Scans that the check quarantined; where none, it only warned."""

    @property
    def summary(self) -> str:
        """One sentence."""


class Judged(Protocol):
    """What the quality gate returns (``quality.gate.QualityResult``)."""

    @property
    def accepted(self) -> SpectralBatch:
        """Scans that go on."""

    @property
    def quarantined_batch(self) -> SpectralBatch | None:
        """Scans in quarantine, as landed."""

    @property
    def quarantine(self) -> pd.DataFrame:
        """One row a quarantined scan or file."""

    @property
    def findings(self) -> pd.DataFrame:
        """One row a finding."""

    @property
    def figures(self) -> pd.DataFrame:
        """One row a scan."""

    @property
    def counts(self) -> Mapping[str, int]:
        """``landed``, ``accepted``, ``quarantined``."""

    @property
    def notes(self) -> Sequence[str]:
        """What was read, converted or not judged."""

    @property
    def checks(self) -> Mapping[Any, Any]:
        """An :class:`Outcome` by check."""


@dataclass(frozen=True)
class DriftFacts:
    """What the drift gate said, where the batch got that far.

    ``images`` are PNGs by what they show; ``page`` and ``check_samples`` are addresses of the whole drift report and of
    the check samples' charts from this page, empty where there are none.
    """

    verdict: str
    reasons: Sequence[str] = ()
    images: Mapping[str, bytes] = field(default_factory=dict)
    page: str = ""
    check_samples: str = ""
