"""The life of a registered version: registered, staged, promoted, rolled back, as a history that only grows.

Belongs here: what an entry of the history is, how entries become the aliases' places, and which moves are allowed.
Does not belong here: where entries are kept (``adapters.journal``).

A history is linear although nobody holds a lock: each entry names the entry that its writer had seen last. Of two
writers who saw the same end, the one whose entry got the lower number counts; the other's is void, and its writer
looks again before trying again. Each entry also carries a digest over the one it follows, so that an entry changed or
taken out later shows. What no chain can show by itself, its end taken away or all of it written anew, shows against
anchors: places outside of the journal that name an entry and its digest.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from soil_assets.errors import BadInput

Alias = Literal["staging", "production", "previous"]
ALIASES: tuple[Alias, ...] = get_args(Alias)
Action = Literal["adopted", "accepted", "staged", "promoted", "rolled back"]


@dataclass(frozen=True)
class Entry:
    """One move of an alias: who, when, why, on which evidence.

    Parameters
    ----------
    action : {'adopted', 'accepted', 'staged', 'promoted', 'rolled back'}
        'adopted' records aliases that were there before the history began, 'accepted' that a person took the history as
        it was, alterations included; ``data`` then holds the anchors that were lost, seal by number.
    places : mapping
        Version at each alias after this entry.
    after : int
        Number of the entry the writer had seen last, 0 for none.
    seal : str
        SHA-256 over the entry followed and this one.
    number : int
        Place in the journal, given by the registry when the entry is appended.
    """

    action: Action
    version: int
    who: str
    why: str
    when: str
    places: Mapping[str, int]
    after: int = 0
    commit: str = ""
    report: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    seal: str = ""
    number: int = 0

    def to_json(self) -> str:
        """Return the entry as kept; its number is the registry's to give."""
        facts = {k: v for k, v in asdict(self).items() if k != "number"}
        return json.dumps(facts, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, number: int) -> Entry:
        """Read an entry back.

        Raises
        ------
        BadInput
            When it is not an entry.
        """
        try:
            facts = json.loads(text)
            facts["places"] = {str(k): int(v) for k, v in facts["places"].items()}
            return cls(**{**facts, "number": number})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadInput(
                "an entry of a model's history cannot be read",
                row=number,
                found=f"{type(error).__name__}: {error}",
            ) from None

    def sealed(self, previous: Entry | None) -> Entry:
        """Return the entry with its digest over ``previous`` and itself."""
        return Entry(**{**asdict(self), "seal": _digest(self, previous)})


@dataclass(frozen=True)
class Anchor:
    """An entry as a place outside of the journal names it."""

    place: str
    number: int
    seal: str

    @classmethod
    def parse(cls, place: str, text: str) -> Anchor:
        """Read what :attr:`History.anchor` gave; what cannot be read is an anchor that no history holds."""
        number, _, seal = text.strip().partition(" ")
        return cls(place, int(number), seal) if number.isdigit() else cls(place, sys.maxsize, text)


@dataclass(frozen=True)
class History:
    """The entries that count, in order, and what they amount to.

    ``void`` are entries whose writer had not seen the end of the history; ``broken`` those whose seal does not fit, and
    ``lost`` anchors whose entry is not there. Both count since a person last accepted the history as it was.
    """

    entries: tuple[Entry, ...] = ()
    void: tuple[Entry, ...] = ()
    broken: tuple[int, ...] = ()
    last_number: int = 0
    lost: tuple[Anchor, ...] = ()

    @property
    def objection(self) -> str:
        """Why the history is not to be believed; empty when it is."""
        altered = [f"altered at entry {', '.join(map(str, self.broken))}"] if self.broken else []
        gone = [f"entry {a.number}, which {a.place} names, is gone or another one" for a in self.lost]
        return "; ".join([*altered, *gone])

    @property
    def anchor(self) -> str:
        """Number and seal of the last entry, as anchors state them; empty without an entry."""
        return f"{self.entries[-1].number} {self.entries[-1].seal}" if self.entries else ""

    def against(self, anchors: Iterable[Anchor]) -> History:
        """Return the history with the anchors that it does not hold.

        An anchor older than the last acceptance by a person is not asked for, nor one that an acceptance names.
        """
        seals = {e.number: e.seal for e in self.entries}
        acceptances = [e for e in self.entries if e.action == "accepted"]
        newest = max((e.number for e in acceptances), default=0)
        excused = {(number, seal) for e in acceptances for number, seal in e.data.items()}
        lost = [
            a
            for a in anchors
            if a.number > newest and seals.get(a.number) != a.seal and (str(a.number), a.seal) not in excused
        ]
        return replace(self, lost=(*self.lost, *lost))

    @property
    def sound(self) -> History:
        """The history itself.

        Raises
        ------
        BadInput
            When it is not to be believed: no move may rest on it.
        """
        if self.objection:
            raise BadInput(
                "the history of this model is not to be believed",
                found=self.objection,
                mend="find out what happened; then: soil registry accept NAME --by ... --why ...",
            )
        return self

    @property
    def places(self) -> dict[str, int]:
        """Version at each alias now."""
        return dict(self.entries[-1].places) if self.entries else {}

    @property
    def end(self) -> Entry | None:
        """The last entry that counts."""
        return self.entries[-1] if self.entries else None

    def staged_versions(self) -> set[int]:
        """Return every version that was at ``staging`` at some time."""
        return {e.places["staging"] for e in self.entries if "staging" in e.places}


