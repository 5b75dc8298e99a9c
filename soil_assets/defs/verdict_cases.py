"""Two runs of one asset at once, in every order and broken off anywhere: which verdict is to stand.

Belongs here: playing such a case on an instance, and saying what is to come out. Does not belong here: the rule itself
(``defs.verdicts``), which is asked and not copied.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationPlanned,
)
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData

from soil_assets.defs.gates import gate_records
from soil_assets.defs.verdict_events import report_verdict, target_of

ASSET, CHECK = "raw_spectra", "readable"
#: What a run does, in order.
_STEPS = ("plan", "materialize", "judge")


@dataclass(frozen=True)
class Case:
    """Runs at once.

    Parameters
    ----------
    order : tuple of int
        The run of each step, in the order in which steps happen; a run that is named less than three times was broken
        off.
    contents : tuple of str
        What each run materializes.
    passes : tuple of bool
        What each run's check says.
    """

    order: tuple[int, ...]
    contents: tuple[str, ...]
    passes: tuple[bool, ...]

    def expected(self) -> bool | None:
        """Return what is to stand: the newest verdict of a run that judged what was materialized last."""
        done = [0] * len(self.contents)
        latest, stands = "", {}
        for run in self.order:
            step = _STEPS[done[run]]
            done[run] += 1
            if step == "materialize":
                latest = self.contents[run]
            elif step == "judge":
                stands[self.contents[run]] = self.passes[run]
        return stands.get(latest)


def cases(runs: int = 2) -> Iterator[Case]:
    """Yield every order of the steps of so many runs, each of them broken off at any step, of equal and other bytes."""
    for lengths in itertools.product(range(1, len(_STEPS) + 1), repeat=runs):
        steps = [run for run, length in enumerate(lengths) for _ in range(length)]
        for order in sorted(set(itertools.permutations(steps))):
            for contents in itertools.product(("a", "b"), repeat=runs - 1):
                for passes in ((True,) * runs, (True,) * (runs - 1) + (False,)):
                    yield Case(order, ("a", *contents), passes)


def stands(instance: dg.DagsterInstance, case: Case, partition: str, judged_before: bool) -> bool | None:
    """Play a case on a partition of an instance; return what ``gates`` says of it.

    Parameters
    ----------
    judged_before : bool
        Whether content ``a`` was judged, and passed, before these runs.
    """
    if judged_before:
        run = _run(instance)
        for step in _STEPS:
            _do(instance, step, run, partition, "a", passed=True)
    runs = [_run(instance) for _ in case.contents]
    done = [0] * len(runs)
    for number in case.order:
        step = _STEPS[done[number]]
        _do(instance, step, runs[number], partition, case.contents[number], passed=case.passes[number])
        done[number] += 1
    for number, run in enumerate(runs):
        if done[number] < len(_STEPS):
            instance.report_run_canceled(run)
    return gate_records(instance, ASSET, [CHECK], partition)[0].passed


def displaced(instance: dg.DagsterInstance) -> tuple[int, list[str]]:
    """Return how many cases were played, and those in which another verdict stands than is to."""
    wrong: list[str] = []
    number = 0
    for case in cases():
        for before in (False, True):
            seen = stands(instance, case, f"case-{number}", before)
            wanted = case.expected()
            if wanted is None and before and _latest(case) == "a":
                wanted = True
            if seen is not wanted:
                wrong.append(f"{case}, judged before: {before}: {seen}, expected {wanted}")
            number += 1
    return number, wrong


def displaced_anew() -> tuple[int, list[str]]:
    """Return :func:`displaced` of an instance of its own."""
    with dg.DagsterInstance.ephemeral() as instance:
        return displaced(instance)


def _latest(case: Case) -> str:
    """Return what was materialized last: before the runs it was ``a``."""
    done = [0] * len(case.contents)
    latest = "a"
    for run in case.order:
        if _STEPS[done[run]] == "materialize":
            latest = case.contents[run]
        done[run] += 1
    return latest


def _run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    from dagster._core.utils import make_new_run_id

    run = dg.DagsterRun(job_name="judge_batch", run_id=make_new_run_id(), status=dg.DagsterRunStatus.STARTED)
    return instance.add_run(run)


def _do(
    instance: dg.DagsterInstance, step: str, run: dg.DagsterRun, partition: str, content: str, *, passed: bool
) -> None:
    key = dg.AssetKey(ASSET)
    if step == "judge":
        report_verdict(
            instance,
            AssetCheckEvaluation(
                asset_key=key,
                check_name=CHECK,
                passed=passed,
                metadata={},
                severity=dg.AssetCheckSeverity.ERROR,
                description=content,
                blocking=True,
                partition=partition,
                target_materialization_data=target_of(instance, ASSET, partition),
            ),
            run.run_id,
        )
        return
    if step == "plan":
        kind = DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
        planned = AssetCheckEvaluationPlanned(
            asset_key=key, check_name=CHECK, partitions_subset=DefaultPartitionsSubset({partition})
        )
        event = DagsterEvent(kind.value, job_name=run.job_name, event_specific_data=planned)
    else:
        tags = {"dagster/data_version": content, "dagster/code_version": "1"}
        value = StepMaterializationData(dg.AssetMaterialization(key, partition=partition, tags=tags))
        kind = DagsterEventType.ASSET_MATERIALIZATION
        event = DagsterEvent(kind.value, job_name=run.job_name, event_specific_data=value)
    instance.report_dagster_event(event, run_id=run.run_id)
