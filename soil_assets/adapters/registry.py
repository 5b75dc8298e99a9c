"""Moves in the model registry: register, stage, promote, roll back. Every move is an entry first, an alias second.

Belongs here: what writes to the registry. Does not belong here: which moves are allowed (``delivery.lifecycle``), and
how entries are kept (``adapters.journal``).

The aliases follow the history: whoever moves one reads the history again afterwards and moves on until nothing newer
is there. Killed in between, the next move, or :func:`settle`, finishes what was begun.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from soil_assets.adapters import journal
from soil_assets.adapters.mlflow import DIGEST_TAG, RegisteredVersion, Registry, paged, quiet, reached
from soil_assets.delivery.lifecycle import (
    ALIASES,
    Action,
    Anchor,
    Entry,
    History,
    a_person,
    a_reason,
    may_promote,
    may_roll_back,
    moved,
    objection_to,
)
from soil_assets.errors import BadInput

EVIDENCE_TAG = "soil.evidence"
_TRIES = 12


@dataclass(frozen=True)
class Because:
    """Who moves, why, and what can be looked up about it."""

    who: str
    why: str
    commit: str = ""
    report: str = ""
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What a version was registered with.

    Parameters
    ----------
    checks : mapping
        Every blocking check of the lineage (``asset.check``), and whether it passed.
    data : mapping
        Content hash of each data set that the model comes from or was measured on.
    commit, report : str
        The code's commit, and the decision report's address.
    """

    checks: Mapping[str, bool]
    data: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    report: str = ""

    def to_json(self) -> str:
        """Return the form kept as a tag of the version."""
        return json.dumps(
            {
                "checks": dict(self.checks),
                "data": dict(self.data),
                "commit": self.commit,
                "report": self.report,
            },
            sort_keys=True,
        )

    @classmethod
    def of(cls, version: RegisteredVersion) -> Evidence | None:
        """Read a version's evidence; None when it carries none that can be read."""
        try:
            return cls(**json.loads(version.tags[EVIDENCE_TAG]))
        except (KeyError, ValueError, TypeError):
            return None


def register(
    registry: Registry,
    name: str,
    model_uri: str,
    run_id: str,
    *,
    evidence: Evidence,
    because: Because,
    tags: Mapping[str, str],
) -> RegisteredVersion:
    """Create a version from a logged model and stage it; done again, it changes nothing.

    Raises
    ------
    BadInput
        When the evidence does not show that every blocking check passed.
    """
    objection = objection_to(evidence.checks)
    if objection:
        raise BadInput(f"{name} is not registered", found=objection, mend="let the lineage pass its gates")
    with quiet(), reached(registry.tracking_uri):
        client = registry.client()
        journal.ensure_model(client, name)
        same = _made_from(registry, name, model_uri)
        if not same:
            made = client.create_model_version(
                name,
                source=model_uri,
                run_id=run_id,
                tags={
                    **tags,
                    **_digest(client, run_id),
                    "soil.model_uri": model_uri,
                    EVIDENCE_TAG: evidence.to_json(),
                },
                model_id=model_uri.removeprefix("models:/"),
            )
            same = _made_from(registry, name, model_uri)
            if same[0] != int(
                made.version
            ):  # another writer was registering the same model: one version is enough
                client.delete_model_version(name, str(made.version))
    because = replace(
        because, commit=because.commit or evidence.commit, report=because.report or evidence.report
    )
    return stage(registry, name, same[0], because)


def stage(registry: Registry, name: str, version: int, because: Because) -> RegisteredVersion:
    """Move ``staging`` to a version that was registered with its evidence."""

    def check(_: History) -> int:
        found = Evidence.of(registry.version(name, version))
        objection = objection_to(found.checks if found else None)
        if objection:
            raise BadInput(f"{name} version {version} cannot be staged", found=objection)
        return version

    return _move(registry, name, "staged", because, check)


def promote(registry: Registry, name: str, version: int, because: Because) -> RegisteredVersion:
    """Move ``production`` to a version that was staged; the one before becomes ``previous``.

    Raises
    ------
    BadInput
        Without a person's name or a reason, or for a version that was never staged or lacks its evidence.
    """
    because = replace(
        because, who=a_person(because.who, "a promotion"), why=a_reason(because.why, "a promotion")
    )

    def check(history: History) -> int:
        evidence = Evidence.of(registry.version(name, version))
        may_promote(history, name, version, evidence.checks if evidence else None)
        return version

    return _move(registry, name, "promoted", because, check)


def roll_back(registry: Registry, name: str, because: Because, *, to: int | None = None) -> RegisteredVersion:
    """Move ``production`` back to the previous version; the one withdrawn becomes ``previous``.

    Parameters
    ----------
    to : int, optional
        The version expected at ``previous``: done again after it landed, it changes nothing.
    """
    because = replace(
        because, who=a_person(because.who, "a rollback"), why=a_reason(because.why, "a rollback")
    )

    def check(history: History) -> int:
        if to is not None and history.places.get("production") == to:
            return to
        target = may_roll_back(history, name)
        if to is not None and target != to:
            raise BadInput(
                "production cannot go back to that version",
                found=f"{name} version {to}",
                expected=f"version {target}, the one before",
            )
        return target

    return _move(registry, name, "rolled back", because, check)


