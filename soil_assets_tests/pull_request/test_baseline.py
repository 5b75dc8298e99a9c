"""Main beside a change: batches by content, judge, models, and why a source could not be used."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
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
from soil_assets_tests.delivery.models import CLEAN, RELEASED, field, model, registered, sqlite_registry

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")
ROOT = Path(__file__).resolve().parents[2]
SOIL = """
properties: [clay]
storage: {mlflow_tracking: "http://127.0.0.1:9"}
policy: {model: {margin: 0.05}, drift: {when_drift: hold}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Main with a batch of each kind in git: a folder, and a pointer that the test of batches adds."""
    root = tmp_path / "repository"
    (root / "batches" / "in-git").mkdir(parents=True)
    (root / "batches" / "in-git" / "spectra.csv").write_text("a", encoding="utf-8")
    (root / "soil.yaml").write_text(SOIL, encoding="utf-8")
    frozen = root / "soil_assets" / "benchmarks" / "frozen"
    frozen.mkdir(parents=True)
    shutil.copy(ROOT / "soil_assets" / "benchmarks" / "frozen" / "nrw115-benchmark.yaml", frozen)
    # Code of main that cannot run any more: whoever tries it is refused at once.
    (root / "soil_assets" / "__init__.py").write_text("raise SystemExit('too old')\n", encoding="utf-8")
    call(root, "init", "-q", "-b", "main")
    call(root, "add", "-A")
    call(root, "commit", "-q", "-m", "main")
    return root


def test_batches_of_every_kind_are_named_by_their_content(repository: Path) -> None:
    pointer = "outs: [{md5: beef.dir, path: pointed}]\n"
    (repository / "batches" / "pointed.dvc").write_text(pointer, encoding="utf-8")
    call(repository, "add", "-A")
    call(repository, "commit", "-q", "-m", "a pointer")
    batches = batches_at(repository, "HEAD", "batches")
    assert batches == {"in-git": directory_hash({"spectra.csv": b"a"}), "pointed": "beef.dir"}
    here = batches_here(Store(str(repository / "batches")))
    assert here == batches, "a pointer names a batch, wherever its data are"
    assert touched(batches, here) == frozenset()
    assert touched({**batches, "in-git": "other"}, here) == {"in-git"}


def test_without_any_model_of_main_there_is_no_baseline(repository: Path, tmp_path: Path) -> None:
    """The registry cannot be reached, and main's own code is not there to be run."""
    with pytest.raises(BadInput, match="main's models cannot be had") as caught:
        bring(repository, "main", tmp_path / "baseline", lambda _: None)
    reasons = str(caught.value.found)
    assert "registry: " in reasons
    assert "retrained: main's commit cannot be trained again (soil run) (too old)" in reasons
    assert not (tmp_path / "baseline" / "baseline.json").exists()
    assert call(repository, "worktree", "list").count("\n") == 0
    with pytest.raises(BadInput, match="no baseline"):
        Baseline.read(tmp_path / "baseline")


@pytest.mark.parametrize("ref", ["origin/main", "mian", "", "HEAD~99", "--all"])
def test_a_base_that_names_no_commit_is_an_error(repository: Path, tmp_path: Path, ref: str) -> None:
    with pytest.raises(BadInput, match="does not exist here"):
        bring(repository, ref, tmp_path / "baseline", lambda _: None)
    assert not (tmp_path / "baseline").exists()


def test_a_base_outside_of_a_shallow_clone_is_an_error(repository: Path, tmp_path: Path) -> None:
    call(repository, "commit", "-q", "--allow-empty", "-m", "one more")
    shallow = tmp_path / "shallow"
    call(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(shallow))
    with pytest.raises(BadInput, match="shallow clone"):
        bring(shallow, "HEAD~1", tmp_path / "baseline", lambda _: None)


def test_a_key_of_main_that_this_code_does_not_have_is_an_error(repository: Path, tmp_path: Path) -> None:
    (repository / "soil.yaml").write_text(f"{SOIL}colour: red\n", encoding="utf-8")
    call(repository, "commit", "-qam", "a key")
    with pytest.raises(BadInput, match="unknown key"):
        bring(repository, "main", tmp_path / "baseline", lambda _: None)


def test_only_a_commit_without_settings_is_known_to_have_no_model(repository: Path, tmp_path: Path) -> None:
    call(repository, "rm", "-q", "soil.yaml")
    call(repository, "commit", "-qm", "no settings yet")
    main = bring(repository, "main", tmp_path / "baseline", lambda _: None)
    assert (main.source, main.models) == ("none", {})
    assert "has no soil.yaml" in main.why[0]
    assert Baseline.read(tmp_path / "baseline") == main


@pytest.fixture
def staged(repository: Path, tmp_path: Path) -> tuple[Path, int]:
    """A real registry whose staged version was registered from the newest commit of main."""
    place = f"sqlite:///{tmp_path}/mlflow.db"
    (repository / "soil.yaml").write_text(SOIL.replace("http://127.0.0.1:9", place), encoding="utf-8")
    call(repository, "commit", "-qam", "a registry that is there")
    evidence = replace(CLEAN, commit=call(repository, "rev-parse", "HEAD").strip())
    with sqlite_registry(tmp_path) as registry:
        first = registered(registry, evidence=evidence)
        registered(registry, fitted=model(worse=True), evidence=evidence)
        stage(registry, "soil-clay", first, RELEASED)
    return repository, first


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # mlflow and its dependencies
def test_mains_model_is_the_one_that_the_registry_stages(staged: tuple[Path, int], tmp_path: Path) -> None:
    """The version at the alias, as it predicts there, and not the newest one; documentation changes nothing."""
    repository, first = staged
    (repository / "README.md").write_text("words\n", encoding="utf-8")
    call(repository, "add", "-A")
    call(repository, "commit", "-qm", "documentation")
    main = bring(repository, "main", tmp_path / "baseline", lambda _: None)
    assert main.source == "registry"
    assert main.models == {"clay": {"version": first}}
    loaded = load(tmp_path / "baseline" / "models" / "clay")
    expected = model().predict(field())["value"].to_numpy()
    np.testing.assert_allclose(loaded.predict(field())["value"].to_numpy(), expected, rtol=1e-9)
    assert not np.allclose(model(worse=True).predict(field())["value"].to_numpy(), expected, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # mlflow and its dependencies
@pytest.mark.parametrize("path", ["batches/in-git/spectra.csv", "soil.yaml", "requirements.txt", "docs/x.py"])
def test_a_version_of_another_data_recipe_or_code_is_not_mains(
    staged: tuple[Path, int], tmp_path: Path, path: str
) -> None:
    repository, _ = staged
    file = repository / path
    file.parent.mkdir(exist_ok=True)
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    file.write_text(f"{before}\n# altered\n", encoding="utf-8")
    call(repository, "add", "-A")
    call(repository, "commit", "-qm", "main goes on")
    with pytest.raises(BadInput, match="was registered from") as caught:
        bring(repository, "main", tmp_path / "baseline", lambda _: None)
    assert path in str(caught.value.found)


def test_a_change_is_judged_by_mains_policy_and_benchmark(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
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
    assert json.loads(json.dumps(settings.recipe.model_dump()))["learner"] == "pls"
