"""A branch deployment beside production, on one storage: what it sees, what it does again, and what it cannot touch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation

from soil_assets.defs.branches import remove_branch
from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.gates import materialization, select_batches
from soil_assets.defs.io import load_value
from soil_assets.defs.verdict_events import report_verdict, run_for_verdicts, target_of
from soil_assets.errors import BadInput
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.batches import SHORT_RANGE, folds, land_as


def tick(platform: Platform, sensor: str, cursor: str | None = None) -> tuple[object, str | None]:
    context = dg.build_sensor_context(
        instance=platform.instance, cursor=cursor, repository_def=platform.definitions.get_repository_def()
    )
    said = platform.definitions.resolve_sensor_def(sensor)(context)
    return said, context.cursor


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file of production and its hash; the branches' own folders left out."""
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*"))
        if f.is_file() and "branches" not in f.relative_to(folder).parts and ".writing" not in f.parts
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Platform]]:
    """Production with a passed and a refused batch; a branch on the same storage with an instance of its own."""
    home = tmp_path_factory.mktemp("production")
    production = make_platform(home, deployment="production")
    assert production.run("reference_spectra,benchmark_spectra").success
    land_as(production.landing, "good", folds(6))
    land_as(production.landing, "bad", SHORT_RANGE)
    assert production.judge("good").success
    assert production.judge("bad").gate_failed
    assert production.run("training_set").success
    tick(production, "keep_records")
    places = {kind: production.settings.url(kind) for kind in ("landing", "data", "reports")}  # type: ignore[arg-type]
    branch = make_platform(
        tmp_path_factory.mktemp("branch"), deployment="branch", branch="pr-7", storage=places
    )
    tick(branch, "adopt_records")
    yield production, branch
    production.instance.dispose()
    branch.instance.dispose()


def test_the_branch_knows_productions_verdicts(both: tuple[Platform, Platform]) -> None:
    _, branch = both
    checks = blocking_of(assets_of(branch.settings))
    theirs, ours = (select_batches(p.instance, checks) for p in both)
    assert ours.taken == theirs.taken == ("good",)
    assert set(ours.left) == {"bad"}
    assert "range" in ours.left["bad"] or "spectral_quality" in ours.left["bad"]


def test_nothing_is_asked_for_when_the_code_is_the_same(both: tuple[Platform, Platform]) -> None:
    _, branch = both
    said, _ = tick(branch, "merged_changes")
    assert isinstance(said, dg.SkipReason)
    new, _ = tick(branch, "new_batches")
    assert isinstance(new, dg.SkipReason)


def test_only_what_the_branch_changed_is_asked_for(both: tuple[Platform, Platform]) -> None:
    _, branch = both
    changed = make_platform(
        Path(branch.settings.home),
        deployment="branch",
        branch="pr-7",
        storage=branch.settings.storage.model_dump(),
        policy={"drift": {"min_samples": 12}},
    )
    context = dg.build_sensor_context(
        instance=branch.instance, repository_def=changed.definitions.get_repository_def()
    )
    said = changed.definitions.resolve_sensor_def("merged_changes")(context)
    assert isinstance(said, dg.SensorResult)
    asked = {(r.job_name, r.partition_key) for r in said.run_requests or []}
    # 'bad' never reached its drift gate, so there is nothing of it to do again.
    assert asked == {("judge_batch", "good")}
    changed.instance.dispose()


def test_it_reads_production_and_writes_only_its_own(both: tuple[Platform, Platform]) -> None:
    production, branch = both
    data = Path(production.settings.url("data"))
    before = fingerprint(data)
    reference = load_value(branch.soil.data, "reference_spectra")
    assert reference.content_hash() == load_value(production.soil.data, "reference_spectra").content_hash()
    land_as(branch.landing, "of-the-branch", folds(7))
    assert branch.judge("of-the-branch").success
    assert branch.judge("good").success
    assert branch.run("training_set").success
    taken = set(load_value(branch.soil.data, "training_set").samples["batch"])
    assert taken == {"reference", "good", "of-the-branch"}
    assert set(load_value(production.soil.data, "training_set").samples["batch"]) == {"reference", "good"}
    assert fingerprint(data) == before
    assert (data / "branches/pr-7/assets/drift_reports/of-the-branch/current.json").is_file()


def test_its_own_verdict_is_not_overwritten(both: tuple[Platform, Platform]) -> None:
    _, branch = both
    assert branch.judge("good").success
    own = materialization(branch.instance, "drift_reports", "good")
    tick(branch, "adopt_records")
    again = materialization(branch.instance, "drift_reports", "good")
    assert own is not None
    assert again is not None
    assert again.storage_id == own.storage_id


def test_a_verdict_that_production_changes_is_followed_once(both: tuple[Platform, Platform]) -> None:
    """Only the verdict: what was taken over is not made again, and nothing looks newer than it was."""
    production, _ = both
    branch = make_platform(
        Path(production.settings.home).parent / "another",
        deployment="branch",
        branch="pr-8",
        storage={kind: production.settings.url(kind) for kind in ("landing", "data", "reports")},  # type: ignore[arg-type]
    )
    try:
        _, cursor = tick(branch, "adopt_records")
        checks = blocking_of(assets_of(branch.settings))
        before = materialization(branch.instance, "drift_reports", "good")
        assert before is not None
        for passed in (
            False,
            True,
            False,
        ):  # more than once, which dagster's unique index refuses without a run
            report_verdict(
                production.instance,
                AssetCheckEvaluation(
                    asset_key=dg.AssetKey("drift_reports"),
                    check_name="batch_drift",
                    passed=passed,
                    severity=dg.AssetCheckSeverity.ERROR,
                    blocking=True,
                    partition="good",
                    target_materialization_data=target_of(production.instance, "drift_reports", "good"),
                    description="judged again",
                ),
                run_for_verdicts(production.instance, "another_judge", "a test"),
            )
            tick(production, "keep_records")
            said, cursor = tick(branch, "adopt_records", cursor)
            assert "1 records" in str(said.skip_message), "the one that changed"
            assert ("good" in select_batches(branch.instance, checks).taken) is passed
        after = materialization(branch.instance, "drift_reports", "good")
        assert after is not None
        assert after.storage_id == before.storage_id
        said, _ = tick(branch, "adopt_records")  # the cursor lost
        assert materialization(branch.instance, "drift_reports", "good").storage_id == before.storage_id
    finally:
        branch.instance.dispose()
        assert production.judge("good").success
        tick(production, "keep_records")


def test_records_are_written_once(both: tuple[Platform, Platform]) -> None:
    production, _ = both
    _, cursor = tick(production, "keep_records")
    said, _ = tick(production, "keep_records", cursor)
    assert isinstance(said, dg.SkipReason)
    assert "0 records written" in str(said.skip_message)


def test_a_closed_branch_leaves_nothing(both: tuple[Platform, Platform]) -> None:
    production, branch = both
    branch.soil.data.write("note", b"of the branch")
    before = fingerprint(Path(production.settings.url("data")))
    gone = remove_branch(branch.settings, "pr-7")
    assert gone
    assert not Path(branch.settings.url("data")).exists()
    assert fingerprint(Path(production.settings.url("data"))) == before


@pytest.mark.parametrize("name", ["..", "../..", "", "a/b", "."])
def test_only_a_branch_can_be_removed(both: tuple[Platform, Platform], name: str) -> None:
    _, branch = both
    with pytest.raises(BadInput):
        remove_branch(branch.settings, name)
