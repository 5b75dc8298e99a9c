"""Evidence that a decision must rest on, derived from main's side alone, and what of it a report lacks.

Belongs here: which properties, batches and checks a change has to show, by main's commit, main's asset graph and
GitHub's list of files; comparing a report's facts with that. Does not belong here: models and their figures
(``recomputation``), which are not taken from the report at all, and the rules (``reporting.rules``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from soil_assets.config import Policy, Settings
from soil_assets.reporting.decision_inputs import BatchResult, Check, DecisionInputs

#: The check on all added batches together; it is in the facts by this name, and in no asset's specs.
TOGETHER = "training_drift"
#: The only gate that an acceptance by a person opens.
DRIFT_CHECK = "batch_drift"
ACCEPTED = ".accepted.json"

Effect = Literal["unchanged", "added", "altered"]


@dataclass(frozen=True)
class SoilYaml:
    """Raw ``soil.yaml`` at the fork point, on the compared base, and at the head of the change."""

    fork: Mapping[str, Any]
    base: Mapping[str, Any]
    head: Mapping[str, Any]

    def merged(self, key: str) -> Any:
        """Value of a key after the merge: the head's where the change altered it, else the base's."""
        return self.head.get(key) if self.head.get(key) != self.fork.get(key) else self.base.get(key)

    def merged_section(self, key: str) -> dict[str, Any]:
        """Keys of a section after the merge, key by key."""
        fork, base, head = (_mapping(raw.get(key)) for raw in (self.fork, self.base, self.head))
        altered = {k for k in {*fork, *head} if fork.get(k) != head.get(k)}
        rest = {k: v for k, v in base.items() if k not in altered}
        return rest | {k: head[k] for k in altered if k in head}

    def altered_keys(self) -> tuple[str, ...]:
        """Top-level keys that the change alters."""
        return tuple(k for k in sorted({*self.fork, *self.head}) if self.fork.get(k) != self.head.get(k))


@dataclass(frozen=True)
class Expectation:
    """What a report of a change must hold.

    Parameters
    ----------
    properties : tuple of str
        Main's that the change does not remove, and those that it adds.
    added, removed : tuple of str
        Properties that only the change has, and that only main has.
    batches : mapping of str to {"unchanged", "added", "altered"}
        Every batch of the merge.
    accepted : frozenset of str
        Batches whose drift a person accepted, by a file of the merge.
    batch_checks, training_checks : tuple of str
        Names of the blocking checks of main's graph on each batch, and on the training set.
    main_trains_on : frozenset of str or None
        Batches that main's models were trained on; None where main's models do not say.
    removals : tuple of str
        What the change takes away from main, one sentence each.
    """

    properties: tuple[str, ...]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    batches: Mapping[str, Effect] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    batch_checks: tuple[str, ...] = ()
    training_checks: tuple[str, ...] = ()
    main_trains_on: frozenset[str] | None = None
    removals: tuple[str, ...] = ()


def properties_of(soil_yaml: SoilYaml) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Properties of the merge, those that the change adds, and those that it removes."""
    fork, base, head = (_properties(raw) for raw in (soil_yaml.fork, soil_yaml.base, soil_yaml.head))
    removed = tuple(p for p in base if p in fork and p not in head)
    added = tuple(p for p in head if p not in fork and p not in base)
    return (*(p for p in base if p not in removed), *added), added, removed


def batches_of(
    before: Iterable[str], files: Sequence[Mapping[str, Any]], folder: str, derived: Iterable[str] = ()
) -> tuple[dict[str, Effect], frozenset[str]]:
    """Batches after the change with its effect on each, and those that a person accepted.

    Parameters
    ----------
    before : iterable of str
        Paths of the batch folder before the change, relative to it.
    files : sequence of mapping
        The change's files, as GitHub lists them.
    folder : str
        The batch folder.
    derived : iterable of str
        Batches that the repository's pipeline makes; no file of git tells of them.
    """
    paths = set(before)
    names_before = batch_names(paths)
    touched = set()
    for file in files:
        old = file.get("previous_filename")
        gone = old if old else (file["filename"] if file.get("status") == "removed" else None)
        there = None if file.get("status") == "removed" else file["filename"]
        for path, present in ((gone, False), (there, True)):
            if not path or not str(path).startswith(f"{folder}/"):
                continue
            relative = str(path).removeprefix(f"{folder}/")
            touched |= batch_names([relative])
            (paths.add if present else paths.discard)(relative)
    names = batch_names(paths)
    effects: dict[str, Effect] = dict.fromkeys(derived, "unchanged")
    for name in sorted(names):
        effect: Effect = "altered" if name in names_before else "added"
        effects[name] = effect if name in touched else "unchanged"
    accepted = {p.removesuffix(ACCEPTED) for p in paths if p.endswith(ACCEPTED) and "/" not in p}
    return effects, frozenset(accepted)


