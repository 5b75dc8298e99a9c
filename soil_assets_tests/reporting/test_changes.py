"""Two snapshots of the asset graph are compared in words; nothing that changed is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soil_assets.errors import BadInput
from soil_assets.reporting.changes import Node, data_changes, graph_changes, read_graph

MAIN = read_graph(
    {
        "raw": {"code_version": "1", "checks": ["readable"]},
        "valid": {"code_version": "1", "depends_on": ["raw"], "checks": ["schema", "units"]},
        "model": {"code_version": "1", "depends_on": ["valid"]},
    }
)


def test_equal_graphs_say_nothing() -> None:
    assert graph_changes(MAIN, MAIN) == ()


def test_a_changed_code_names_what_it_reaches() -> None:
    changed = MAIN | {"raw": Node("2", frozenset(), frozenset({"readable"}))}
    assert graph_changes(MAIN, changed) == ("code of raw changed; it reaches model, valid",)
    assert graph_changes(MAIN, MAIN | {"model": Node("2", frozenset({"valid"}))}) == (
        "code of model changed",
    )


def test_a_check_that_went_is_told_first() -> None:
    changed = {"raw": MAIN["raw"], "valid": Node("2", frozenset({"raw"}), frozenset({"schema", "ranges"}))}
    assert graph_changes(MAIN, changed) == (
        "check units of valid was taken away",
        "asset model was taken away",
        "check ranges of valid is new",
        "code of valid changed",
    )


def test_new_assets_and_dependencies_are_told() -> None:
    changed = MAIN | {"model": Node("1", frozenset({"drift"})), "drift": Node("1", frozenset({"valid"}))}
    assert graph_changes(MAIN, changed) == (
        "asset drift is new",
        "model now also depends on drift",
        "model no longer depends on valid",
    )


def test_a_circle_does_not_hang() -> None:
    circle = {"a": Node("1", frozenset({"b"})), "b": Node("1", frozenset({"a"}))}
    assert graph_changes(circle, circle | {"a": Node("2", frozenset({"b"}))}) == (
        "code of a changed; it reaches b",
    )


NAMES = st.sampled_from("abcd")
GRAPHS = st.dictionaries(
    NAMES, st.builds(Node, st.sampled_from("12"), st.frozensets(NAMES), st.frozensets(st.sampled_from("xyz")))
)


@given(GRAPHS, GRAPHS)
def test_no_difference_is_silent(before: dict[str, Node], after: dict[str, Node]) -> None:
    assert (graph_changes(before, after) == ()) == (before == after)


def test_data_are_told_by_their_hashes() -> None:
    before, after = {"a": "1" * 40, "b": "2" * 40, "c": "3"}, {"a": "1" * 40, "b": "4" * 40, "d": "5"}
    assert data_changes(before, after) == (
        "data: d added (5)",
        "data: c taken away",
        f"data: b changed ({'2' * 12} -> {'4' * 12})",
    )


@pytest.mark.parametrize("entry", [None, [], {"checks": "all"}, {"depends_on": [1]}])
def test_a_malformed_snapshot_is_refused(entry: object) -> None:
    with pytest.raises(BadInput, match="graph snapshot") as refused:
        read_graph({"raw": entry})
    assert refused.value.column == "raw"
