"""The drift gate of real batches, run by real ticks: held, accepted by a person, pooled, remembered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from dagster._core.event_api import PartitionKeyFilter

from soil_assets.config import DriftPolicy
from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.by_hand import tick
from soil_assets.defs.gates import gate_records, materialization, select_batches
from soil_assets.defs.io import load_value
from soil_assets.defs.staleness import stored_data_version
from soil_assets.defs.streams import Stream, all_streams
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.batches import folds, land_as

#: MLflow and dagster-mlflow warn of their own use of older interfaces while a model is trained and registered.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Platform]:
    """A platform with frozen sets and no batch."""
    made = make_platform(tmp_path, policy={"drift": {"permutations": 499}})
    assert made.run("reference_spectra,benchmark_spectra").success
    try:
        yield made
    finally:
        made.instance.dispose()


def chosen(house: Platform) -> tuple[set[str], dict[str, str]]:
    """Return what training may take, and what it leaves with the reason."""
    found = select_batches(
        house.instance, blocking_of(assets_of(house.settings)), house.soil.accepted_batches()
    )
    return set(found.taken), dict(found.left)


def part(rows: slice) -> SpectralBatch:
    """Some unseen samples of the reference's field; shuffled, for neighbours in the table are so in the field."""
    batch = folds(6, 7)()
    return batch.take(np.random.default_rng(1).permutation(len(batch))[rows])


def test_a_held_batch_goes_on_once_a_person_accepts_it_and_the_next_was_never_held(house: Platform) -> None:
    """b1 passes, b2 is another field and is held, b3 passes; b2 accepted with a reason is trained on, too."""
    for name, make in (("b1", folds(6, 7)), ("b2", lambda: limesoda("NRW.62")), ("b3", folds(10))):
        land_as(house.landing, name, make)
        steps = list(tick(house.definitions, house.instance, "new_batches"))
        assert [s.partition for s in steps] == [name], "each batch is asked for by the sensor, once"
        assert steps[0].outcome.gate_failed == (name == "b2")
    taken, left = chosen(house)
    assert taken == {"b1", "b3"}
    assert "batch_drift failed: fail" in left["b2"]

    held = load_value(house.soil.data, "drift_reports", "b2")
    assert held["verdict"] == "fail"
    assert held["blocks"]
    house.soil.data.write_json(
        "accepted/b2.json",
        {
            "batch": "b2",
            "content": stored_data_version(house.instance, "raw_spectra", "b2"),
            "who": "A. Person",
            "why": "the second field is wanted in the model",
        },
    )
    assert chosen(house) == ({"b1", "b2", "b3"}, {})
    assert house.run("training_set").success
    training = load_value(house.soil.data, "training_set")
    assert set(training.samples["batch"]) == {"reference", "b1", "b2", "b3"}
    # The record of b2's gate still says what the gate found: acceptance hides nothing.
    [record] = gate_records(house.instance, "drift_reports", ["batch_drift"], "b2")
    assert record.passed is False

    page = Path(house.soil.reports.where("batches/b2/drift.html")).read_text()
    assert "The policy holds it back" in page
    assert "data:image/png" in page
    assert not re.search(r"(src|href)=.?https?://", page), "the report loads nothing"
    assert 'href="drift.html"' in Path(house.soil.reports.where("batches/b2/index.html")).read_text()


def verdicts_about(instance: dg.DagsterInstance, batch: str) -> list[Any]:
    """Return every verdict of the drift gate about a batch that the event log holds, newest first."""
    return list(
        instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey("drift_reports"), "batch_drift"),
            limit=20,
            partition_filter=PartitionKeyFilter(key=batch),
        )
    )


def test_small_batches_are_judged_together_and_share_the_verdict(tmp_path: Path) -> None:
    house = make_platform(
        tmp_path, policy={"drift": {"permutations": 499, "when_not_judged": "hold", "min_samples": 10}}
    )
    try:
        assert house.run("reference_spectra,benchmark_spectra").success
        for name, rows in (
            ("s1", slice(0, 4)),
            ("s2", slice(4, 8)),
            ("s3", slice(8, 12)),
            ("s4", slice(12, 15)),
        ):
            land_as(house.landing, name, lambda rows=rows: part(rows))
        for small in ("s1", "s2"):
            assert house.judge(small).gate_failed, "too small, and the policy holds"
        assert chosen(house)[0] == set()
        assert not house.judge("s3").gate_failed
        report = load_value(house.soil.data, "drift_reports", "s3")
        assert report["pooled_with"] == ["s1", "s2"]
        assert (report["verdict"], report["n"]) == ("pass", 12)
        assert chosen(house)[0] == {"s1", "s2", "s3"}, "the pool's verdict frees those that waited"
        [shared] = gate_records(house.instance, "drift_reports", ["batch_drift"], "s1")
        assert "in the pool of s3" in shared.summary

        assert house.judge("s4").gate_failed, "those before were judged already: it waits for the next"
        assert load_value(house.soil.data, "drift_reports", "s4")["pooled_with"] == []
        assert not house.judge("s3").gate_failed
        again = load_value(house.soil.data, "drift_reports", "s3")
        assert again == report, "judged again, the same pool and the same report"

        assert house.judge("s1").gate_failed, "judged by itself once more, it waits again"
        assert not house.judge("s3").gate_failed
        [shared] = gate_records(house.instance, "drift_reports", ["batch_drift"], "s1")
        assert shared.passed
        assert "in the pool of s3" in shared.summary
        said = verdicts_about(house.instance, "s2")
        assert len(said) == len({r.run_id for r in said}) == 4, "its own and the pool's, each of its run"
    finally:
        house.instance.dispose()


