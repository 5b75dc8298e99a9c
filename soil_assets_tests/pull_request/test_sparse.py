"""A change of one batch, validated with main's results of the others in place of their data: real DVC, real runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import yaml

from soil_assets.adapters.dvc import pointers
from soil_assets.config import load_settings
from soil_assets.defs.build import build_definitions
from soil_assets.defs.pipeline import add_landed_batches
from soil_assets.defs.resources import Soil
from soil_assets.defs.results import materialize_shared, restore
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda
from soil_assets.storage import Store
from soil_assets_tests.adapters.test_dvc import dvc
from soil_assets_tests.defs.batches import folds, land_as
from soil_assets_tests.delivery.servers import s3
from soil_assets_tests.pull_request.facts import commit, git
from soil_assets_tests.pull_request.repository import Done, soil

pytest.importorskip("dvc")
pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "properties": ["clay"],
    "categories": ["instrument"],
    "axis": {"start": 3796, "stop": 552, "step": 24, "unit": "cm-1", "quantity": "absorbance"},
    "recipe": {"max_components": 2, "folds": 3},
    "policy": {"drift": {"permutations": 199}, "model": {"bootstrap": 200}},
}
#: The chain that a validating job runs; trained models end it.
CHAIN = (
    "reference_spectra,benchmark_spectra,raw_spectra,validated_batches,drift_reports,training_drift,training_set,"
    "trained_models"
)


@dataclass(frozen=True)
class Lab:
    """Main's repository, its DVC remote, and the results that its own run published."""

    place: Path
    main: Path
    results: Path

    def clone(self, name: str, change: Callable[[Path], None] | None = None) -> Path:
        """Clone of main with a change as its newest commit."""
        folder = self.place / name
        git(self.place, "clone", "-q", str(self.main), str(folder))
        if change is not None:
            change(folder)
            commit(folder, "the change")
        return folder

    def pull(self, folder: Path, against: str = "origin/main", results: str | None = None) -> dict[str, Any]:
        done = self.try_to_pull(folder, against, results)
        assert done.returncode == 0, done.stderr
        outcome: dict[str, Any] = json.loads(done.stdout)
        return outcome

    def try_to_pull(self, folder: Path, against: str = "origin/main", results: str | None = None) -> Done:
        url = str(self.results) if results is None else results
        return soil(folder, "--repository", "batch", "pull", "--against", against, "--json", SOIL_RESULTS=url)


def other_field() -> SpectralBatch:
    """Scans of another field, whose ids no batch of the reference's field has."""
    field = limesoda("NRW.62").take(range(40))
    return field.with_samples(field.samples.assign(sample_id="62-" + field.samples["sample_id"].astype(str)))


def with_two_of_april() -> SpectralBatch:
    """Scans of fold 7, and two that landed with fold 6 before."""
    field = limesoda("NRW.115")
    fold = field.samples["fold"].to_numpy()
    return field.take([*np.flatnonzero(fold == 7), *np.flatnonzero(fold == 6)[:2]])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    place = tmp_path_factory.mktemp("lab")
    main = place / "main"
    main.mkdir()
    (main / "soil.yaml").write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    (main / ".gitignore").write_text(".soil/\n", encoding="utf-8")
    git(main, "init", "-q", "-b", "main")
    commit(main, "settings")
    dvc(main, "init", "-q")
    dvc(main, "remote", "add", "-q", "-d", "store", str(place / "remote"))
    landing = Store(str(main / "batches"))
    for name, make in (("april", folds(6)), ("june", with_two_of_april), ("may", other_field)):
        land_as(landing, name, make)
    dvc(main, "add", "-q", "batches/april", "batches/june", "batches/may")
    dvc(main, "push", "-q")
    commit(main, "main")
    run(main)
    made = Lab(place, main, place / "results")
    done = soil(main, "--repository", "batch", "publish", "--json", SOIL_RESULTS=str(made.results))
    assert done.returncode == 0, done.stderr
    return made


