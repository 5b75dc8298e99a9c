"""What a decision report is made from: plain facts that earlier steps computed, and nothing else.

Belongs here: the shape of those facts, their validation, their way through JSON (a report can be drawn again
from its JSON alone, which is how a pull request from a fork is shown without trusting anything it rendered).
Does not belong here: the rules (``rules``), the page (``decision``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from soil_assets.config import Policy
from soil_assets.errors import BadInput
from soil_assets.recipe_settings import MOVED
from soil_assets.reporting.numerals import finite


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: numpy unwrapped, tuples as lists, figures not finite as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return finite(value)
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return None if value is pd.NA or value is pd.NaT else str(value)


Number: TypeAlias = Annotated[float | None, BeforeValidator(finite)]
Numbers: TypeAlias = tuple[Number, ...]
Facts: TypeAlias = Annotated[dict[str, Any], BeforeValidator(plain)]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Facts):
    """One gate's outcome; ``passed`` is None where it could not be judged."""

    name: str
    passed: bool | None
    blocking: bool = True
    summary: str = ""


class BandImportance(_Facts):
    """VIP of each band of the candidate."""

    positions: Numbers
    unit: Literal["cm-1", "nm"]
    vip: Numbers

    @property
    def usable(self) -> bool:
        """Whether there is one importance a band, on a spectral axis (see ``Axis``) of at least two."""
        positions = self.positions_array
        if not len(self.vip) == positions.size > 1 or not (np.isfinite(positions) & (positions > 0)).all():
            return False
        steps = np.diff(positions)
        return bool((steps > 0).all() or (steps < 0).all())

    @property
    def positions_array(self) -> npt.NDArray[np.float64]:
        """``positions`` with NaN for what is missing."""
        return np.array([np.nan if v is None else v for v in self.positions], dtype=np.float64)

    @property
    def vip_array(self) -> npt.NDArray[np.float64]:
        """``vip`` with NaN for what is missing."""
        return np.array([np.nan if v is None else v for v in self.vip], dtype=np.float64)


class TrendPoint(_Facts):
    """The benchmark RMSE of one registered version."""

    version: str
    rmse: Number
    low: Number = None
    high: Number = None


class Stratum(_Facts):
    """RMSE of both models in a part of the benchmark, with the interval of the difference."""

    name: str
    n: Annotated[int, Field(ge=0)]
    main: Number = None
    candidate: Number = None
    low: Number = None
    high: Number = None


class Confusion(_Facts):
    """Observed (rows) against predicted (columns) class of a property that is a class, such as texture."""

    labels: tuple[str, ...]
    counts: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...]

    def model_post_init(self, _: object) -> None:
        """Refuse a table that is not square in its labels."""
        if len(self.counts) != len(self.labels) or any(len(row) != len(self.labels) for row in self.counts):
            raise ValueError(f"{len(self.labels)} classes need as many rows and columns of counts")


class PropertyResult(_Facts):
    """One property: what the candidate reaches, what main reaches, and how they compare.

    Parameters
    ----------
    name, label, unit : str
        As in the property catalogue.
    candidate, main : dict or None
        ``Evaluation.to_dict()`` (with its predictions, which the plots show); None without such a model.
    comparison : dict or None
        ``Comparison.to_dict()``; None without a main model.
    checks : tuple of Check
        The gates of this property's candidate.
    importance, trend, confusion
        What the plots of band importance, of main's history and of classes show, where known.
    strata : tuple of Stratum
        Parts of the benchmark, so that a loss in one of them is not hidden by the whole.
    identical : bool
        Whether the candidate's arrays equal main's: the change has no effect on this property.
    """

    name: str
    label: str = ""
    unit: str = ""
    candidate: Facts | None = None
    main: Facts | None = None
    comparison: Facts | None = None
    checks: tuple[Check, ...] = ()
    importance: BandImportance | None = None
    trend: tuple[TrendPoint, ...] = ()
    confusion: Confusion | None = None
    strata: tuple[Stratum, ...] = ()
    identical: bool = False


class BatchResult(_Facts):
    """One batch and its fate.

    Parameters
    ----------
    name : str
        As it landed.
    landed, accepted, quarantined : int
        Scans; landed = accepted + quarantined.
    drift : {"pass", "warn", "fail", "not_judged"} or None
        None where the batch did not get as far as the drift gate.
    reasons : tuple of str
        Why, in words.
    quarantine : tuple of dict
        One a quarantined scan: sample_id, source_file, source_row, rules, found, expected, mend.
    quarantine_omitted : int
        Quarantined scans beyond the rows of ``quarantine``, which is bounded.
    next_step : str
        What happened then.
    held : bool
        Whether a gate keeps the batch out.
    part_of_change : bool
        Whether the change under review adds this batch.
    checks : tuple of Check
        Its gates.
    page : str
        Its own page, relative to the report's; empty where there is none beside the report.
    """

    name: str
    landed: Annotated[int, Field(ge=0)]
    accepted: Annotated[int, Field(ge=0)]
    quarantined: Annotated[int, Field(ge=0)]
    drift: Literal["pass", "warn", "fail", "not_judged"] | None = None
    reasons: tuple[str, ...] = ()
    quarantine: tuple[Facts, ...] = ()
    quarantine_omitted: Annotated[int, Field(ge=0)] = 0
    next_step: str = ""
    held: bool = False
    part_of_change: bool = False
    checks: tuple[Check, ...] = ()
    page: str = ""

    def model_post_init(self, _: object) -> None:
        """Refuse counts that lose a scan."""
        if self.landed != self.accepted + self.quarantined:
            raise ValueError(
                f"batch {self.name!r}: {self.landed} landed is not "
                f"{self.accepted} accepted + {self.quarantined} quarantined"
            )


