"""Sensors through real ticks: whole batches once a content, merged code once a change."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from soil_assets.defs import attempts, code_versions, sensors
from soil_assets.defs.build import build_definitions
from soil_assets.defs.landing_zone import batch_version
from soil_assets.defs.sensors import BATCHES_A_TICK
from soil_assets_tests.conftest import Platform, make_platform


@pytest.fixture(autouse=True)
def _reference(request: pytest.FixtureRequest) -> None:
    """Batches wait for the golden reference; here it is said to be there."""
    if "platform" in request.fixturenames:
        known_reference(request.getfixturevalue("platform"))


def known_reference(platform: Platform) -> None:
    platform.instance.report_runless_asset_event(dg.AssetMaterialization("reference_spectra"))


def drop(
    platform: Platform, name: str, text: str = "sample_id,1000,1002\na,0.1,0.2\n", whole: bool = True
) -> None:
    platform.landing.write(f"{name}/spectra.csv", text.encode())
    if whole:
        platform.landing.write(f"{name}/_SUCCESS", b"")


def tick(
    platform: Platform, cursor: str | None = None, sensor: str = "new_batches"
) -> tuple[dg.SensorResult, str]:
    """Tick once, add what it asks to add, and return the cursor that the daemon would keep."""
    context = dg.build_sensor_context(
        instance=platform.instance, cursor=cursor, repository_def=platform.definitions.get_repository_def()
    )
    said = platform.definitions.resolve_sensor_def(sensor)(context)
    result = said if isinstance(said, dg.SensorResult) else dg.SensorResult()
    for request in result.dynamic_partitions_requests or []:
        platform.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return result, result.cursor or context.cursor or ""


def made(
    platform: Platform,
    request: dg.RunRequest,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.NOT_STARTED,
    reason: str = "",
) -> dg.DagsterRun:
    """The run that the daemon makes of a request, as it stands in the instance."""
    tags = {
        **request.tags,
        "dagster/partition": str(request.partition_key),
        "dagster/run_key": request.run_key or "",
    }
    if reason:
        tags["dagster/failure_reason"] = reason
    return platform.instance.create_run_for_job(
        platform.definitions.resolve_job_def(request.job_name or "judge_batch"), tags=tags, status=status
    )


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the sensors' clock be so many seconds ahead."""
    real = time.time
    monkeypatch.setattr(attempts, "time", SimpleNamespace(time=lambda: real() + seconds))
    monkeypatch.setattr(
        sensors, "time", SimpleNamespace(time=lambda: real() + seconds, monotonic=time.monotonic)
    )


def test_a_whole_batch_is_asked_for_once(platform: Platform) -> None:
    drop(platform, "b1")
    result, cursor = tick(platform)
    [request] = result.run_requests or []
    assert request.partition_key == "b1"
    assert request.run_key == f"b1:{batch_version(platform.landing, 'b1')}"
    assert platform.instance.get_dynamic_partitions("batch") == ["b1"]
    made(platform, request)
    again, _ = tick(platform, cursor)
    assert not again.run_requests, "its run is on its way"


@pytest.mark.parametrize(
    ("status", "reason", "pause"),
    [
        (dg.DagsterRunStatus.CANCELED, "", 20),
        (dg.DagsterRunStatus.FAILURE, "UNKNOWN", 20),
        (dg.DagsterRunStatus.FAILURE, "START_TIMEOUT", 20),
        (dg.DagsterRunStatus.FAILURE, "STEP_FAILURE", 20),
        (dg.DagsterRunStatus.SUCCESS, "", 0),  # nothing of it is left: its assets were wiped
    ],
)
def test_what_has_no_verdict_is_asked_for_again(
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    status: dg.DagsterRunStatus,
    reason: str,
    pause: float,
) -> None:
    drop(platform, "b1")
    seen, cursor = set(), None
    for attempt in range(3):
        later(monkeypatch, 4 * pause * attempt)
        result, cursor = tick(platform, cursor)
        [request] = result.run_requests or []
        assert request.run_key not in seen, "Dagster answers a run key once"
        seen.add(request.run_key)
        made(platform, request, status, reason)
        if pause:
            later(monkeypatch, 0)
            assert not tick(platform, cursor)[0].run_requests, "not in the same minute"