def settle(registry: Registry, name: str) -> dict[str, int]:
    """Move the aliases to where the history says they are; return what was moved.

    Raises
    ------
    BadInput
        When the history is not to be believed: its places would be a guess.
    """
    history = journal.read(registry, name).sound
    changed: dict[str, int] = {}
    while history.entries:
        journal.anchor(registry, name, history)
        now = registry.aliases(name)
        wanted = history.places
        with quiet(), reached(registry.tracking_uri):
            client = registry.reader()
            for alias in ALIASES:
                if alias in wanted and now.get(alias) != wanted[alias]:
                    client.set_registered_model_alias(name, alias, str(wanted[alias]))
                    changed[alias] = wanted[alias]
                elif alias not in wanted and alias in now:
                    client.delete_registered_model_alias(name, alias)
                    changed[alias] = 0
        again = journal.read(registry, name).sound
        if again.last_number == history.last_number:
            break
        history = again
    return changed


def accept(registry: Registry, name: str, because: Because, anchors: Iterable[Anchor] = ()) -> History:
    """Take the history of a model as it is, by an entry in a person's name; aliases stay where they are.

    Parameters
    ----------
    anchors : iterable of Anchor
        Of places beside the registry, as the manifest repository.

    Raises
    ------
    BadInput
        Without a person's name or a reason, or when there is nothing to accept.
    """
    who, why = a_person(because.who, "an acceptance"), a_reason(because.why, "an acceptance")
    history = journal.read(registry, name).against(anchors)
    if not history.objection:
        raise BadInput(f"the history of {name} needs no acceptance", found="unaltered")
    places: dict[str, int] = {a: v for a, v in registry.aliases(name).items() if a in ALIASES}
    if not places:
        raise BadInput(f"{name} has no alias whose place could be accepted", mend="soil registry list")
    version = places.get("production", max(places.values()))
    entry = Entry(
        "accepted",
        version,
        who,
        f"{why} (accepted: {history.objection})",
        _now(),
        places,
        data={str(a.number): a.seal for a in history.lost},
        links=dict(because.links),
    )
    journal.append(registry, name, entry, history.end)
    journal.anchor(registry, name, journal.read(registry, name))
    return journal.read(registry, name).sound


def adopted(registry: Registry, name: str) -> History:
    """Return the history of a model, begun with the aliases found when it has none."""
    history = journal.read(registry, name).sound
    found: dict[str, int] = {a: v for a, v in registry.aliases(name).items() if a in ALIASES}
    if history.entries or not found:
        return history
    entry = Entry(
        "adopted",
        found.get("production", max(found.values())),
        "soil",
        "aliases that were there before the history began",
        _now(),
        found,
    )
    journal.append(registry, name, entry, None)
    return journal.read(registry, name)


def _move(
    registry: Registry, name: str, action: Action, because: Because, check: Callable[[History], int]
) -> RegisteredVersion:
    """Append the move to the history, trying again while others come first; then let the aliases follow."""
    for attempt in range(_TRIES):
        history = adopted(registry, name).sound
        version = check(history)
        places = moved(history, action, version)
        if places == history.places:
            break
        found = registry.version(name, version)
        evidence = Evidence.of(found)
        entry = Entry(
            action,
            version,
            because.who,
            because.why,
            _now(),
            places,
            commit=because.commit or (evidence.commit if evidence else ""),
            report=because.report or (evidence.report if evidence else ""),
            data=dict(evidence.data) if evidence else {},
            links=dict(because.links),
        )
        number = journal.append(registry, name, entry, history.end)
        if any(e.number == number for e in journal.read(registry, name).entries):
            break
        time.sleep(random.uniform(0.0, 0.05 * 2 ** min(attempt, 5)))
    else:
        raise BadInput(
            f"{name}: others kept moving its aliases",
            found=f"{_TRIES} tries",
            mend="look at: soil registry history, and try again",
        )
    settle(registry, name)
    return registry.version(name, version)


def _digest(client: Any, run_id: str) -> dict[str, str]:
    """Return the checksum that the run noted when it wrote the model: who fetches the version compares with it."""
    noted = client.get_run(run_id).data.tags.get(DIGEST_TAG)
    return {DIGEST_TAG: noted} if noted else {}


def _made_from(registry: Registry, name: str, model_uri: str) -> list[int]:
    """Return the versions made from one logged model, the first of them first."""
    found = paged(registry.reader().search_model_versions, f"name = '{name}'")
    return sorted(int(v.version) for v in found if v.tags.get("soil.model_uri") == model_uri)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
