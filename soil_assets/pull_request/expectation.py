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
from soil_assets.storage import RESERVED_NAMES

#: The check on all added batches together; it is in the facts by this name, and in no asset's specs.
TOGETHER = "training_drift"
#: The only gates that an acceptance by a person opens.
DRIFT_CHECKS = frozenset({"batch_drift", "harmless"})
ACCEPTED = ".accepted.json"
#: Name of the golden reference among the sources of training samples.
REFERENCE = "reference"

Effect = Literal["unchanged", "added", "altered"]


@dataclass(frozen=True)
class SoilYaml:
    """Raw ``soil.yaml`` at the fork point, on the compared base, and at the head of the change."""

    fork: Mapping[str, Any]
    base: Mapping[str, Any]
    head: Mapping[str, Any]

    def merged(self, key: str) -> Any:
        """Value of a key after the merge: the head's where the change altered it, else the base's."""
        return (self.head if self._altered(key) else self.base).get(key)

    def whole(self) -> dict[str, Any]:
        """The file after the merge, as main will read it."""
        keys = {k for k in {*self.base, *self.head} if k in (self.head if self._altered(k) else self.base)}
        by_key = [k for k in ("recipe", "catalogue") if k in keys and isinstance(self.merged(k), Mapping)]
        return {k: self.merged_section(k) if k in by_key else self.merged(k) for k in sorted(keys)}

    def _altered(self, key: str) -> bool:
        return (key in self.fork, self.fork.get(key)) != (key in self.head, self.head.get(key))

    def merged_section(self, key: str) -> dict[str, Any]:
        """Keys of a section after the merge, key by key."""
        fork, base, head = (_mapping(raw.get(key)) for raw in (self.fork, self.base, self.head))
        altered = {k for k in {*fork, *head} if fork.get(k) != head.get(k)}
        rest = {k: v for k, v in base.items() if k not in altered}
        return rest | {k: head[k] for k in altered if k in head}

    def altered_keys(self) -> tuple[str, ...]:
        """Top-level keys that the change alters."""
        return tuple(k for k in sorted({*self.fork, *self.head}) if self._altered(k))


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
        old = file.get("previous_filename") if file.get("status") == "renamed" else None
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
    # An acceptance is of certain bytes: where the change alters the batch, it must bring the acceptance, too.
    fresh = {
        str(f["filename"]).removeprefix(f"{folder}/").removesuffix(ACCEPTED)
        for f in files
        if str(f["filename"]).endswith(ACCEPTED) and f.get("status") in ("added", "modified")
    }
    return effects, frozenset(n for n in accepted if effects.get(n) == "unchanged" or n in fresh)


def batch_names(paths: Iterable[str]) -> set[str]:
    """Names of the batches that paths of the batch folder belong to: a folder, or a DVC pointer."""
    return {
        path.split("/", 1)[0] if "/" in path else path.removesuffix(".dvc")
        for path in paths
        if "/" in path or path.endswith(".dvc")
    }


def judged_batches(
    facts: DecisionInputs, expectation: Expectation, policy: Policy
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
    missing += [
        f"{part.name}, which is neither the golden reference nor a batch of the merge, is in the training set"
        for part in facts.training
        if part.taken and part.name != REFERENCE and part.name not in expectation.batches
    ]
    results = {b.name: b for b in facts.batches}
    training = {part.name: part for part in facts.training}
    batches = []
    for name, effect in expectation.batches.items():
        if name.strip().lower() in RESERVED_NAMES:
            missing.append(
                f"batch {name}: a batch cannot have this name, which stands for the golden reference"
            )
            continue
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
        if not held and not reasons:
            missing += _contradictions(result, expectation, policy)
        if held and part is not None and part.taken:
            missing.append(f"batch {name} is held, and yet in the training set")
        trains_on = expectation.main_trains_on
        if held and effect == "unchanged" and trains_on is not None and name in trains_on:
            missing.append(f"batch {name} is held here, and main trains on the same content")
        update = {"held": held, "part_of_change": effect != "unchanged", "page": ""}
        batches.append(result.model_copy(update=update))
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
        failed -= DRIFT_CHECKS
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


def trained_on(name: str, batches: Mapping[str, Any], passed: frozenset[str]) -> list[str]:
    """Sentences on the batches that a model says it was trained on, against those that passed.

    Parameters
    ----------
    name : str
        Of the property.
    batches : mapping
        Number of samples by batch, as the model has it.
    passed : frozenset of str
        Batches of the merge that are not held.
    """
    if not batches.get(REFERENCE):
        return [f"{name}: the uploaded model does not say that it was trained on the golden reference"]
    strangers = sorted(set(map(str, batches)) - passed - {REFERENCE})
    return [
        f"{name}: the uploaded model was trained on {stranger}, which is held or no batch of the merge"
        for stranger in strangers
    ]


def untrained(
    models: Iterable[Mapping[str, Any]], batches: Iterable[BatchResult], main_trains_on: frozenset[str] | None
) -> list[str]:
    """Sentences on batches that passed and that no model was trained on: the change's, and those main trains on."""
    used = {str(name) for counts in models for name, count in counts.items() if count}
    expected = [b for b in batches if b.part_of_change or b.name in (main_trains_on or ())]
    return [
        f"batch {b.name} passed its checks, and no uploaded model was trained on a sample of it"
        for b in expected
        if not b.held and b.name not in used and all(c.passed is not None for c in b.checks)
    ]


def _contradictions(result: BatchResult, expectation: Expectation, policy: Policy) -> list[str]:
    """Sentences on facts of a batch that do not fit checks which all passed."""
    sentences = []
    least, share = policy.quality.min_accepted, policy.quality.max_quarantined_share
    if result.accepted < max(1, least):
        sentences.append(
            f"batch {result.name} passed its checks with {result.accepted} accepted scans; the policy asks for {least}"
        )
    if result.landed and result.quarantined / result.landed > share:
        sentences.append(
            f"batch {result.name} passed its checks with {result.quarantined:,} of {result.landed:,} scans in "
            f"quarantine; the policy allows {100 * share:g} %"
        )
    if result.drift is None:
        sentences.append(f"batch {result.name} passed its checks without a drift verdict")
    accepted = result.name in expectation.accepted
    if result.drift == "fail" and policy.drift.when_drift == "hold" and not accepted:
        sentences.append(f"batch {result.name} drifts, which the policy holds, and yet its checks passed")
    return sentences


def _properties(raw: Mapping[str, Any]) -> tuple[str, ...]:
    stated = raw.get("properties", Settings.model_fields["properties"].default)
    return tuple(map(str, stated)) if isinstance(stated, (list, tuple)) else ()


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