class TrainingPart(_Facts):
    """A source of training rows: taken or left out, and why."""

    name: str
    scans: Annotated[int, Field(ge=0)]
    taken: bool
    why: str = ""


def _without_recipe(policy: Any) -> Any:
    # Reports of earlier versions have the keys of the recipe, and the seed, in ``policy.model``.
    model = policy.get("model") if isinstance(policy, dict) else None
    if not isinstance(model, dict) or not MOVED.keys() & model.keys():
        return policy
    rest = {key: value for key, value in model.items() if key not in MOVED}
    return {**policy, "model": {"bootstrap_seed": model.get("seed", 20260101), **rest}}


StatedPolicy: TypeAlias = Annotated[Policy, BeforeValidator(_without_recipe)]


class Proposal(_Facts):
    """What a change would do to its own judge: shown beside the verdict, never applied.

    Parameters
    ----------
    policy : Policy
        The change's own policy.
    benchmark : tuple of str
        Changes of benchmark definitions and checksums, in words.
    properties : dict of str to dict
        By property what differs under the proposal: ``comparison``, ``candidate``, ``main``, each as in
        :class:`PropertyResult`. A property that is not here keeps its figures, but a comparison that main's
        policy made is not judged under another margin or confidence.
    """

    policy: StatedPolicy
    benchmark: tuple[str, ...] = ()
    properties: dict[str, dict[Literal["comparison", "candidate", "main"], Facts]] = Field(
        default_factory=dict
    )


class DecisionInputs(_Facts):
    """Everything a decision report says.

    Parameters
    ----------
    schema_version : int
        Rises when a field is renamed or changes its meaning, not when one with a default is added.
    candidate, main : str
        What they are called (a commit, ``soil-clay version 3``); main is empty when there is none.
    properties, batches, training : tuples
        See their classes.
    policy : Policy
        The thresholds that the verdict uses: main's.
    proposal : Proposal or None
        What the change would do to policy and benchmark, where it touches them.
    checks : tuple of Check
        Gates of no single property or batch (the training set's leakage check).
    changes : tuple of str
        What changed between main and candidate, in words.
    missing : tuple of str
        Evidence that the decision needs and that is absent, one sentence each; anything here is never a pass.
    removals : tuple of str
        Properties, benchmarks or checks of main that the change removes, one sentence each.
    versions, data_hashes, links : dict of str to str
        Code and package versions, content hashes by data set, addresses by what they lead to.
    main_versions : dict of str to str
        Package versions of main's environment, where they were read.
    reproduce : tuple of str
        Commands that give this report again.
    """

    schema_version: Literal[1] = 1
    candidate: str
    main: str = ""
    properties: tuple[PropertyResult, ...] = ()
    batches: tuple[BatchResult, ...] = ()
    training: tuple[TrainingPart, ...] = ()
    policy: StatedPolicy = Policy()
    proposal: Proposal | None = None
    checks: tuple[Check, ...] = ()
    changes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    removals: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    main_versions: dict[str, str] = Field(default_factory=dict)
    data_hashes: dict[str, str] = Field(default_factory=dict)
    links: dict[str, str] = Field(default_factory=dict)
    reproduce: tuple[str, ...] = ()

    def as_proposed(self) -> DecisionInputs | None:
        """Return the facts as the change's own policy would have them judged, or None without a proposal."""
        if self.proposal is None:
            return None
        properties = tuple(
            p.model_copy(update={str(k): v for k, v in self.proposal.properties.get(p.name, {}).items()})
            for p in self.properties
        )
        return self.model_copy(
            update={"policy": self.proposal.policy, "properties": properties, "proposal": None}
        )

    @classmethod
    def from_json(cls, text: str | bytes, file: str | None = None) -> DecisionInputs:
        """Read what ``model_dump_json`` wrote, trusting nothing.

        Raises
        ------
        BadInput
            Naming the first key that does not fit.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            raise BadInput(
                "not the facts of a decision report",
                file=file,
                column=".".join(map(str, first["loc"])) or None,
                found=repr(first["input"])[:120],
                expected=first["msg"],
            ) from None
