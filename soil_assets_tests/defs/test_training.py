"""Training in one process: one MLflow run, ended as it deserves; a version registered only by a clean lineage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from soil_assets.defs.io import load_value
from soil_assets.defs.resources import registry_of
from soil_assets.errors import BadInput
from soil_assets_tests.conftest import Platform, make_platform

JOB = "trained_models,benchmark_evaluations,model_comparisons"
# mlflow 3.17 and its dependencies warn about themselves while they start.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with a candidate for clay, trained on the reference alone, and its report."""
    made = make_platform(Path(tmp_path_factory.mktemp("trained")))
    assert made.run("reference_spectra,benchmark_spectra").success
    assert made.run("training_set").success
    outcome = made.run(JOB, "clay")
    assert outcome.success, outcome
    assert made.run("decision_report").success
    try:
        yield made
    finally:
        made.instance.dispose()


def runs(platform: Platform) -> list[object]:
    registry = registry_of(platform.settings)
    client = registry.client()
    experiment = client.get_experiment_by_name(registry.experiment)
    return list(client.search_runs([experiment.experiment_id]))


def test_one_dagster_run_is_one_mlflow_run(trained: Platform) -> None:
    finished = [r for r in runs(trained) if r.info.status == "FINISHED"]  # type: ignore[attr-defined]
    assert len(finished) == 1
    [run] = finished
    assert run.data.params["property"] == "clay"  # type: ignore[attr-defined]
    assert {"cv_rmse", "benchmark_rmse"} <= set(run.data.metrics)  # type: ignore[attr-defined]
    tags = run.data.tags  # type: ignore[attr-defined]
    assert tags["soil.verdict"] == "first version"
    assert tags["soil.training_data"] == load_value(trained.soil.data, "training_set").content_hash()
    assert tags["dagster_run_id"] == tags["soil.dagster_run"]


def test_a_clean_lineage_is_registered_and_loads(trained: Platform) -> None:
    outcome = trained.run("registered_versions", "clay")
    assert outcome.success, outcome
    registry = registry_of(trained.settings)
    model, version = registry.load("models:/soil-clay@staging")
    assert version.version == 1
    assert version.aliases == ("staging",)
    benchmark = load_value(trained.soil.data, "benchmark_spectra")
    ours = load_value(trained.soil.data, "trained_models", "clay")
    np.testing.assert_array_equal(
        model.predict(benchmark)["value"].to_numpy(), ours.predict(benchmark)["value"].to_numpy()
    )
    same, _ = registry.load("models:/soil-clay/1")
    assert same.property == "clay"


def test_registering_again_makes_no_second_version(trained: Platform) -> None:
    assert trained.run("registered_versions", "clay").success
    assert trained.run("registered_versions", "clay").success
    assert [v.version for v in registry_of(trained.settings).versions("soil-clay")] == [1]


def test_the_artifact_holds_no_pickle_and_predicts_as_a_pyfunc(trained: Platform, tmp_path: Path) -> None:
    import mlflow

    assert trained.run("registered_versions", "clay").success
    registry = registry_of(trained.settings)
    registry.client()
    folder = Path(mlflow.artifacts.download_artifacts("models:/soil-clay/1", dst_path=str(tmp_path)))
    files = [f for f in folder.rglob("*") if f.is_file()]
    assert [f.name for f in files if f.suffix in (".pkl", ".pickle", ".joblib", ".skops")] == []
    opcodes = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    assert [f.name for f in files if f.read_bytes()[:2] in opcodes] == []
    served = mlflow.pyfunc.load_model(str(folder))
    benchmark = load_value(trained.soil.data, "benchmark_spectra")
    ours = load_value(trained.soil.data, "trained_models", "clay").predict(benchmark)
    theirs = served.predict(benchmark.spectra)
    np.testing.assert_allclose(theirs["value"], ours["value"], rtol=1e-9)
    assert theirs["inside"].tolist() == ours["inside"].tolist()


