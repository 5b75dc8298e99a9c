"""A verdict is about bytes: what is planned, cancelled, killed or done at the same time never replaces one."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from soil_assets.defs import verdict_cases
from soil_assets.defs.gates import BatchSelection, gate_records
from soil_assets.defs.losses import lost_batches
from soil_assets.defs.verdict_cases import ASSET, CHECK, Case, cases, displaced, stands
from soil_assets.defs.verdict_events import forget_displacing_plans


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def test_the_right_verdict_stands_whatever_the_order(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of all cases; soil bench resilience plays every one."""
    some = list(cases())[::12]
    monkeypatch.setattr(verdict_cases, "cases", lambda: iter(some))
    played, wrong = displaced(instance)
    assert played == 2 * len(some) > 40
    assert not wrong


@pytest.mark.parametrize(
    ("order", "contents", "expected"),
    [
        ((0,), ("a",), True),  # a backfill that was cancelled in the queue
        ((0, 0), ("a",), True),  # made again from the same bytes, and killed before its verdict
        ((0, 0), ("b",), None),  # other bytes have none
        ((0, 1, 0, 1, 0), ("a", "b"), None),  # what run 0 says of "a" is noted beside the newer "b"
    ],
)
def test_a_verdict_is_of_its_own_bytes(
    instance: dg.DagsterInstance, order: tuple[int, ...], contents: tuple[str, ...], expected: bool | None
) -> None:
    case = Case(order, contents, (True,) * len(contents))
    assert stands(instance, case, "b1", judged_before=True) is expected


def test_many_broken_runs_do_not_hide_a_verdict(instance: dg.DagsterInstance) -> None:
    assert stands(instance, Case((0,) * 3, ("a",), (True,)), "b1", judged_before=False) is True
    for _ in range(45):
        stands(instance, Case((0,), ("a",), (True,)), "b1", judged_before=False)
    assert stands(instance, Case((0,), ("a",), (True,)), "b1", judged_before=False) is True


def test_plans_of_ended_runs_do_not_stand_before_a_verdict_in_the_ui(instance: dg.DagsterInstance) -> None:
    """Dagster's pages and conditions look at the newest entry alone."""

    def newest() -> str:
        key = dg.AssetCheckKey(dg.AssetKey(ASSET), CHECK)
        [entry] = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        return entry.status.value

    stands(instance, Case((0,) * 3, ("a",), (True,)), "b1", judged_before=False)
    stands(instance, Case((0,), ("a",), (True,)), "b2", judged_before=False)
    stands(instance, Case((0,), ("a",), (True,)), "b1", judged_before=False)
    assert newest() == "PLANNED"
    assert forget_displacing_plans(instance) == 1
    assert newest() == "PLANNED", "nothing was ever said of b2: that its run ended is all there is"
    assert gate_records(instance, ASSET, [CHECK], "b1")[0].passed is True
    verdict_cases._do(instance, "plan", verdict_cases._run(instance), "b1", "a", passed=True)
    assert forget_displacing_plans(instance) == 0, "it is under way"


def test_other_code_and_other_inputs_are_judged_anew(instance: dg.DagsterInstance) -> None:
    stands(instance, Case((0,) * 3, ("a",), (True,)), "b1", judged_before=False)
    for tags in ({"dagster/code_version": "2"}, {"dagster/input_data_version/reference_spectra": "new"}):
        same = {"dagster/data_version": "a", "dagster/code_version": "1"}
        instance.report_runless_asset_event(
            dg.AssetMaterialization(ASSET, partition="b1", tags={**same, **tags})
        )
        assert gate_records(instance, ASSET, [CHECK], "b1")[0].passed is None
        instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, partition="b1", tags=same))
        assert gate_records(instance, ASSET, [CHECK], "b1")[0].passed is True


def test_a_value_without_a_version_is_like_no_other(instance: dg.DagsterInstance) -> None:
    stands(instance, Case((0,) * 3, ("a",), (True,)), "b1", judged_before=False)
    instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, partition="b1"))
    assert gate_records(instance, ASSET, [CHECK], "b1")[0].passed is None


def test_a_batch_without_a_word_against_it_is_lost() -> None:
    selection = BatchSelection(("b1",), {"b2": "no verdict yet", "b3": "drift failed"}, frozenset({"b3"}))
    assert lost_batches(["b1"], selection, []) == {}
    assert lost_batches(["b1", "b3"], selection, []) == {}
    assert lost_batches(["b1", "b2"], selection, []) == {"b2": "no verdict yet"}
    assert lost_batches(["b1", "b2"], selection, ["b2"]) == {}
    assert lost_batches(["b4"], selection, []) == {"b4": "its partition is not in this instance"}
