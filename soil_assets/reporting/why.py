"""One sample's path through every gate, told so that its owner understands where it is and why.

Belongs here: finding a sample in what the gates recorded and telling it in order. Does not belong here:
reading those records from anywhere (the caller hands them in), judging anything again.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from soil_assets.errors import BadInput
from soil_assets.reporting.decision_inputs import plain
from soil_assets.reporting.document import Block, Bullets, Code, Document, Heading, Paragraph, Table, Text
from soil_assets.reporting.numerals import count

Outcome = Literal[
    "landed", "accepted", "quarantined", "passed", "held", "not judged", "taken", "left out", "measured"
]
#: The order of the gates; records of one batch are told in this order.
GATES = ("landing", "quality", "release", "drift", "training", "benchmark")


@dataclass(frozen=True)
class BatchRecord:
    """What the gates recorded about one batch.

    Parameters
    ----------
    batch : str
        Its name.
    landed : DataFrame
        One row a landed scan, at least ``sample_id``; ``source_file``, ``source_row`` where known.
    quarantine : DataFrame
        One row a quarantined scan: ``sample_id``, ``rules``, ``found``, ``expected``, ``mend`` ...
    warnings : DataFrame or None
        Findings that only warned: ``sample_id``, ``rule``, ``found``, ``expected``.
    drift : str or None
        Verdict of the drift gate; None where the batch did not reach it.
    drift_reasons : sequence of str
        In words.
    held : bool
        Whether a gate keeps the batch's accepted scans back.
    outliers : sequence of str
        Sample ids that the drift or applicability gate names as furthest out.
    training : bool or None
        Whether the batch's accepted scans are in the training set; None where no training set was made since.
    why : str
        Why it is, or is not.
    """

    batch: str
    landed: pd.DataFrame
    quarantine: pd.DataFrame
    warnings: pd.DataFrame | None = None
    drift: str | None = None
    drift_reasons: Sequence[str] = ()
    held: bool = False
    outliers: Sequence[str] = ()
    training: bool | None = None
    why: str = ""


@dataclass(frozen=True)
class Step:
    """One gate that one scan met."""

    batch: str
    gate: str
    outcome: Outcome
    words: str
    scan: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Path:
    """Everything that is known of a sample, batch by batch in the order given, gate by gate."""

    sample_id: str
    steps: tuple[Step, ...]

    @property
    def where(self) -> str:
        """Where the sample is now, in one sentence."""
        told = []
        for batch in dict.fromkeys(step.batch for step in self.steps):
            mine = [step for step in self.steps if step.batch == batch]
            waiting = sum(step.outcome == "quarantined" for step in mine)
            waiting -= sum(step.gate == "release" for step in mine)
            words = _ENDS[mine[-1].outcome]
            if waiting > 0 and mine[-1].outcome != "quarantined":
                words += f", {count(waiting, 'scan')} of it in quarantine"
            told.append(f"{words} ({batch})")
        return f"{self.sample_id} is {'; '.join(told)}."

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "sample_id": self.sample_id,
            "where": self.where,
            "steps": [{k: v for k, v in vars(step).items() if v != ""} for step in self.steps],
        }

    def to_text(self) -> str:
        """Return the path as lines for a terminal."""
        lines, batch = [self.where], None
        for step in self.steps:
            if step.batch != batch:
                batch = step.batch
                lines += ["", f"batch {batch}"]
            scan = f" [{step.scan}]" if step.scan else ""
            lines.append(f"  {step.gate:<10}{step.outcome:<12}{step.words}{scan}")
            if step.mend:
                lines.append(f"  {'':<10}{'to mend:':<12}{step.mend}")
        return "\n".join(lines) + "\n"

    def document(self) -> Document:
        """Return the path as a page."""
        rows: list[list[Text]] = [
            [Code(s.batch), s.gate, s.outcome, s.words + (f" [{s.scan}]" if s.scan else ""), s.mend or "-"]
            for s in self.steps
        ]
        blocks: list[Block] = [
            Heading(("Sample ", Code(self.sample_id)), 1),
            Paragraph(self.where),
            Table(("Batch", "Gate", "Outcome", "Why", "Needs fixing"), rows),
        ]
        mends = [step.mend for step in self.steps if step.mend]
        if mends:
            blocks += [Heading("What to do"), Bullets(list(dict.fromkeys(mends)))]
        return Document(f"Sample {self.sample_id}", tuple(blocks))


_ENDS: dict[Outcome, str] = {
    "landed": "landed and not judged yet",
    "accepted": "accepted",
    "quarantined": "in quarantine",
    "passed": "accepted and past the drift gate",
    "held": "held by the drift gate",
    "not judged": "accepted, drift not judged",
    "taken": "in the training set",
    "left out": "accepted, not in the training set",
    "measured": "in the benchmark",
}


def trace(
    sample_id: str,
    records: Sequence[BatchRecord],
    *,
    benchmark: Sequence[str] = (),
    released: Sequence[tuple[str, str, str, str]] = (),
) -> Path:
    """Follow one sample through what the gates recorded.

    Parameters
    ----------
    sample_id : str
        As written in the files; spaces around it and Unicode's composed forms do not matter.
    records : sequence of BatchRecord
        In the order in which the batches landed.
    benchmark : sequence of str
        Ids of the frozen benchmark.
    released : sequence of (batch, sample_id, who, why)
        Releases from quarantine, in their order.

    Returns
    -------
    Path

    Raises
    ------
    BadInput
        When no batch and no benchmark knows the id; the nearest known ids are named.
    """
    wanted = _normal(sample_id)
    steps: list[Step] = []
    for record in records:
        steps += _steps(wanted, record, released)
    if any(_normal(known) == wanted for known in benchmark):
        steps.append(
            Step(
                "benchmark", "benchmark", "measured", "frozen: models are measured on it, never trained on it"
            )
        )
    if not steps:
        known = {str(i) for r in records for i in r.landed["sample_id"].dropna()} | set(benchmark)
        near = difflib.get_close_matches(wanted, sorted(known), n=3, cutoff=0.6)
        raise BadInput(
            "no batch has such a sample",
            found=sample_id,
            expected=f"a landed sample_id, such as {', '.join(near)}" if near else "a landed sample_id",
            mend="check the spelling, or whether its batch has landed",
        )
    return Path(sample_id.strip(), tuple(steps))


def _steps(wanted: str, record: BatchRecord, released: Sequence[tuple[str, str, str, str]]) -> list[Step]:
    landed = record.landed[_is(record.landed, wanted)]
    quarantined = record.quarantine[_is(record.quarantine, wanted)]
    if landed.empty and quarantined.empty:
        return []
    name = record.batch
    steps = [Step(name, "landing", "landed", count(max(len(landed), 1), "scan"), _places(landed))]
    for row in plain(quarantined.to_dict("records")):
        words = f"{_text(row, 'rules')}: found {_text(row, 'found')}, expected {_text(row, 'expected')}"
        steps.append(Step(name, "quality", "quarantined", words, _place(row), _text(row, "mend", "")))
    release = [
        (who, why) for batch, sample, who, why in released if batch == name and _normal(sample) == wanted
    ]
    steps += [Step(name, "release", "accepted", f"released by {who}: {why}") for who, why in release]
    accepted = len(landed) - len(quarantined)
    if accepted > 0:
        steps.append(Step(name, "quality", "accepted", f"{accepted} of {count(len(landed), 'scan')}"))
        steps += [
            Step(name, "quality", "accepted", f"warning: {words}") for words in _warnings(wanted, record)
        ]
    if accepted > 0 or release:
        steps += _later(wanted, record)
    return steps


def _later(wanted: str, record: BatchRecord) -> list[Step]:
    steps: list[Step] = []
    outcome: Outcome
    if record.drift is not None:
        outcome = "held" if record.held else "not judged" if record.drift == "not_judged" else "passed"
        words = f"the batch's drift verdict is {record.drift.replace('_', ' ')}"
        words += f": {'; '.join(record.drift_reasons)}" if record.drift_reasons else ""
        if any(_normal(known) == wanted for known in record.outliers):
            words += "; this sample is one of those furthest out"
        steps.append(Step(record.batch, "drift", outcome, words))
    if record.training is not None:
        outcome = "taken" if record.training else "left out"
        steps.append(Step(record.batch, "training", outcome, record.why or f"the batch is {outcome}"))
    return steps


def _warnings(wanted: str, record: BatchRecord) -> list[str]:
    if record.warnings is None or record.warnings.empty:
        return []
    rows = plain(record.warnings[_is(record.warnings, wanted)].to_dict("records"))
    return [f"{_text(r, 'rule')}: found {_text(r, 'found')}, expected {_text(r, 'expected')}" for r in rows]


def _is(table: pd.DataFrame, wanted: str) -> pd.Series[bool]:
    if table.empty or "sample_id" not in table.columns:
        return pd.Series(False, index=table.index)
    return table["sample_id"].map(lambda v: isinstance(v, str) and _normal(v) == wanted).astype(bool)


def _normal(sample_id: str) -> str:
    return unicodedata.normalize("NFC", sample_id).strip()


def _places(landed: pd.DataFrame) -> str:
    places = [_place(row) for row in plain(landed.head(6).to_dict("records"))]
    return "; ".join(p for p in places if p) + ("; …" if len(landed) > 6 else "")


def _place(row: dict[str, Any]) -> str:
    number = row.get("source_row")
    parts = [
        row.get("source_file"),
        None if number is None else f"row {number:g}" if isinstance(number, float) else f"row {number}",
    ]
    return ", ".join(str(p) for p in parts if p is not None)


def _text(row: dict[str, Any], key: str, missing: str = "nothing") -> str:
    value = row.get(key)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return missing if value is None or value == "" else str(value)