def test_a_step_that_fails_again_and_again_is_asked_for_once_an_hour(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(platform, "b1")
    [request] = tick(platform)[0].run_requests or []
    for _ in range(20):
        made(platform, request, dg.DagsterRunStatus.FAILURE, "STEP_FAILURE")
    later(monkeypatch, 3500)
    assert not tick(platform)[0].run_requests
    later(monkeypatch, 3700)
    assert tick(platform)[0].run_requests


def test_a_batch_of_a_backfill_that_runs_is_not_asked_for(platform: Platform) -> None:
    for name in ("b1", "b2"):
        drop(platform, name)
        platform.instance.add_dynamic_partitions("batch", [name])
    job = platform.definitions.resolve_job_def("judge_many_batches")
    run = platform.instance.create_run_for_job(
        job,
        run_config={"ops": {"judge_batches": {"config": {"batches": ["b1"]}}}},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert [r.partition_key for r in tick(platform)[0].run_requests or []] == ["b2"]
    platform.instance.report_run_canceled(run)
    assert [r.partition_key for r in tick(platform)[0].run_requests or []] == ["b1", "b2"]
    platform.instance.create_run_for_job(job, status=dg.DagsterRunStatus.NOT_STARTED)
    assert not tick(platform)[0].run_requests, "it names none: it judges all"


@pytest.mark.parametrize("what", ["partition", "wiped", "cursor"])
def test_what_is_deleted_in_the_ui_comes_back(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """What lies in the landing zone is judged; to take a batch out, it is withdrawn."""
    drop(platform, "b1")
    [request] = tick(platform)[0].run_requests or []
    judged(platform, request)
    quiet, cursor = tick(platform)
    assert not quiet.run_requests
    if what == "wiped":
        platform.instance.wipe_assets([dg.AssetKey("raw_spectra"), dg.AssetKey("validated_batches")])
        later(monkeypatch, 60)
        [again] = tick(platform, cursor)[0].run_requests or []
        assert again.run_key != request.run_key
        judged(platform, again)
    elif what == "partition":
        platform.instance.delete_dynamic_partition("batch", "b1")
        again, cursor = tick(platform, cursor)
        assert not again.run_requests, "its verdicts are still there"
    else:
        cursor = ""
    assert not tick(platform, cursor)[0].run_requests
    assert platform.instance.get_dynamic_partitions("batch") == ["b1"]


def test_a_judged_batch_whose_next_run_was_killed_is_asked_for(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged again after a merge, and killed behind the value: what the cursor remembers is older than that."""
    drop(platform, "b1")
    [request] = tick(platform)[0].run_requests or []
    judged(platform, request)
    _, cursor = tick(platform)
    later(monkeypatch, 60)
    assert not tick(platform, cursor)[0].run_requests
    latest = platform.instance.fetch_materializations(dg.AssetKey("raw_spectra"), limit=1).records[0]
    assert latest.asset_materialization is not None
    tags = {**(latest.asset_materialization.tags or {}), "dagster/code_version": "newer"}
    platform.instance.report_runless_asset_event(
        dg.AssetMaterialization("raw_spectra", partition="b1", tags=tags)
    )
    [again] = tick(platform, cursor)[0].run_requests or []
    assert again.run_key != request.run_key


def judged(platform: Platform, request: dg.RunRequest) -> None:
    """A run for a request in this process; the small batches of these tests are held by their quality gate."""
    from soil_assets.defs.run import run_job

    if "reference_spectra" not in {r.job_name for r in platform.instance.get_runs()}:
        assert platform.run("reference_spectra").success
    outcome = run_job(
        platform.definitions, platform.instance, "judge_batch", request.partition_key, request.tags
    )
    assert not outcome.errors
    assert outcome.gate_failed


def test_changed_bytes_under_an_old_name_are_another_version(platform: Platform) -> None:
    drop(platform, "b1")
    first, cursor = tick(platform)
    drop(platform, "b1", "sample_id,1000,1002\na,0.1,0.9\n")
    second, _ = tick(platform, cursor)
    [one], [two] = first.run_requests or [], second.run_requests or []
    assert one.run_key != two.run_key
    assert not second.dynamic_partitions_requests, "the partition is there already"


def test_the_same_bytes_again_keep_their_run_key(platform: Platform) -> None:
    drop(platform, "b1")
    first, cursor = tick(platform)
    file = Path(platform.landing.where("b1/spectra.csv"))
    os.utime(file, (1_000_000_000, 1_000_000_000))
    second, _ = tick(platform, cursor)
    assert [r.run_key for r in first.run_requests or []] == [r.run_key for r in second.run_requests or []]


def test_what_lay_there_once_before_is_judged_again(platform: Platform) -> None:
    """A, then B, then A: Dagster answers a run key once, and what is stored would stay B's."""
    seen, cursor = [], None
    for content in ("0.1,0.9", "0.2,0.8", "0.1,0.9", "0.2,0.8"):
        drop(platform, "b1", f"sample_id,1000,1002\na,{content}\n")
        os.utime(Path(platform.landing.where("b1/spectra.csv")), (1_000_000_000 + len(seen),) * 2)
        result, cursor = tick(platform, cursor)
        [request] = result.run_requests or []
        seen.append(request.run_key)
        assert platform.run("raw_spectra", "b1").materialized == ("raw_spectra",)
    assert len(set(seen)) == 4


def test_a_batch_that_is_still_written_waits(tmp_path: Path) -> None:
    platform = make_platform(tmp_path, landing={"quiet_seconds": 3600})
    known_reference(platform)
    try:
        drop(platform, "b1", whole=False)
        assert not tick(platform)[0].run_requests
        file = Path(platform.landing.where("b1/spectra.csv"))
        os.utime(file, (1_000_000_000, 1_000_000_000))  # quiet for long: whole without a marker
        assert len(tick(platform)[0].run_requests or []) == 1
    finally:
        platform.instance.dispose()


def test_batches_wait_for_the_golden_reference(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    try:
        drop(platform, "b1")
        assert not tick(platform)[0].run_requests
        known_reference(platform)
        assert len(tick(platform)[0].run_requests or []) == 1
    finally:
        platform.instance.dispose()


def test_an_empty_folder_is_not_a_batch(platform: Platform) -> None:
    Path(platform.landing.where("empty")).mkdir(parents=True)
    platform.landing.write("only-marker/_SUCCESS", b"")
    assert not tick(platform)[0].run_requests


@pytest.mark.parametrize("name", ["..hidden", "a\nb", "-rf", "x" * 201])
def test_a_name_that_is_no_key_is_refused_and_others_go_on(platform: Platform, name: str) -> None:
    folder = Path(platform.landing.url) / name
    folder.mkdir(parents=True)
    (folder / "_SUCCESS").touch()
    (folder / "spectra.csv").write_text("x")
    drop(platform, "good")
    result, _ = tick(platform)
    assert [r.partition_key for r in result.run_requests or []] == ["good"]


def test_a_link_out_of_the_landing_zone_is_not_followed(platform: Platform, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "spectra.csv").write_text("secret")
    Path(platform.landing.url).mkdir(parents=True, exist_ok=True)
    (Path(platform.landing.url) / "link").symlink_to(outside)
    assert not tick(platform)[0].run_requests


def test_a_batch_that_cannot_be_taken_holds_no_other_and_is_told(platform: Platform) -> None:
    """A pipe would be waited for without an end; a broken pointer of DVC used to end the tick."""
    folder = Path(platform.landing.url) / "a-pipe"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe.csv")
    (folder / "_SUCCESS").touch()
    drop(platform, "b-pointer")
    platform.landing.write("b-pointer.dvc", b"outs: nonsense")
    drop(platform, "c-future", whole=False)
    os.utime(platform.landing.where("c-future/spectra.csv"), (time.time() + 9000,) * 2)
    context = dg.build_sensor_context(
        instance=platform.instance, repository_def=platform.definitions.get_repository_def()
    )
    skipped = platform.definitions.resolve_sensor_def("new_batches")(context)
    assert isinstance(skipped, dg.SkipReason)
    told = str(skipped.skip_message)
    for words in ("a-pipe: ", "neither a file nor a folder", "b-pointer: ", "c-future: ", "in the future"):
        assert words in told
    drop(platform, "d-good")
    assert [r.partition_key for r in tick(platform)[0].run_requests or []] == ["d-good"]


def test_many_batches_at_once_are_spread_over_ticks(platform: Platform) -> None:
    for i in range(BATCHES_A_TICK + 3):
        drop(platform, f"b{i:03d}")
    first, cursor = tick(platform)
    for request in first.run_requests or []:
        made(platform, request)
    second, cursor = tick(platform, cursor)
    asked = [r.partition_key for r in [*(first.run_requests or []), *(second.run_requests or [])]]
    assert len(asked) == len(set(asked)) == BATCHES_A_TICK + 3
    assert json.loads(cursor)["begin"] == ""


def test_half_of_the_way_is_no_verdict(platform: Platform) -> None:
    """A run that was killed behind its first value: the batch is asked for, whatever the cursor says."""
    bands = range(600, 4000, 20)
    values = ",".join(str(0.3 + (b % 7) / 100) for b in bands)
    drop(platform, "b1", f"sample_id,{','.join(map(str, bands))}\na,{values}\n")
    _, cursor = tick(platform)
    assert platform.run("raw_spectra", "b1").success
    [request] = tick(platform, cursor)[0].run_requests or []
    assert request.partition_key == "b1"


def test_merged_code_is_asked_for_once_and_only_where_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = make_platform(tmp_path)
    try:
        assert platform.run("reference_spectra,benchmark_spectra").success
        assert not tick(platform, sensor="merged_changes")[0].run_requests, "nothing was merged"

        # A merge that changes the room both frozen sets are read with.
        real = code_versions._source_hash
        monkeypatch.setattr(
            code_versions, "_source_hash", lambda place: "new" if place == "spectra" else real(place)
        )
        merged = Platform(platform.settings, build_definitions(platform.settings), platform.instance)
        [request] = tick(merged, sensor="merged_changes")[0].run_requests or []
        assert request.job_name == "freeze"
        canceled = made(merged, request, dg.DagsterRunStatus.CANCELED)
        assert canceled.job_name == "freeze"
        later(monkeypatch, 60)
        [again] = tick(merged, sensor="merged_changes")[0].run_requests or []
        assert again.run_key != request.run_key, "nothing came of it: it is asked for again"
        assert merged.run("reference_spectra,benchmark_spectra").success
        assert not tick(merged, sensor="merged_changes")[0].run_requests
    finally:
        platform.instance.dispose()


def test_all_sensors_run_from_the_start(platform: Platform) -> None:
    sensors = platform.definitions.get_repository_def().sensor_defs
    assert {s.name for s in sensors} == {
        "new_batches",
        "merged_changes",
        "alerts",
        "keep_records",
        "alias_moves",
        "served_days",
        "declared_automation",
    }
    assert all(s.default_status is dg.DefaultSensorStatus.RUNNING for s in sensors)
