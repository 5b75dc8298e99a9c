"""A failed gate stops what is downstream of that batch only, and training takes exactly the batches that passed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.gates import materialization, select_batches
from soil_assets.defs.io import load_value
from soil_assets.defs.staleness import stored_data_version
from soil_assets.spectra.embedded import limesoda
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.batches import SHORT_RANGE, folds, land_as, land_garbage


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Frozen sets, and three landed batches: b1 and b3 of the reference's field, b2 of too short a range."""
    made = make_platform(Path(tmp_path_factory.mktemp("house")))
    assert made.run("reference_spectra,benchmark_spectra").success
    land_as(made.landing, "b1", folds(6))
    land_as(made.landing, "b2", SHORT_RANGE)
    land_as(made.landing, "b3", folds(7))
    try:
        yield made
    finally:
        made.instance.dispose()


def requested(result: dg.EvaluateAutomationConditionsResult, asset: str) -> set[str]:
    return {str(k) for k in result.get_requested_partitions(dg.AssetKey(asset))}


def ask(house: Platform, cursor: object = None) -> dg.EvaluateAutomationConditionsResult:
    return dg.evaluate_automation_conditions(
        defs=house.definitions,
        instance=house.instance,
        asset_selection=dg.AssetSelection.all(),
        cursor=cursor,  # type: ignore[arg-type]
    )


def test_a_held_batch_stays_held_when_another_passes(house: Platform) -> None:
    """The leak of unpartitioned checks: b2 fails, then b3 passes, and both were released. Only b3 may go on."""
    house.instance.add_dynamic_partitions("batch", ["b2", "b3"])
    before = ask(house)

    failed = house.run("raw_spectra,validated_batches", "b2")
    assert failed.gate_failed
    assert materialization(house.instance, "validated_batches", "b2") is not None
    first = ask(house, before.cursor)
    assert requested(first, "drift_reports") == set()

    assert house.run("raw_spectra,validated_batches", "b3").success
    second = ask(house, first.cursor)
    assert requested(second, "drift_reports") == {"b3"}


def test_training_set_is_asked_for_although_the_last_batch_failed(house: Platform) -> None:
    """The leak of the fan-in, one half: b2 is last and failing."""
    before = ask(house)
    assert house.judge("b1").success
    assert house.judge("b2").gate_failed
    after = ask(house, before.cursor)
    assert after.get_num_requested(dg.AssetKey("training_set")) == 1

    assert house.run("training_set").success
    training = load_value(house.soil.data, "training_set")
    taken = set(training.samples["batch"])
    assert taken == {"reference", "b1"}
    said = materialization(house.instance, "training_set").asset_materialization.metadata  # type: ignore[union-attr]
    assert said["taken"].value == ["b1"]
    left = said["left"].value
    assert set(left) == {"b2", "b3"}
    assert "spectral_quality failed" in left["b2"]
    assert "never materialized" in left["b3"], "b3 was validated and not drift-checked"


def test_a_reference_made_anew_from_the_same_data_judges_no_batch_again(house: Platform) -> None:
    """Two daemons on an empty instance both freeze the sets; a person may, at any time."""
    before = ask(house)
    assert house.run("reference_spectra").success
    after = ask(house, before.cursor)
    for asset in ("validated_batches", "drift_reports"):
        assert requested(after, asset) == set(), asset


def test_a_reference_of_other_content_judges_batches_again(house: Platform) -> None:
    before = ask(house)
    house.instance.report_runless_asset_event(
        dg.AssetMaterialization("reference_spectra", tags={"dagster/data_version": "other"})
    )
    house.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=dg.AssetKey("reference_spectra"), check_name="frozen", passed=True)
    )
    after = ask(house, before.cursor)
    assert requested(after, "validated_batches") >= {"b1", "b3"}
    assert house.run("reference_spectra").success  # as it was, for the tests below