def test_each_batch_is_remembered_once_and_charted_with_those_before_it(house: Platform) -> None:
    for name, rows in (("t1", slice(0, 11)), ("t2", slice(11, 24))):
        land_as(house.landing, name, lambda rows=rows: part(rows))
        assert house.judge(name).success
    assert house.judge("t1").success
    [stream] = all_streams(house.soil.data)
    assert [r.batch for r in stream.records()] == ["t1", "t2"], "a batch judged again keeps its place"
    assert load_value(house.soil.data, "drift_reports", "t1")["trend"]["batches"] == ["t1"]
    trend = load_value(house.soil.data, "drift_reports", "t2")["trend"]
    assert trend["batches"] == ["t1", "t2"]
    assert trend["run_length"] == 100.0
    record = materialization(house.instance, "drift_reports", "t2")
    assert record is not None
    assert record.asset_materialization is not None
    assert "successive batches" in record.asset_materialization.metadata


def test_another_instruments_batches_are_another_stream(house: Platform) -> None:
    land_as(house.landing, "i1", lambda: part(slice(0, 4)))
    manifest = house.landing.read("i1/batch.yaml")
    house.landing.write("i1/batch.yaml", manifest + b"instrument: the other one\n")
    land_as(house.landing, "i2", lambda: part(slice(4, 12)))
    house.judge("i1")
    house.judge("i2")
    assert load_value(house.soil.data, "drift_reports", "i2")["pooled_with"] == []
    assert len(all_streams(house.soil.data)) == 2


def test_check_samples_are_charted_and_not_judged(tmp_path: Path) -> None:
    soil = str(part(slice(0, 1)).sample_ids.iloc[0])
    house = make_platform(tmp_path, policy={"drift": {"permutations": 199, "check_samples": [soil]}})
    rng = np.random.default_rng(1)

    def with_checks(batch: SpectralBatch) -> SpectralBatch:
        rows = np.concatenate([np.zeros(6, dtype=int), np.arange(1, 12)])
        scans = batch.take(rows)
        noise = rng.normal(0, 2e-4, scans.spectra.shape).astype(np.float32)
        return replace(scans, spectra=scans.spectra + noise)

    try:
        assert house.run("reference_spectra,benchmark_spectra").success
        for name in ("c1", "c2"):
            land_as(house.landing, name, lambda: with_checks(part(slice(0, 12))))
            house.judge(name)
        report = load_value(house.soil.data, "drift_reports", "c1")
        assert report["n"] == 11, "the check soil is none of the batch's soils"
        assert any("check samples" in note for note in report["notes"])
        [stream] = all_streams(house.soil.data)
        scans = stream.check_scans()
        assert len(scans) == 12
        assert {s.soil for s in scans} == {soil}
        page = Path(house.soil.reports.where("check-samples/index.html")).read_text()
        assert soil in page
        assert "data:image/png" in page
    finally:
        house.instance.dispose()


def test_a_record_is_found_again_by_its_batch_only(tmp_path: Path) -> None:
    from soil_assets.defs.streams import BatchRecord
    from soil_assets.storage import Store

    stream = Stream(Store(str(tmp_path)), "one")
    made = [BatchRecord(b, "one", "not_judged", "", "p", 3) for b in ("b1", "1", "b11")]
    for record in [*made, made[1]]:
        stream.keep(record)
    assert [r.batch for r in stream.records()] == ["b1", "1", "b11"]
    assert stream.unjudged_before("b11") == ["b1", "1"]
    stream.mark_judged(["b1", "1"], "b11", "pass")
    assert stream.unjudged_before("b11") == ["b1", "1"], "its own pool, again"
    stream.keep(BatchRecord("b2", "one", "not_judged", "", "p", 3))
    assert stream.unjudged_before("b2") == ["b11"]


def test_models_on_main_tell_what_a_difference_does(house: Platform) -> None:
    """With a registered model, its predictions are tested and its errors on the batch's lab values measured."""
    assert house.run("training_set").success
    assert house.run("trained_models,benchmark_evaluations,model_comparisons", "clay").success
    assert house.run("decision_report").success
    assert house.run("registered_versions", "clay").success
    land_as(house.landing, "m1", folds(6, 7))
    outcome = house.judge("m1")
    assert outcome.success
    report = load_value(house.soil.data, "drift_reports", "m1")
    assert "predictions" in {t["family"] for t in report["tests"]}
    [damage] = report["damage"]
    assert (damage["name"], damage["basis"], damage["n"]) == ("clay", "lab values", 24)
    assert damage["ratio_low"] < damage["ratio"] < damage["ratio_high"]
    assert {c.check for c in outcome.checks} >= {"harmless", "trend", "judged", "prediction_shift"}

    def without_lab() -> SpectralBatch:
        batch = limesoda("NRW.62")
        return batch.with_samples(batch.samples.assign(clay=np.nan))

    land_as(house.landing, "m2", without_lab)
    house.judge("m2")
    [expected] = load_value(house.soil.data, "drift_reports", "m2")["damage"]
    assert expected["basis"] == "applicability"
    assert expected["unknown_share"] is not None


def test_the_policy_has_usable_defaults() -> None:
    assert DriftPolicy().check_samples == ()
    assert json.loads(DriftPolicy().model_dump_json())["trend_run_length"] == 100.0
    with pytest.raises(ValueError, match="greater than or equal"):
        DriftPolicy(trend_run_length=5)


def test_the_profile_is_shown_in_the_catalogue(house: Platform) -> None:
    land_as(house.landing, "b1", folds(6, 7))
    house.judge("b1")
    event = house.instance.get_latest_materialization_event(dg.AssetKey("reference_profile"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["who"].value == "the platform"