def batch_names(paths: Iterable[str]) -> set[str]:
    """Names of the batches that paths of the batch folder belong to: a folder, or a DVC pointer."""
    return {
        path.split("/", 1)[0] if "/" in path else path.removesuffix(".dvc")
        for path in paths
        if "/" in path or path.endswith(".dvc")
    }


def judged_batches(
    facts: DecisionInputs, expectation: Expectation
) -> tuple[tuple[BatchResult, ...], list[str]]:
    """Batches with their fate derived from their checks, and the evidence that is missing.

    What the report says of ``held`` and ``part_of_change`` is not used.
    """
    counts = Counter(b.name for b in facts.batches)
    missing = [f"batch {name} is in the report {count} times" for name, count in counts.items() if count > 1]
    missing += [
        f"batch {name}, which is neither on main nor in the change, is in the report"
        for name in counts
        if name not in expectation.batches
    ]
    results = {b.name: b for b in facts.batches}
    training = {part.name: part for part in facts.training}
    batches = []
    for name, effect in expectation.batches.items():
        result = results.get(name)
        if result is None:
            missing.append(f"batch {name} ({effect} by this change) is not in the report")
            continue
        held, reasons = _fate(result, expectation)
        missing += reasons
        part = training.get(name)
        taken = part is not None and part.taken and part.scans > 0
        if not held and not reasons and not taken:
            missing.append(f"batch {name} passed its checks, and the training set does not hold it")
        if held and part is not None and part.taken:
            missing.append(f"batch {name} is held, and yet in the training set")
        trains_on = expectation.main_trains_on
        if held and effect == "unchanged" and trains_on is not None and name in trains_on:
            missing.append(f"batch {name} is held here, and main trains on the same content")
        batches.append(result.model_copy(update={"held": held, "part_of_change": effect != "unchanged"}))
    return tuple(batches), missing


def training_set_checks(
    facts: DecisionInputs, expectation: Expectation, policy: Policy
) -> tuple[tuple[Check, ...], list[str]]:
    """Checks on the training set as main blocks on them, and those that are missing."""
    expected = (*expectation.training_checks, TOGETHER)
    adds_data = any(effect != "unchanged" for effect in expectation.batches.values())
    checks, missing = [], []
    for name in expected:
        reported = [c for c in facts.checks if c.name == name]
        if not reported or any(c.passed is None for c in reported):
            missing.append(f"check {name} of the training set was not seen with a result")
        blocking = name != TOGETHER or (adds_data and policy.drift.when_drift == "hold")
        checks += [c.model_copy(update={"blocking": blocking}) for c in reported]
    checks += [c for c in facts.checks if c.name not in expected]
    return tuple(checks), missing


def _fate(result: BatchResult, expectation: Expectation) -> tuple[bool, list[str]]:
    """Whether a batch is held by a failed check, and which checks are missing where none failed."""
    failed = {c.name for c in result.checks if c.passed is False}
    if result.name in expectation.accepted:
        failed -= {DRIFT_CHECK}
    if failed:
        return True, []
    with_result = Counter(c.name for c in result.checks if c.passed is not None)
    absent = Counter(expectation.batch_checks) - with_result
    reasons = [
        f"batch {result.name}: check {name} was not seen with a result" for name in sorted(absent.elements())
    ]
    unjudged = {c.name for c in result.checks if c.passed is None} - set(absent)
    reasons += [f"batch {result.name}: check {name} was not judged" for name in sorted(unjudged)]
    if not expectation.batch_checks:
        reasons.append(f"batch {result.name}: main's graph names no check that it must pass")
    return False, reasons


def _properties(raw: Mapping[str, Any]) -> tuple[str, ...]:
    stated = raw.get("properties", Settings.model_fields["properties"].default) if raw else ()
    return tuple(map(str, stated)) if isinstance(stated, (list, tuple)) else ()


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
