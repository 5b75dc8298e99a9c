"""What main is, beside a change: batches by content, judge, past figures, and why a source could not be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from soil_assets.adapters.dvc import directory_hash
from soil_assets.adapters.registry import stage
from soil_assets.config import load_settings
from soil_assets.errors import BadInput
from soil_assets.modeling.artifact import load
from soil_assets.pull_request.baseline import Baseline, bring
from soil_assets.pull_request.batches import batches_at, batches_here, touched
from soil_assets.storage import Store
from soil_assets_tests.adapters.test_git import call
from soil_assets_tests.delivery.models import RELEASED, field, model, registered, sqlite_registry

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")
ROOT = Path(__file__).resolve().parents[2]
SOIL = """
properties: [clay]
storage: {mlflow_tracking: "http://127.0.0.1:9"}
policy: {model: {margin: 0.05}, drift: {when_drift: hold}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Main with a batch of each kind: in git, under a pointer, an output of the pipeline."""
    root = tmp_path / "repository"
    (root / "batches" / "in-git").mkdir(parents=True)
    (root / "batches" / "in-git" / "spectra.csv").write_text("a", encoding="utf-8")
    (root / "batches" / "pointed.dvc").write_text(
        "outs: [{md5: beef.dir, path: pointed}]\n", encoding="utf-8"
    )
    lock = "schema: '2.0'\nstages: {fetch: {cmd: x, outs: [{path: batches/made, md5: cafe.dir}]}}\n"
    (root / "dvc.lock").write_text(lock, encoding="utf-8")
    (root / "soil.yaml").write_text(SOIL, encoding="utf-8")
    frozen = root / "soil_assets" / "benchmarks" / "frozen"
    frozen.mkdir(parents=True)
    shutil.copy(ROOT / "soil_assets" / "benchmarks" / "frozen" / "nrw115-benchmark.yaml", frozen)
    # Code of main that cannot run any more: whoever tries it is told so at once.
    (root / "soil_assets" / "__init__.py").write_text("raise SystemExit('too old')\n", encoding="utf-8")
    call(root, "init", "-q", "-b", "main")
    for rmse in (3.0, 2.5):
        figures = {"clay": {"rmse": rmse, "rmse_low": 2.0, "rmse_high": 4.0, "n": 22, "bias": 0.1}}
        (root / "metrics.json").write_text(json.dumps(figures), encoding="utf-8")
        call(root, "add", "-A")
        call(root, "commit", "-q", "-m", f"rmse {rmse}")
    return root


def test_batches_of_every_kind_are_named_by_their_content(repository: Path) -> None:
    found = batches_at(repository, "HEAD", "batches")
    assert found == {
        "in-git": directory_hash({"spectra.csv": b"a"}),
        "pointed": "beef.dir",
        "made": "cafe.dir",
    }
    here = batches_here(Store(str(repository / "batches")))
    assert here == {"in-git": found["in-git"]}
    assert touched(found, here) == frozenset()
    assert touched({"in-git": "other"}, here) == {"in-git"}


def test_a_broken_lock_is_told(repository: Path) -> None:
    (repository / "dvc.lock").write_text("stages: [1, 2]\n", encoding="utf-8")
    call(repository, "commit", "-qam", "broken")
    with pytest.raises(BadInput, match="lock file"):
        batches_at(repository, "HEAD", "batches")


def test_without_any_model_of_main_its_figures_judge_and_past_remain(
    repository: Path, tmp_path: Path
) -> None:
    """The registry cannot be reached, DVC has nothing, and main's own code is not there to be run."""
    told: list[str] = []
    found = bring(repository, "main", tmp_path / "baseline", told.append)
    assert found.source == "metrics"
    assert [w.split(":")[0] for w in found.why] == [
        "main's asset graph could not be read",
        "registry",
        "dvc",
        "retrained",
    ]
    assert [p["rmse"] for p in found.trend["clay"]] == [3.0, 2.5]
    assert found.metrics["clay"]["rmse"] == 2.5
    assert Baseline.read(tmp_path / "baseline") == found
    assert "soil.yaml" in json.loads((tmp_path / "baseline" / "judge.json").read_text(encoding="utf-8"))
    assert call(repository, "worktree", "list").count("\n") == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # mlflow and its dependencies
def test_mains_model_is_the_one_that_the_registry_stages(repository: Path, tmp_path: Path) -> None:
    """A real registry: the version at the alias, as it predicts there, and not the newest one."""
    with sqlite_registry(tmp_path) as registry:
        first = registered(registry)
        registered(registry, fitted=model(worse=True))
        stage(registry, "soil-clay", first, RELEASED)
    place = f"sqlite:///{tmp_path}/mlflow.db"
    (repository / "soil.yaml").write_text(SOIL.replace("http://127.0.0.1:9", place), encoding="utf-8")
    call(repository, "commit", "-qam", "a registry that is there")
    found = bring(repository, "main", tmp_path / "baseline", lambda _: None)
    assert found.source == "registry"
    assert found.models == {"clay": {"version": first}}
    taken = load(tmp_path / "baseline" / "models" / "clay")
    wanted = model().predict(field())["value"].to_numpy()
    np.testing.assert_allclose(taken.predict(field())["value"].to_numpy(), wanted, rtol=1e-9)
    assert not np.allclose(model(worse=True).predict(field())["value"].to_numpy(), wanted, rtol=1e-3)


def test_no_main_is_a_first_version(repository: Path, tmp_path: Path) -> None:
    found = bring(repository, "origin/main", tmp_path / "baseline", lambda _: None)
    assert (found.source, found.commit) == ("none", "")
    assert Baseline.read(tmp_path / "nothing") == Baseline()


def test_a_change_is_judged_by_mains_policy_and_benchmark(repository: Path, tmp_path: Path) -> None:
    bring(repository, "main", tmp_path / "baseline", lambda _: None, retrain=False)
    own = tmp_path / "soil.yaml"
    own.write_text(
        "properties: [clay, ph]\nbenchmark: mine.yaml\npolicy: {model: {margin: 5.0}, drift: {when_drift: warn}}\n",
        encoding="utf-8",
    )
    env = {"SOIL_BASELINE": str(tmp_path / "baseline"), "SOIL_LANDING": str(tmp_path / "batches")}
    settings = load_settings(own, env)
    assert settings.properties == ("clay", "ph")
    assert settings.policy.model.margin == 0.05
    assert settings.policy.drift.when_drift == "hold"
    assert settings.benchmark == str(tmp_path / "baseline" / "frozen" / "nrw115-benchmark.yaml")
    assert settings.url("landing") == str(tmp_path / "batches")
    assert settings.landing.complete
