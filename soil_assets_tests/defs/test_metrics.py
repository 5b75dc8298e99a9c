"""The exporter on a store where batches met every fate and a model was registered and validated."""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from soil_assets.adapters import prometheus
from soil_assets.adapters.prometheus import Family
from soil_assets.defs import metrics_models
from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.by_hand import bring_up_to_date
from soil_assets.defs.gates import select_batches
from soil_assets.defs.io import load_value
from soil_assets.defs.metrics import FAMILIES, Metrics
from soil_assets.defs.metrics_batches import statuses_of
from soil_assets.defs.streams import BatchRecord, Stream
from soil_assets.demo.batches import DEMO_BATCHES
from soil_assets.errors import BadInput
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.batches import SHORT_RANGE, folds, land_as, land_garbage
from soil_assets_tests.defs.test_live_validation import COARSE
from soil_assets_tests.defs.ticks import made_long_ago, record_tick
from soil_assets_tests.delivery.servers import postgres

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DEMO = {b.name: b.make for b in DEMO_BATCHES}
LANDED = ("good", "other", "damaged", "short", "garbage", "fresh")

#: (name, labels) of a series.
Series = tuple[str, frozenset[tuple[str, str]]]


def scraped(text: str) -> dict[Series, float]:
    """Read the text as Prometheus does; a series that comes twice is an error there."""
    found: dict[Series, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(found: dict[Series, float], name: str, /, **labels: str) -> float:
    return found[(name, frozenset(labels.items()))]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = make_platform(Path(tmp_path_factory.mktemp("figures")), axis=COARSE)
    for step in bring_up_to_date(made.definitions, made.instance, made.settings):
        assert step.outcome.success, step
    land_as(made.landing, "good", folds(6, 7))
    land_as(made.landing, "other", DEMO["other-field"])
    land_as(made.landing, "damaged", DEMO["damaged"])
    land_as(made.landing, "short", SHORT_RANGE)
    land_garbage(made.landing, "garbage")
    land_as(made.landing, "fresh", folds(6))
    for batch in LANDED[:-1]:
        judged = made.judge(batch)
        assert not judged.errors, (batch, judged)  # a gate may say no, nothing may break
    made.instance.add_dynamic_partitions("batch", ["fresh"])
    assert made.run("raw_spectra", "fresh").success
    assert made.run("live_model_validations", "clay").success
    record_tick(made, "alias_moves", "the registry is away")
    try:
        yield made
    finally:
        made.instance.dispose()


@pytest.fixture(scope="module")
def found(house: Platform) -> dict[Series, float]:
    return scraped(prometheus.text(Metrics(house.instance, house.settings).look()))


def test_every_family_is_told_with_its_help(house: Platform) -> None:
    text = prometheus.text(Metrics(house.instance, house.settings).look())
    for name, (said, labels) in FAMILIES.items():
        assert name.startswith("soil_")
        assert not {"quantile", "le"} & set(labels), "kept for summaries and histograms"
        assert f"# HELP {name} {said}" in text
        assert f"# TYPE {name} gauge" in text


def test_batches_by_what_became_of_them(house: Platform, found: dict[Series, float]) -> None:
    counts = {s: value(found, "soil_batches", status=s) for s in ("passed", "drifting", "refused")}
    assert counts == {"passed": 2, "drifting": 1, "refused": 1}
    assert value(found, "soil_batches", status="unreadable") == 1
    assert value(found, "soil_batches", status="unfinished") == 1
    assert value(found, "soil_batches", status="accepted") == 0


def statuses(house: Platform) -> dict[str, str]:
    batches = house.instance.get_dynamic_partitions("batch")
    return statuses_of(house.instance, assets_of(house.settings), house.soil, batches)


def test_the_quick_count_agrees_with_what_training_takes(house: Platform) -> None:
    checks = blocking_of(assets_of(house.settings))
    chosen = select_batches(house.instance, checks, house.soil.accepted_batches())
    assert sorted(b for b, s in statuses(house).items() if s in ("passed", "accepted")) == sorted(
        chosen.taken
    )


def test_a_batch_that_a_person_accepted_counts_as_such(house: Platform) -> None:
    from soil_assets.defs.staleness import stored_data_version

    content = stored_data_version(house.instance, "raw_spectra", "other")
    place = Path(house.settings.url("data"), "accepted", "other.json")
    house.soil.data.write_json("accepted/other.json", {"who": "a", "why": "b", "content": content})
    try:
        assert statuses(house)["other"] == "accepted"
        house.soil.data.write_json("accepted/other.json", {"who": "a", "why": "b", "content": "older"})
        assert statuses(house)["other"] == "drifting"
    finally:
        place.unlink()


def test_scans_are_conserved(house: Platform, found: dict[Series, float]) -> None:
    scans = {s: value(found, "soil_scans", state=s) for s in ("landed", "accepted", "quarantined", "waiting")}
    assert scans["landed"] == scans["accepted"] + scans["quarantined"] + scans["waiting"]
    kept = [
        load_value(house.soil.data, "validated_batches", b) for b in ("good", "other", "damaged", "short")
    ]
    assert scans["accepted"] == sum(len(v.accepted) for v in kept)
    assert scans["quarantined"] == sum(v.counts["quarantined"] for v in kept) >= 5
    fresh = load_value(house.soil.data, "raw_spectra", "fresh").landed
    assert scans["waiting"] == fresh + 1, "and the file that nobody can read"


def test_gates_by_asset_and_check(house: Platform, found: dict[Series, float]) -> None:
    assert value(found, "soil_gates", asset="drift_reports", check="batch_drift", result="failed") == 1
    assert value(found, "soil_gates", asset="drift_reports", check="judged", result="warned") == 1, (
        "damaged is small"
    )
    assert value(found, "soil_gates", asset="raw_spectra", check="readable", result="failed") == 1
    assert value(found, "soil_gates", asset="validated_batches", check="quarantine", result="warned") == 2
    assert (
        value(found, "soil_gates", asset="training_set", check="no_benchmark_leakage", result="passed") == 1
    )
    of_live = {"asset": "live_model_validations", "check": "still_as_registered"}
    assert value(found, "soil_gates", **of_live, result="passed") == 1
    specs = sum(len(a.check_specs) for a in assets_of(house.settings))
    told = Counter(dict(labels)["result"] for name, labels in found if name == "soil_gates")
    assert sum(told.values()) == 3 * specs
    assert told["passed"] == told["pending"] == specs


def test_a_verdict_about_an_older_version_is_pending(house: Platform) -> None:
    """On an instance of its own, whose records are the same."""
    copy = make_platform(Path(house.settings.home), axis=COARSE)
    made_long_ago(copy, "training_set", 0.0)
    try:
        now = scraped(prometheus.text(Metrics(copy.instance, copy.settings).look()))
    finally:
        copy.run("training_set")
        copy.instance.dispose()
    assert value(now, "soil_gates", asset="training_set", check="no_benchmark_leakage", result="pending") == 1


def test_drift_of_each_instrument(house: Platform, found: dict[Series, float]) -> None:
    told = [dict(labels)["instrument"] for name, labels in found if name == "soil_drift_p_value"]
    assert told == ["not named"]
    report = load_value(house.soil.data, "drift_reports", "other")
    assert value(found, "soil_drift_p_value", instrument="not named") == report["family_p"]
    assert value(found, "soil_drift_verdict", instrument="not named", verdict="not_judged") == 1, "the newest"
    assert value(found, "soil_drift_samples", instrument="not named") == report["n"]
    largest = max(v for (name, _), v in found.items() if name == "soil_drift_effect")
    assert largest > 1.0, "a batch that drifts passes the threshold of at least one test"


def test_models_as_registered_and_as_validated(house: Platform, found: dict[Series, float]) -> None:
    rmse = load_value(house.soil.data, "benchmark_evaluations", "clay")["metrics"]["rmse"]
    clay = {"property": "clay", "unit": "%"}
    assert value(found, "soil_registry_version", property="clay", alias="staging") == 1
    assert value(found, "soil_model_rmse", **clay, alias="staging", source="registered") == rmse
    assert value(found, "soil_model_rmse", **clay, alias="staging", source="validated") == pytest.approx(rmse)
    assert value(found, "soil_model_rmse", **clay, alias="candidate", source="measured") == rmse
    assert value(found, "soil_model_rpiq", property="clay", alias="staging", source="registered") > 1.5


def test_how_long_a_verdict_takes(house: Platform, found: dict[Series, float]) -> None:
    half, most = (value(found, "soil_batch_verdict_seconds", share=q) for q in ("0.5", "1"))
    oldest = min(p.stat().st_ctime for p in Path(house.settings.url("landing")).rglob("*"))
    assert 0.0 < half <= most <= time.time() - oldest
    assert 0.0 < value(found, "soil_batch_waiting_seconds") <= time.time() - oldest


def test_the_platform_itself(house: Platform, found: dict[Series, float]) -> None:
    runs = {s: value(found, "soil_runs", status=s) for s in ("succeeded", "failed", "queued", "running")}
    statuses = [r.status for r in house.instance.get_runs()]
    assert runs["failed"] == statuses.count(dg.DagsterRunStatus.FAILURE) == 3
    assert runs["succeeded"] >= 10
    assert runs["queued"] == runs["running"] == 0
    assert value(found, "soil_tick_failed", name="alias_moves", kind="sensor") == 1
    assert value(found, "soil_asset_stale_after_seconds", asset="served_predictions") == 4 * 24 * 3600
    assert value(found, "soil_asset_stale", asset="live_model_validations") == 0
    made = value(found, "soil_asset_made_timestamp_seconds", asset="live_model_validations")
    assert 0 <= time.time() - made < 3600
    assert all(v == 0 for (name, _), v in found.items() if name == "soil_export_failed")


def test_no_label_holds_a_batch_a_sample_or_a_run(house: Platform, found: dict[Series, float]) -> None:
    values = {v for _, labels in found for _, v in labels}
    assert not values & set(LANDED)
    assert not values & {r.run_id for r in house.instance.get_runs()}


def test_a_hundred_hostile_instruments_stay_few_plain_labels(platform: Platform) -> None:
    names = [f'<script>{i}</script>\n"\\{{}} ' + "x" * 300 for i in range(100)]
    for name in names:
        record = BatchRecord("b", name, "pass", "b", "p", 10)
        Stream(platform.soil.data, name).keep(record)
    text = prometheus.text(Metrics(platform.instance, platform.settings).look())
    found = scraped(text)
    told = {dict(labels)["instrument"] for name, labels in found if name == "soil_drift_verdict"}
    assert len(told) == metrics_models.INSTRUMENTS
    assert all(len(t) < 80 and "\n" not in t for t in told)
    assert value(found, "soil_drift_instruments_left_out") == 100 - metrics_models.INSTRUMENTS


def test_what_cannot_be_looked_at_is_told_and_the_rest_is_there(tmp_path: Path) -> None:
    made = make_platform(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(b"no database at all")
    told: list[str] = []
    try:
        found = scraped(prometheus.text(Metrics(made.instance, made.settings, told.append).look()))
    finally:
        made.instance.dispose()
    assert value(found, "soil_export_failed", part="models") == 1
    assert value(found, "soil_export_failed", part="gates") == 0
    assert not [name for name, _ in found if name.startswith("soil_model_")], "no half of a part"
    assert value(found, "soil_batches", status="passed") == 0
    assert len(told) == 1
    assert told[0].startswith("models: ")


def test_a_stale_asset_is_told(platform: Platform) -> None:
    made_long_ago(platform, "served_predictions", 5.0, "2026-01-01")
    found = scraped(prometheus.text(Metrics(platform.instance, platform.settings).look()))
    assert value(found, "soil_asset_stale", asset="served_predictions") == 1


def test_on_postgresql(tmp_path: Path) -> None:
    with postgres("dagster") as address:
        (tmp_path / "dagster.yaml").write_text(
            'telemetry: {enabled: false}\nstorage: {postgres: {postgres_url: "' + address + '"}}\n'
        )
        made = make_platform(tmp_path / "home")
        made.instance.dispose()
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            platform = Platform(made.settings, made.definitions, instance)
            assert platform.run("reference_spectra,benchmark_spectra").success
            land_as(platform.landing, "short", SHORT_RANGE)
            assert platform.judge("short").gate_failed
            record_tick(platform, "new_batches", "away")
            told: list[str] = []
            found = scraped(prometheus.text(Metrics(instance, made.settings, told.append).look()))
    assert told == []
    assert value(found, "soil_batches", status="refused") == 1
    assert value(found, "soil_scans", state="quarantined") == value(found, "soil_scans", state="landed") > 0
    assert value(found, "soil_tick_failed", name="new_batches", kind="sensor") == 1


def series() -> Sequence[Family]:
    family = Family("soil_x", "Said.", ("kind",))
    family.add('a "b"\n\\', figure=1.5)
    return [family]


def test_a_file_is_written_whole_for_the_collector(tmp_path: Path) -> None:
    file = tmp_path / "soil.prom"
    prometheus.write(series(), file)
    assert scraped(file.read_text()) == {("soil_x", frozenset({("kind", 'a "b"\n\\')})): 1.5}
    assert file.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["soil.prom"]
    for wrong in (tmp_path / "soil.txt", tmp_path / "nowhere" / "soil.prom"):
        with pytest.raises(BadInput, match="textfile collector"):
            prometheus.write(series(), wrong)


def test_scrapes_are_answered_and_do_not_each_ask_the_platform() -> None:
    looks: list[int] = []

    def look() -> Sequence[Family]:
        looks.append(1)
        return series()

    port, stop = prometheus.serve(look, 0, "127.0.0.1")
    try:
        with pytest.raises(BadInput, match="cannot listen there"):
            prometheus.serve(look, port, "127.0.0.1")
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                assert ("soil_x", frozenset({("kind", 'a "b"\n\\')})) in scraped(answer.read().decode())
    finally:
        stop()
    assert len(looks) == 1


def test_the_registrys_figures_are_those_of_the_tag(house: Platform, found: dict[Series, float]) -> None:
    with sqlite3.connect(f"{house.settings.home}/mlflow.db") as registry:
        [(kept,)] = registry.execute(
            "SELECT value FROM model_version_tags WHERE key = 'soil.benchmark_metrics' AND name = 'soil-clay'"
        ).fetchall()
    registry.close()
    shown = value(found, "soil_model_rpiq", property="clay", alias="staging", source="registered")
    assert json.loads(kept)["rpiq"] == shown
