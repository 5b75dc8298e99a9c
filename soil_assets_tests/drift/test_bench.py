"""The drift bench in small: which cells there are, how they are summed up, and that a broken gate would show."""

from __future__ import annotations

import numpy as np
import pytest

from soil_assets.benchmarks import bench_drift
from soil_assets.benchmarks.drift_cells import Cell, confusion, wilson
from soil_assets.benchmarks.drift_changes import CHANGES
from soil_assets.benchmarks.drift_power import (
    NOTHING,
    Judged,
    batches,
    keeps_axis,
    needs_partner,
    partner_of,
)
from soil_assets.benchmarks.drift_runs import PERMUTATIONS, in_control, set_of, soils_in
from soil_assets.benchmarks.drift_sets import CONFIRMATION, FOREIGN, IN_CONTROL, available
from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.profile import fit_profile
from soil_assets_tests.shared import DATA, needs

pytestmark = pytest.mark.shared


def test_wilson_intervals_are_the_published_ones() -> None:
    # Agresti & Coull (1998): no success in ten trials.
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=2e-4)
    assert wilson(200, 200)[1] == pytest.approx(1.0)
    low, high = wilson(190, 200)
    assert low < 0.95 < high
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_gate_that_alarms_too_often_shows_in_the_figure() -> None:
    p_values = np.full(2000, 0.5)
    p_values[:40] = 0.005
    p_values[40] = np.nan
    cell = Cell("in control", "one", NOTHING, 20, p_values, p_values <= 0.01, np.arange(2000))
    figure = bench_drift._worst_alarms([cell], 0.01, "1pct")
    assert figure.value == pytest.approx(40 / 1999), "a batch that was not judged is no quiet batch"
    row = cell.row()
    assert (row["batches"], row["not_judged"], row["references"]) == (1999, 1, 2000)
    assert row["at_1_percent_interval"][0] > 0.0105, "and not by chance"


def test_every_held_change_is_judged_two_hundred_times_on_every_set_that_can_hold_it() -> None:
    counted: dict[tuple[str, str], int] = {}
    level: dict[str, int] = {}
    for name, plan, seed in bench_drift.plans(["H.138", "SP.231"]):
        kinds = {needs_partner(change) for change, _, _ in plan} - {None}
        assert len(kinds) <= 1
        if kinds and (partner := partner_of(name, next(iter(kinds)))) and not keeps_axis(name, partner):
            assert all(needs_partner(change) for change, _, _ in plan), "others would see a part of the axis"
        assert seed < bench_drift._REFERENCES
        if name in CONFIRMATION:
            continue
        for change, n, count in plan:
            assert n <= soils_in(name) // 3
            if change == NOTHING:
                level[name] = level.get(name, 0) + count
            elif n == 20:
                counted[name, change] = counted.get((name, change), 0) + count
    assert level == {"H.138": 320, "SP.231": 320}
    held = {change for change, planned in CHANGES.items() if planned.held}
    for name in ("H.138", "SP.231"):
        found = {change for (s, change), count in counted.items() if s == name and count >= 200}
        assert found >= held - ({"5 of 20 foreign"} if (name, "5 of 20 foreign") not in counted else set())


@needs(DATA / "kssl_mir_500")  # its partner for foreign scans
def test_batches_are_judged_with_the_models_of_their_reference() -> None:
    wet = next(iter(CHANGES))
    found = batches("H.138", [(NOTHING, 20, 2), (wet, 20, 2)], seed=0)
    assert [j.change for j in found] == [NOTHING, NOTHING, wet, wet]
    assert all(j.p_value > 0.01 for j in found[:2])
    assert all(j.failed for j in found[2:])
    assert found == batches("H.138", [(NOTHING, 20, 2), (wet, 20, 2)], seed=0), "seeded"
    level, power = bench_drift.with_models(found)
    assert [c.change for c in level] == [NOTHING]
    assert [(c.change, int(c.failed.sum())) for c in power] == [(wet, 2)]
    [row] = confusion(power)
    assert row["failed"] == 2
    with pytest.raises(ValueError, match="another axis"):
        batches("H.138", [(wet, 20, 1), ("5 of 20 foreign", 20, 1)], seed=0)


def test_the_weakest_held_cell_is_the_figure() -> None:
    def cell(change: str, n: int, failed: int) -> Cell:
        hit = np.arange(200) < failed
        return Cell("changed", "one", change, n, np.where(hit, 0.001, 0.5), hit, np.arange(200))

    held, beside = next(iter(CHANGES)), "shift of 1 channel"
    figure = bench_drift._weakest(
        [cell(held, 20, 196), cell(held, 10, 50), cell(beside, 20, 3)], "power_worst_at_20"
    )
    assert figure is not None
    assert figure.value == 0.98
    assert bench_drift._weakest([cell(beside, 20, 3)], "power_worst_at_20") is None, (
        "what was not measured is left out"
    )


def test_sets_that_no_choice_has_looked_at_are_told_apart() -> None:
    assert not set(CONFIRMATION) & set(IN_CONTROL)
    held = next(iter(CHANGES))
    judged = [Judged("changed", CONFIRMATION[0], held, 20, 0.5, False, 0, "")] * 4
    judged += [Judged("changed", "H.138", held, 20, 0.001, True, 0, "")] * 4
    _, power = bench_drift.with_models(judged)
    assert {(c.table, c.name) for c in power} == {("confirmation", CONFIRMATION[0]), ("changed", "H.138")}
    here = bench_drift._weakest(power, "power_worst_at_20")
    apart = bench_drift._weakest(
        [c for c in power if c.table == "confirmation"], "power_confirmed_worst_at_20"
    )
    assert here is not None
    assert apart is not None
    assert (here.value, apart.value) == (1.0, 0.0)
    plans = [(name, plan) for name, plan, _ in bench_drift.plans(["H.138"]) if name in CONFIRMATION]
    found = {(name, change) for name, plan in plans for change, n, _ in plan if n == 20}
    known = {name for name in CONFIRMATION if available(FOREIGN[name])}
    assert found == {(name, c) for name in known for c, planned in CHANGES.items() if planned.held}


def test_confusion_counts_the_failed_only() -> None:
    judged = [Judged("changed", "s", "c", 20, 0.001, True, 0, k) for k in ("water", "water", "")]
    judged.append(Judged("changed", "s", "c", 20, 0.5, False, 0, "shift"))
    _, power = bench_drift.with_models(judged)
    assert confusion(power) == [{"change": "c", "failed": 3, "named": {"water": 2, "none named": 1}}]


def test_what_is_fitted_once_for_all_divisions_of_a_set_changes_no_verdict() -> None:
    batch, properties = set_of("H.138")
    policy = DriftPolicy(permutations=PERMUTATIONS)
    plain = []
    for seed in range(4):
        order = np.random.default_rng([seed, 20, len(batch)]).permutation(len(batch))
        profile = fit_profile(batch.take(order[20:]), properties=properties)
        plain.append(compare(profile, batch.take(order[:20]), policy=policy).family_p)
    np.testing.assert_allclose(in_control("H.138", 20, range(4)), plain, rtol=1e-12)