def test_a_failed_training_leaves_a_failed_mlflow_run(
    trained: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dagster-mlflow alone would mark it finished."""
    from soil_assets.modeling import train

    before = {r.info.run_id for r in runs(trained)}  # type: ignore[attr-defined]

    def breaks(*_: object, **__: object) -> None:
        raise MemoryError("no memory left for the kernel matrix")

    monkeypatch.setattr(train, "train", breaks)
    outcome = trained.run(JOB, "clay")
    assert not outcome.success
    assert any("no memory left" in e for e in outcome.errors)
    [new] = [r for r in runs(trained) if r.info.run_id not in before]  # type: ignore[attr-defined]
    assert new.info.status == "FAILED"  # type: ignore[attr-defined]


def test_a_worse_candidate_is_held_reported_and_not_registered(
    trained: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate says no: the MLflow run is finished (nothing broke), the alias stays, and the report says why."""
    from soil_assets.modeling import train as module

    assert trained.run(JOB, "clay").success
    assert trained.run("registered_versions", "clay").success
    staged = registry_of(trained.settings).version_at("soil-clay", "staging")
    real = module.train

    def worse(batch: object, *args: object, **kwargs: object) -> object:
        noisy = batch.samples.copy()  # type: ignore[attr-defined]
        noisy["clay"] = np.random.default_rng(0).permutation(noisy["clay"].to_numpy())
        return real(batch.with_samples(noisy), *args, **kwargs)  # type: ignore[attr-defined, arg-type]

    monkeypatch.setattr(module, "train", worse)
    before = {r.info.run_id for r in runs(trained)}  # type: ignore[attr-defined]
    outcome = trained.run(JOB, "clay")
    assert outcome.gate_failed
    [new] = [r for r in runs(trained) if r.info.run_id not in before]  # type: ignore[attr-defined]
    assert new.info.status == "FINISHED"  # type: ignore[attr-defined]
    assert trained.run("decision_report").success
    report = load_value(trained.soil.data, "decision_report")
    assert report["data"]["verdict"] in ("reject", "request changes")
    refused = trained.run("registered_versions", "clay")
    assert not refused.success
    assert any("is not registered" in e for e in refused.errors)
    assert registry_of(trained.settings).version_at("soil-clay", "staging") == staged


def test_a_branch_deployment_never_moves_an_alias(trained: Platform) -> None:
    branch = make_platform(Path(trained.settings.home), deployment="branch")
    try:
        outcome = Platform(branch.settings, branch.definitions, trained.instance).run(
            "registered_versions", "clay"
        )
        assert not outcome.success
        assert any("branch deployment" in e for e in outcome.errors)
    finally:
        branch.instance.dispose()


@pytest.mark.parametrize(
    "address", ["soil-clay@staging", "models:/", "models:/soil-none@staging", "models:/soil-clay/99"]
)
def test_an_address_that_names_nothing_says_what_there_is(trained: Platform, address: str) -> None:
    with pytest.raises(BadInput, match="models:/"):
        registry_of(trained.settings).load(address)


def test_an_empty_registry_costs_no_import(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    try:
        registry = registry_of(platform.settings)
        assert registry.empty
        assert registry.names() == []
        assert registry.version_at("soil-clay", "staging") is None
        assert platform.soil.main_model("clay") is None
    finally:
        platform.instance.dispose()


def test_the_front_page_names_the_registered_version(trained: Platform) -> None:
    from soil_assets.defs.evidence import benchmark_rmse

    assert trained.run(JOB, "clay").success
    assert trained.run("decision_report").success
    assert trained.run("registered_versions", "clay").success
    version = registry_of(trained.settings).version_at("soil-clay", "staging")
    assert version is not None
    assert version.tags["soil.benchmark_rmse"] == benchmark_rmse(trained.soil, "clay")
    page = trained.soil.reports.read("index.html").decode()
    assert f"<td>{version.version}</td>" in page
    assert version.tags["soil.benchmark_rmse"] in page.replace("\N{NO-BREAK SPACE}", " ")
