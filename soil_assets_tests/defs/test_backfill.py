"""Many batches in one run: a verdict for each, the same as in a run of its own, and as often as is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest

from soil_assets.defs.backfill import JOB, unjudged
from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.gates import BATCH_CHAIN, gate_records, select_batches
from soil_assets.defs.io import load_value
from soil_assets.defs.library import known_scans
from soil_assets.defs.staleness import why_stale
from soil_assets.spectra.embedded import limesoda
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.batches import folds, land_as, land_garbage

MAKERS = {"a-good": folds(6), "b-field": lambda: limesoda("NRW.62"), "d-good": folds(7)}


def land_all(platform: Platform) -> list[str]:
    for name, make in MAKERS.items():
        land_as(platform.landing, name, make)
    land_garbage(platform.landing, "c-garbage")
    names = sorted([*MAKERS, "c-garbage"])
    platform.instance.add_dynamic_partitions("batch", names)
    return names


def backfill(platform: Platform, batches: Sequence[str] = ()) -> dg.ExecuteInProcessResult:
    return platform.definitions.resolve_job_def(JOB).execute_in_process(
        instance=platform.instance,
        run_config={"ops": {"judge_batches": {"config": {"batches": list(batches)}}}},
        raise_on_error=False,
    )


def verdicts(platform: Platform, names: list[str]) -> dict[tuple[str, str, str], tuple[bool | None, str]]:
    found = {}
    for asset in assets_of(platform.settings):
        name = asset.key.path[-1]
        if name in BATCH_CHAIN:
            checks = [s.name for s in asset.check_specs]
            for batch in names:
                for r in gate_records(platform.instance, name, checks, batch):
                    found[(batch, name, r.check)] = (r.passed, r.summary)
    return found


def chosen(platform: Platform) -> tuple[tuple[str, ...], dict[str, str]]:
    selection = select_batches(platform.instance, blocking_of(assets_of(platform.settings)))
    return selection.taken, dict(selection.left)


@pytest.mark.slow
def test_each_batch_has_the_verdict_of_a_run_of_its_own(platform: Platform, tmp_path_factory: Any) -> None:
    alone = make_platform(tmp_path_factory.mktemp("alone"))
    try:
        for place in (platform, alone):
            assert place.run("reference_spectra,benchmark_spectra").success
            names = land_all(place)
        for name in names:
            assert alone.judge(name).errors == ()
        done = backfill(platform)
        assert done.success
        ours, theirs = verdicts(platform, names), verdicts(alone, names)
        # A run of one asset ends at its first failed gate; what later gates would have said is told here as well.
        assert {k: v for k, v in ours.items() if theirs[k][0] is not None} == {
            k: v for k, v in theirs.items() if v[0] is not None
        }
        assert all(passed is None for (b, a, _), (passed, _) in ours.items() if b[0] == "c" and a[0] != "r")
        assert chosen(platform) == chosen(alone)
        assert chosen(platform)[0] == ("a-good", "d-good")
        for name in MAKERS:
            ours, theirs = (load_value(p.soil.data, "validated_batches", name) for p in (platform, alone))
            assert ours.counts == theirs.counts
            assert ours.accepted.content_hash() == theirs.accepted.content_hash()
        assert platform.soil.reports.exists("batches/b-field/index.html"), "what is held can be looked at"
        assert not platform.soil.reports.exists("batches/a-good/index.html")
    finally:
        alone.instance.dispose()


@pytest.mark.slow
def test_done_again_it_judges_again_and_without_names_only_what_is_left(platform: Platform) -> None:
    assert platform.run("reference_spectra,benchmark_spectra").success
    names = land_all(platform)
    by_name = {a.key.path[-1]: a for a in assets_of(platform.settings)}
    assert unjudged(platform.instance, platform.soil, by_name) == names
    assert backfill(platform, names[:3]).success
    assert unjudged(platform.instance, platform.soil, by_name) == ["d-good"]
    assert backfill(platform).success
    assert unjudged(platform.instance, platform.soil, by_name) == []
    first = chosen(platform)
    assert backfill(platform, names).success, "the same batches may be judged by any number of runs"
    assert chosen(platform) == first
    batch = load_value(platform.soil.data, "validated_batches", "d-good")
    assert len(batch.quarantine) == 0, "a batch is never a copy of its own past"
    for asset in BATCH_CHAIN:
        records = platform.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=["a-good"]), limit=10
        ).records
        assert len(records) == 2
        inputs = {
            "raw_spectra": {},
            "validated_batches": {"raw_spectra": ["a-good"], "reference_spectra": None},
        }
        code = by_name[asset].code_versions_by_key[dg.AssetKey(asset)]
        assert why_stale(platform.instance, asset, "a-good", code, inputs.get(asset, {})) is None
    land_as(platform.landing, "a-good", folds(10))
    assert unjudged(platform.instance, platform.soil, by_name) == ["a-good"], "its content changed"


def test_what_cannot_be_judged_is_told(platform: Platform) -> None:
    land_all(platform)
    assert "golden reference" in errors(backfill(platform))
    assert "nobody" in errors(backfill(platform, ["nobody"]))
    assert known_scans(platform.instance, platform.soil, "a-good") is None


def errors(done: dg.ExecuteInProcessResult) -> str:
    assert not done.success
    return " ".join(str(e.step_failure_data.error) for e in done.get_step_failure_events())
