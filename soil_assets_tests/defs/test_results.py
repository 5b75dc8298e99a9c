"""Results of one instance restored into another: what training from statistics needs, and nothing of the data."""

from __future__ import annotations

from pathlib import Path

from soil_assets.adapters.dvc import directory_hash
from soil_assets.defs.io import load_value
from soil_assets.defs.landing_zone import all_files
from soil_assets.defs.pipeline import materialize_each
from soil_assets.defs.results import materialize_shared, publish, restore
from soil_assets.storage import Store
from soil_assets_tests.conftest import make_platform
from soil_assets_tests.defs.batches import folds, land_as
from soil_assets_tests.defs.test_pipeline import QUICK, each, made

ADDITIVE = {**QUICK, "recipe": {"training": "additive", "landmarks": 40, "folds": 3}}


def test_statistics_of_a_batch_are_restored_and_summed_without_its_data(tmp_path: Path) -> None:
    main = make_platform(tmp_path / "main", **ADDITIVE)
    other = make_platform(tmp_path / "other", **ADDITIVE)
    results = Store(str(tmp_path / "results"))
    try:
        land_as(main.landing, "june", folds(6))
        md5 = directory_hash(all_files(main.landing, "june"))
        pointer = f"outs:\n- md5: {md5}\n  path: june\n".encode()
        for platform in (main, other):
            platform.landing.write("june.dvc", pointer)
        each(main, "drift_reports,batch_statistics")
        assert publish(main.instance, main.definitions.resolve_asset_graph(), main.soil, results) == [
            f"{asset}[june]"
            for asset in ("raw_spectra", "validated_batches", "drift_reports", "batch_statistics")
        ]
        materialize_shared(other.definitions, other.instance)
        graph = other.definitions.resolve_asset_graph()
        assert restore(other.instance, graph, other.soil, results, {"june": md5}) == {}
        steps = made(
            list(materialize_each(other.definitions, other.instance, other.settings, "training_statistics"))
        )
        assert steps == [("benchmark_spectra", None), ("training_set", None), ("training_statistics", None)]
        total = load_value(other.soil.data, "training_statistics")
        assert set(total.batches) == {"reference", "june"}
    finally:
        main.instance.dispose()
        other.instance.dispose()
