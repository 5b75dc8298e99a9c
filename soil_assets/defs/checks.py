"""Asset checks: how a gate is declared and how its result is said.

A blocking check's ``passed`` means 'this batch, or this property, goes on'. Declarative automation counts a failed
check as failed whatever its severity, while a run lets warnings through; so warnings are separate, non-blocking
checks, and both ways agree on what is released. On a partitioned asset every check carries the partitions: without
them the release of one batch would release those that were held before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from soil_assets.modeling.benchmark_judgement import CheckOutcome

#: ``AssetCheckSpec(partitions_def=)`` is a preview feature of the pinned dagster; this is its warning.
PREVIEW_WARNING = r".*Specifying a partitions_def on an AssetCheckSpec.*"


@dataclass(frozen=True)
class Gate:
    """A check that an asset declares: its name, what it asserts, whether it blocks."""

    name: str
    description: str
    blocking: bool = True


def check_specs(
    asset: str, gates: tuple[Gate, ...], partitions: dg.PartitionsDefinition[Any] | None = None
) -> list[dg.AssetCheckSpec]:
    """Return the specs of an asset's gates, partitioned as the asset is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=PREVIEW_WARNING)
        return [
            dg.AssetCheckSpec(
                gate.name,
                asset=asset,
                description=gate.description,
                blocking=gate.blocking,
                partitions_def=partitions,
            )
            for gate in gates
        ]


def passed_or_not(
    name: str, passed: bool, summary: str, metadata: Mapping[str, Any] | None = None
) -> dg.AssetCheckResult:
    """Return the result of a gate."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=bool(passed),
        severity=dg.AssetCheckSeverity.ERROR,
        description=summary,
        metadata=dict(metadata or {}),
    )


def check_results(outcomes: Iterable[CheckOutcome]) -> list[dg.AssetCheckResult]:
    """Return the results of pure check outcomes: gates where they block, warnings where they do not."""
    return [
        (passed_or_not if outcome.blocking else warning)(outcome.name, outcome.passed, outcome.summary)
        for outcome in outcomes
    ]


def warning(
    name: str, quiet: bool, summary: str, metadata: Mapping[str, Any] | None = None
) -> dg.AssetCheckResult:
    """Return the result of a non-blocking check: amber when there is something to look at."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=bool(quiet),
        severity=dg.AssetCheckSeverity.WARN,
        description=summary,
        metadata=dict(metadata or {}),
    )
