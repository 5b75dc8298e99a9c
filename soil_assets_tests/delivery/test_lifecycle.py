"""The history of a model: linear whoever writes, sealed, and strict about who may do what."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soil_assets.delivery.lifecycle import (
    Entry,
    History,
    a_person,
    a_reason,
    fold,
    may_promote,
    may_roll_back,
    moved,
    objection_to,
)
from soil_assets.errors import BadInput

PASSED = {"training_set.no_benchmark_leakage": True}


def entry(history: History, action: str, version: int, number: int) -> Entry:
    made = Entry(
        action, version, "Ada", "because", "2026-01-01T00:00:00+00:00",
        moved(history, action, version), after=history.end.number if history.end else 0,
    )  # fmt: skip
    return replace(made.sealed(history.end), number=number)


def history_of(*moves: tuple[str, int]) -> History:
    entries: list[Entry] = []
    for number, (action, version) in enumerate(moves, 1):
        entries.append(entry(fold(entries), action, version, number))
    return fold(entries)


def test_a_life_from_staging_to_rollback() -> None:
    told = history_of(("staged", 1), ("promoted", 1), ("staged", 2), ("promoted", 2), ("rolled back", 1))
    assert told.places == {"staging": 2, "production": 1, "previous": 2}
    assert told.staged_versions() == {1, 2}
    assert not told.void
    assert not told.broken


def test_the_second_of_two_writers_who_saw_the_same_end_is_void() -> None:
    one = history_of(("staged", 1))
    first, second = entry(one, "promoted", 1, 2), entry(one, "staged", 2, 3)
    told = fold([*one.entries, second, first])
    assert [e.number for e in told.entries] == [1, 2]
    assert told.void == (second,)
    assert told.places == {"staging": 1, "production": 1}


@given(
    st.lists(
        st.tuples(st.sampled_from(["staged", "promoted"]), st.integers(1, 5), st.booleans()), max_size=12
    )
)
def test_a_history_is_linear_whatever_was_appended(appended: list[tuple[str, int, bool]]) -> None:
    """Every writer saw either the end or the entry before it; numbers are the registry's."""
    entries: list[Entry] = []
    for number, (action, version, stale) in enumerate(appended, 1):
        seen = fold(entries)
        if stale and seen.entries:
            seen = replace(seen, entries=seen.entries[:-1])
        entries.append(entry(seen, action, version, number))
    told = fold(entries)
    assert len(told.entries) + len(told.void) == len(entries)
    assert [e.after for e in told.entries] == [0, *[e.number for e in told.entries]][: len(told.entries)]
    assert not told.broken


def test_an_altered_entry_breaks_its_seal() -> None:
    told = history_of(("staged", 1), ("promoted", 1))
    forged = replace(told.entries[0], who="Mallory")
    assert fold([forged, told.entries[1]]).broken == (1,)


def test_an_entry_comes_back_as_it_was_kept() -> None:
    kept = history_of(("staged", 1)).entries[0]
    assert Entry.from_json(kept.to_json(), kept.number) == kept


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"places": {"staging": "x"}}', '{"places": {}, "other": 1}']
)
def test_an_unreadable_entry_is_told(text: str) -> None:
    with pytest.raises(BadInput, match="row 7"):
        Entry.from_json(text, 7)


def test_only_what_was_staged_goes_to_production() -> None:
    told = history_of(("staged", 2))
    may_promote(told, "soil-clay", 2, PASSED)
    with pytest.raises(BadInput, match="expected: version 2"):
        may_promote(told, "soil-clay", 1, PASSED)


@pytest.mark.parametrize(
    ("evidence", "says"),
    [
        (None, "nothing says"),
        ({}, "nothing says"),
        ({"a.b": False, "a.c": True}, "a.b"),
        ({"a.b": None}, "a.b"),
    ],
)
def test_no_evidence_is_not_a_pass(evidence: dict[str, bool] | None, says: str) -> None:
    assert says in (objection_to(evidence) or "")
    with pytest.raises(BadInput, match=says):
        may_promote(history_of(("staged", 1)), "soil-clay", 1, evidence)


def test_nothing_to_go_back_to() -> None:
    with pytest.raises(BadInput, match="no earlier production version"):
        may_roll_back(history_of(("staged", 1), ("promoted", 1)), "soil-clay")


@pytest.mark.parametrize("name", [None, "", "  ", "x", "github-actions[bot]", "CI", "dagster", "42"])
def test_an_automaton_does_not_answer_for_a_promotion(name: str | None) -> None:
    with pytest.raises(BadInput, match="name of the person"):
        a_person(name, "a promotion")


def test_a_person_and_a_reason_are_kept_on_one_line() -> None:
    assert a_person(" Ada \n Lovelace ", "a promotion") == "Ada Lovelace"
    assert a_reason("good\nenough", "a promotion") == "good enough"
    with pytest.raises(BadInput, match="reason"):
        a_reason(" ", "a promotion")