def fold(entries: Iterable[Entry]) -> History:
    """Return the history that a journal's entries amount to, whoever reads them and whenever."""
    counted: list[Entry] = []
    void, broken = [], []
    last = 0
    for entry in sorted(entries, key=lambda e: e.number):
        last = entry.number
        end = counted[-1] if counted else None
        if entry.after != (end.number if end else 0):
            void.append(entry)
            continue
        if entry.seal != _digest(entry, end):
            broken.append(entry.number)
        elif entry.action == "accepted":
            broken.clear()
        counted.append(entry)
    return History(tuple(counted), tuple(void), tuple(broken), last)


def moved(history: History, action: Action, version: int) -> dict[str, int]:
    """Return the aliases' places after a move."""
    places = history.places
    if action == "staged":
        places["staging"] = version
    elif action == "promoted":
        if "production" in places and places["production"] != version:
            places["previous"] = places["production"]
        places["production"] = version
    elif action == "rolled back" and places["production"] != version:
        places["previous"] = places["production"]
        places["production"] = version
    return places


def a_person(name: str | None, what: str) -> str:
    """Return the name of the person who answers for a move.

    Raises
    ------
    BadInput
        When there is none, or it is an automaton's.
    """
    cleaned = " ".join((name or "").split())
    automaton = cleaned.lower().endswith("[bot]") or cleaned.lower() in (
        "dagster",
        "ci",
        "bot",
        "root",
        "unknown",
    )
    if sum(c.isalpha() for c in cleaned) < 2 or automaton:
        raise BadInput(
            f"{what} needs the name of the person who answers for it",
            found=repr(cleaned) if cleaned else "no name",
            mend='say who you are: --by "Ada Lovelace <ada@example.org>"',
        )
    return cleaned


def a_reason(why: str | None, what: str) -> str:
    """Return the reason given for a move, on one line.

    Raises
    ------
    BadInput
        When there is none.
    """
    cleaned = " ".join((why or "").split())
    if len(cleaned) < 3:
        raise BadInput(
            f"{what} needs a reason", found=repr(cleaned), mend='say it in a sentence: --why "..."'
        )
    return cleaned


def may_promote(history: History, name: str, version: int, evidence: Mapping[str, bool] | None) -> None:
    """Return when ``version`` may go to production.

    Parameters
    ----------
    evidence : mapping or None
        Blocking checks of the lineage that the version was registered with, and whether each passed.

    Raises
    ------
    BadInput
        When the version was never staged, or was not registered from checks that all passed.
    """
    staged = sorted(history.staged_versions())
    if version not in staged:
        raise BadInput(
            "only a version that was staged can go to production",
            found=f"{name} version {version}",
            expected=", ".join(f"version {v}" for v in staged) or "(none was staged yet)",
            mend="let it pass its gates: registration stages it",
        )
    objection = objection_to(evidence)
    if objection:
        raise BadInput(f"{name} version {version} cannot go to production", found=objection)


def may_roll_back(history: History, name: str) -> int:
    """Return the version that a rollback takes production back to.

    Raises
    ------
    BadInput
        When there is no earlier production version.
    """
    places = history.places
    if "production" not in places or "previous" not in places:
        raise BadInput(
            "there is no earlier production version to go back to",
            found=f"{name}: " + (", ".join(f"{a} = version {v}" for a, v in places.items()) or "no aliases"),
        )
    return places["previous"]


def objection_to(evidence: Mapping[str, bool] | None) -> str | None:
    """Return what speaks against a version by its own evidence, or None. No evidence is not a pass."""
    if not evidence:
        return "nothing says that its blocking checks passed"
    failed = sorted(check for check, passed in evidence.items() if passed is not True)
    return f"blocking checks that did not pass: {', '.join(failed)}" if failed else None


def _digest(entry: Entry, previous: Entry | None) -> str:
    facts: dict[str, Any] = {k: v for k, v in asdict(entry).items() if k not in ("number", "seal")}
    text = json.dumps([previous.seal if previous else "", facts], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