def run(folder: Path) -> dict[str, Any]:
    done = soil(folder, "--repository", "run", CHAIN, "--each", "--go-on", "--json")
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def record(folder: Path) -> dict[str, Any]:
    """Versions and verdicts of everything, as a DVC stage writes them."""
    file = folder / ".soil" / "record.json"
    run_ = soil(folder, "--repository", "run", "benchmark_spectra", "--each", "--record", f"{CHAIN}={file}")
    assert run_.returncode == 0, run_.stderr
    recorded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return recorded


def fates(folder: Path) -> list[dict[str, Any]]:
    """Counts, drift verdict and next step of every batch, as the report has them."""
    listed = soil(folder, "--repository", "batch", "list", "--json")
    rows: list[dict[str, Any]] = json.loads(listed.stdout)
    return rows


def folders(repository: Path) -> list[str]:
    return sorted(p.name for p in (repository / "batches").iterdir() if p.is_dir() and p.name[0] != ".")


def add_batch(folder: Path) -> None:
    land_as(Store(str(folder / "batches")), "september", folds(10))
    track(folder, "september")


def alter(name: str) -> Callable[[Path], None]:
    """Change that removes the last row of a batch's lab table."""

    def change(folder: Path) -> None:
        dvc(folder, "pull", "-q", f"batches/{name}.dvc")
        table = folder / "batches" / name / "lab.csv"
        rows = table.read_text(encoding="utf-8").splitlines()
        table.unlink()
        table.write_text("\n".join(rows[:-1]) + "\n", encoding="utf-8")
        track(folder, name)

    return change