def test_training_set_tolerates_an_unreadable_batch(house: Platform) -> None:
    """The other half: a partition that will never be there must not hold the others for ever."""
    land_garbage(house.landing, "b4")
    before = ask(house)
    outcome = house.judge("b4")
    assert outcome.gate_failed
    assert materialization(house.instance, "validated_batches", "b4") is None
    assert house.judge("b3").success
    after = ask(house, before.cursor)
    assert after.get_num_requested(dg.AssetKey("training_set")) == 1

    chosen = select_batches(house.instance, blocking_of(assets_of(house.settings)))
    assert chosen.taken == ("b1", "b3")
    assert "readable failed" in chosen.left["b4"]


def test_a_verdict_about_an_older_version_does_not_count(house: Platform) -> None:
    """A batch that landed again is not released by what was said of its earlier bytes."""
    checks = blocking_of(assets_of(house.settings))
    house.instance.add_dynamic_partitions("batch", ["b5"])
    land_as(house.landing, "b5", folds(10))
    assert house.judge("b5").success
    assert "b5" in select_batches(house.instance, checks, only=["b5"]).taken
    assert house.run(
        "raw_spectra", "b5"
    ).success  # a new version that no later gate has judged: still the same bytes
    land_as(house.landing, "b5", SHORT_RANGE)
    assert house.run("raw_spectra,validated_batches", "b5").gate_failed
    assert "b5" in select_batches(house.instance, checks, only=["b5"]).left
    record = materialization(house.instance, "raw_spectra", "b5")
    assert record is not None
    assert "became" in str(record.asset_materialization.metadata["changed"].value)  # type: ignore[union-attr]


def test_a_batch_that_a_person_accepted_is_taken(house: Platform) -> None:
    """Acceptance opens the drift gate of that batch, and no other gate."""
    checks = blocking_of(assets_of(house.settings))
    land_as(house.landing, "foreign", lambda: limesoda("NRW.62"))
    assert house.judge("foreign").gate_failed
    content = stored_data_version(house.instance, "raw_spectra", "foreign") or ""

    def taken(batch: str, content: str) -> tuple[str, ...]:
        return select_batches(house.instance, checks, {batch: {"content": content}}, only=[batch]).taken

    assert taken("foreign", content) == ("foreign",)
    assert taken("foreign", "another version") == (), "what was accepted is not what is landed now"
    refused = stored_data_version(house.instance, "raw_spectra", "b2") or ""
    assert taken("b2", refused) == (), "b2 has no usable scan: no person can accept that"


def test_every_check_of_a_partitioned_asset_is_partitioned(house: Platform) -> None:
    loose = [
        f"{spec.asset_key.path[-1]}.{spec.name}"
        for asset in assets_of(house.settings)
        for spec in asset.check_specs
        if asset.partitions_def is not None and spec.partitions_def != asset.partitions_def
    ]
    assert loose == []


def test_a_training_set_that_would_lose_a_batch_stays_as_it_is(house: Platform, tmp_path: Path) -> None:
    """The instance's database was deleted: what has no verdict any more is asked for, and not left out in silence."""
    before = house.soil.data.read_json("assets/training_set/current.json")
    emptied = dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}})
    anew = Platform(house.settings, house.definitions, emptied)
    try:
        assert anew.run("reference_spectra,benchmark_spectra").success
        stopped = anew.run("training_set")
        assert not stopped.success
        assert "would lose 1 of 1 batches without a verdict against them" in stopped.errors[0]
        assert "b1: its partition is not in this instance" in stopped.errors[0]
        assert house.soil.data.read_json("assets/training_set/current.json") == before
        house.soil.data.write_json("withdrawn/b1.json", {"who": "Ada", "why": "a test"})
        assert anew.run("training_set").success, "a person took it out"
    finally:
        house.soil.data.write_json("assets/training_set/current.json", before)
        Path(house.soil.data.where("withdrawn/b1.json")).unlink(missing_ok=True)
        emptied.dispose()
