"""The rulebook: every rule of the gate as one table, for documentation and for ``which rule is this?``.

Belongs here: listing rules. Does not belong here: the rules themselves.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from soil_assets.quality.cross_rules import cross_rules
from soil_assets.quality.expectations import Expectation
from soil_assets.quality.rules import duplicate_rules, property_rules, replicate_rules, sample_rules
from soil_assets.quality.spectrum_rules import spectrum_rules
from soil_assets.quality_policy import QualityPolicy
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import Quantity
from soil_assets.spectra.catalogue import Catalogue


def all_rules(
    axis: Axis,
    quantity: Quantity,
    catalogue: Catalogue,
    policy: QualityPolicy,
    set_aside: Collection[str] = (),
) -> list[Expectation]:
    """Return every expectation of the gate, for scans of ``quantity`` as landed and a model on ``axis``.

    Impossible values of the properties in ``set_aside`` do not quarantine a scan.
    """
    return [
        *sample_rules(),
        *property_rules(catalogue, set_aside),
        *cross_rules(policy),
        *spectrum_rules(axis, quantity, policy),
        *duplicate_rules(),
        *replicate_rules(policy),
    ]


def rulebook(axis: Axis, quantity: Quantity, catalogue: Catalogue, policy: QualityPolicy) -> pd.DataFrame:
    """Return the rules as a table: ``check``, ``rule``, ``does``, ``column``, ``expected``, ``mend``.

    ``does`` is ``quarantines`` or ``warns``.
    """
    does = {"critical": "quarantines", "warning": "warns"}
    return pd.DataFrame(
        [
            {
                "check": e.check, "rule": e.rule, "does": does[e.severity], "column": e.subject or e.column,
                "expected": e.expected, "mend": e.mend,
            }
            for e in all_rules(axis, quantity, catalogue, policy)
        ]
    )  # fmt: skip