def set_policy(section: str, key: str, value: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        policy = {**SETTINGS["policy"], section: {**SETTINGS["policy"].get(section, {}), key: value}}
        (folder / "soil.yaml").write_text(yaml.safe_dump({**SETTINGS, "policy": policy}), encoding="utf-8")

    return change


def track(folder: Path, name: str) -> None:
    """Push a batch, so that a pointer and nothing else is here."""
    assert soil(folder, "batch", "add", name, "--push").returncode == 0
    shutil.rmtree(folder / "batches" / name)
    shutil.rmtree(folder / ".dvc" / "cache")


@pytest.mark.bench  # minutes; run by name, and the same comparison is part of soil bench large_data
@pytest.mark.timeout(600)
def test_a_sparse_run_comes_to_what_the_whole_one_does(lab: Lab) -> None:
    pulled = ["september"]
    sparse = lab.clone("sparse", add_batch)
    whole = lab.place / "whole"
    shutil.copytree(sparse, whole, symlinks=True)

    outcome = lab.pull(sparse)
    assert (outcome["pulled"], outcome["reasons"]) == (pulled, {})
    assert folders(sparse) == pulled
    steps = run(sparse)
    assert {r["partition"] for r in steps["runs"]} - {None, "clay"} == set(pulled), "only these are judged"

    assert soil(whole, "batch", "pull").returncode == 0
    run(whole)
    assert record(sparse) == record(whole)
    assert fates(sparse) == fates(whole)
    after = {row["batch"]: row for row in fates(sparse)}
    assert set(after) == {"april", "june", "may", *pulled}
    assert after["may"]["next"].startswith("held: drift_reports.batch_drift failed")
    assert after["june"]["quarantined"] == 2


def test_a_result_that_hangs_on_another_batch_goes_with_it(lab: Lab) -> None:
    outcome = lab.pull(lab.clone("april", alter("april")))
    assert outcome["pulled"] == ["april", "june"]
    assert outcome["reasons"] == {
        "june": "validated_batches: it depends on april, which is not the same here"
    }


def test_results_of_another_policy_do_not_count(lab: Lab) -> None:
    folder = lab.clone("quality", set_policy("quality", "min_accepted", 2))
    outcome = lab.pull(folder)
    assert outcome["pulled"] == ["april", "june", "may"] == folders(folder)
    assert set(outcome["reasons"].values()) == {
        "validated_batches: main has no result of this content, code and policy"
    }


def test_another_drift_policy_judges_main_s_accepted_scans_again(lab: Lab) -> None:
    folder = lab.clone("drift", set_policy("drift", "false_alarm_rate", 0.02))
    outcome = lab.pull(folder)
    assert (outcome["pulled"], folders(folder)) == ([], [])
    assert {row["drift"] for row in fates(folder)} == {"not reached"}
    done = soil(folder, "--repository", "run", "drift_reports", "--each", "--go-on", "--json")
    assert {(r["asset"], r["partition"]) for r in json.loads(done.stdout)["runs"]} == {
        ("drift_reports", batch) for batch in ("april", "june", "may")
    }
    assert "not reached" not in {row["drift"] for row in fates(folder)}


def test_a_batch_that_main_does_not_have_is_computed_whatever_lies_in_the_store(lab: Lab) -> None:
    """The commit before the batches: the store has results of these very bytes, which are no evidence of a change."""
    outcome = lab.pull(lab.clone("new"), against="origin/main~1")
    assert (outcome["pulled"], outcome["restored"]) == (["april", "june", "may"], [])


def test_without_a_place_for_results_everything_is_pulled(lab: Lab) -> None:
    outcome = lab.pull(lab.clone("off"), results="")
    assert (outcome["pulled"], outcome["reasons"]) == (["april", "june", "may"], {})


def rewrite(file: Path, alteration: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    alteration(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def record_file(store: Path, asset: str, batch: str) -> Path:
    [file] = (store / "results" / asset / batch).iterdir()
    return file


def value_folder(store: Path, batch: str = "april") -> Path:
    content = json.loads(record_file(store, "validated_batches", batch).read_text(encoding="utf-8"))
    return store / "values" / content["value"]["sha256"]


def of_june(store: Path) -> None:
    april, june = (record_file(store, "validated_batches", b) for b in ("april", "june"))
    april.write_bytes(june.read_bytes())


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no raw record": lambda s: record_file(s, "raw_spectra", "april").unlink(),
    "no record": lambda s: record_file(s, "validated_batches", "april").unlink(),
    "half a record": lambda s: record_file(s, "validated_batches", "april").write_text(
        '{"record": {', "utf-8"
    ),
    "a list": lambda s: record_file(s, "validated_batches", "april").write_text("[]", "utf-8"),
    "another batch's": of_june,
    "no value named": lambda s: rewrite(
        record_file(s, "validated_batches", "april"), lambda c: c.update(value=None)
    ),
    "no files named": lambda s: rewrite(
        record_file(s, "validated_batches", "april"), lambda c: c["value"].pop("files")
    ),
    "fewer files": lambda s: rewrite(
        record_file(s, "validated_batches", "april"), lambda c: c["value"]["files"].pop()
    ),
    "a verdict less": lambda s: rewrite(
        record_file(s, "validated_batches", "april"), lambda c: c["record"]["checks"].pop("ranges")
    ),
    "a raw verdict less": lambda s: rewrite(
        record_file(s, "raw_spectra", "april"), lambda c: c["record"]["checks"].pop("checksum")
    ),
    "other code": lambda s: rewrite(
        record_file(s, "validated_batches", "april"),
        lambda c: c["record"]["tags"].update({"dagster/code_version": "x"}),
    ),
    "other input": lambda s: rewrite(
        record_file(s, "validated_batches", "april"),
        lambda c: c["record"]["tags"].update({"dagster/input_data_version/reference_spectra": "x"}),
    ),
    "no value": lambda s: shutil.rmtree(value_folder(s)),
    "a file less": lambda s: (value_folder(s) / "accepted.parquet").unlink(),
    "a bit flipped": lambda s: flip(value_folder(s) / "accepted.parquet"),
    "a file cut": lambda s: (value_folder(s) / "figures.parquet").write_bytes(b""),
    "a name outside": lambda s: rewrite(
        record_file(s, "validated_batches", "april"), lambda c: c["value"]["files"].append("../../x")
    ),
}


def test_what_is_missing_or_damaged_is_not_restored(lab: Lab) -> None:
    """Every damage on its own; the other two batches are restored all the same."""
    folder = lab.clone("damage")
    settings = load_settings(
        folder / "soil.yaml",
        env={"SOIL_LANDING": str(folder / "batches"), "SOIL_HOME": str(folder / ".soil")},
    )
    definitions, contents = build_definitions(settings), pointers(folder, "batches")
    for number, (name, damage) in enumerate({"nothing": lambda _: None, **DAMAGES}.items()):
        store = lab.place / f"damaged-{number}"
        shutil.copytree(lab.results, store)
        damage(store)
        shutil.rmtree(folder / ".soil" / "data" / "assets" / "validated_batches", ignore_errors=True)
        with dg.DagsterInstance.ephemeral() as instance:
            materialize_shared(definitions, instance)
            graph = definitions.resolve_asset_graph()
            reasons = restore(instance, graph, Soil.of(settings), Store(str(store)), contents)
            assert set(reasons) == (set() if name == "nothing" else {"april"}), (name, reasons)
            assert set(instance.get_dynamic_partitions("batch")) == set(contents) - set(reasons), name
            assert sorted(add_landed_batches(instance, settings)) == sorted(set(contents) - set(reasons)), (
                name
            )


def test_what_is_damaged_is_pulled(lab: Lab) -> None:
    store = lab.place / "bit"
    shutil.copytree(lab.results, store)
    flip(value_folder(store) / "accepted.parquet")
    folder = lab.clone("pulled")
    outcome = lab.pull(folder, results=str(store))
    assert (outcome["pulled"], outcome["restored"]) == (["april"], ["june", "may"])
    assert outcome["reasons"] == {"april": "validated_batches: its value is damaged"}
    assert folders(folder) == ["april"]


def test_neither_a_result_nor_data_is_an_error(lab: Lab, tmp_path: Path) -> None:
    folder = lab.clone("neither")
    dvc(folder, "remote", "modify", "-q", "--local", "store", "url", str(tmp_path / "nowhere"))
    done = lab.try_to_pull(folder, results=str(tmp_path / "empty"))
    assert done.returncode == 2, (done, folders(folder), sorted(tmp_path.iterdir()))
    assert "not readable here" in done.stderr or "cannot be had" in done.stderr
    # Who goes on in spite of it has no batch: a report without it cannot tell.
    assert run(folder)["runs"]
    assert fates(folder) == []


def test_a_commit_that_does_not_exist_and_a_landing_zone_elsewhere_are_refused(lab: Lab) -> None:
    folder = lab.clone("refused")
    done = lab.try_to_pull(folder, against="origin/mian")
    assert done.returncode == 2
    assert "origin/mian" in done.stderr
    done = soil(folder, "batch", "pull", "--against", "origin/main", SOIL_RESULTS=str(lab.results))
    assert done.returncode == 2
    assert "soil --repository batch pull" in done.stderr
    assert soil(folder, "--repository", "batch", "publish").returncode == 2


def test_main_publishes_once_and_what_it_restored_is_the_same(lab: Lab) -> None:
    def publish(folder: Path) -> list[str]:
        done = soil(folder, "--repository", "batch", "publish", "--json", SOIL_RESULTS=str(lab.results))
        written: list[str] = json.loads(done.stdout)["written"]
        return written

    assert publish(lab.main) == []
    folder = lab.clone("register")
    assert lab.pull(folder, against="HEAD")["restored"] == ["april", "june", "may"]
    assert lab.pull(folder, against="HEAD")["restored"] == ["april", "june", "may"], (
        "and once more, in the same instance"
    )
    assert publish(folder) == []


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_results_on_s3_are_read_with_a_key_and_without_one_everything_is_pulled(
    lab: Lab, tmp_path: Path
) -> None:
    pytest.importorskip("s3fs")
    folder = lab.clone("s3")
    with s3(tmp_path, "lab") as environment, pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        store = Store("s3://lab/results")
        for file in sorted(p for p in lab.results.rglob("*") if p.is_file()):
            store.write(file.relative_to(lab.results).as_posix(), file.read_bytes())
        assert lab.pull(folder, results="s3://lab/results")["restored"] == ["april", "june", "may"]
        assert folders(folder) == []
        outcome = lab.pull(folder, results="s3://elsewhere/results")
        assert outcome["pulled"] == ["april", "june", "may"]
