"""What a report must hold by main's side: each kind of absence is named, and none of them passes."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from soil_assets.cli.inputs import catalogue_of
from soil_assets.errors import BadInput
from soil_assets.modeling.artifact import save
from soil_assets.pull_request.expectation import SoilYaml, batches_of, properties_of
from soil_assets.pull_request.judgement import PullRequest, removals
from soil_assets.pull_request.message import judge_files
from soil_assets.pull_request.recomputation import MainSide, property_result
from soil_assets.reporting.decision_inputs import TrainingPart
from soil_assets_tests.pull_request.facts import (
    POLICY,
    RAW,
    SETTINGS,
    batch,
    benchmark,
    facts,
    held,
    models,
    settings,
)
from soil_assets_tests.pull_request.test_comment import JUNE, SHA, Desk, _no_pictures, desk, pictures

assert desk  # the fixtures of the comment's tests
assert _no_pictures
assert pictures


def proposes(desk: Desk, text: str) -> None:
    """Let the change touch soil.yaml."""
    desk.fake.files[7] = [JUNE, {"filename": "soil.yaml", "status": "modified"}]
    desk.fake.contents[(desk.base, "soil.yaml")] = SETTINGS.encode()
    desk.fake.contents[(SHA, "soil.yaml")] = text.encode()


def cannot_tell(desk: Desk, outcome: dict[str, Any], *sentences: str) -> None:
    assert (outcome["verdict"], desk.states) == ("cannot tell", ["failure"])
    body = desk.fake.ours(7)[0]["body"]
    for sentence in sentences:
        assert sentence in body


@pytest.mark.parametrize("recipe", ["learner: svr", "max_components: 3", "pretreatments: [snv]", "seed: 7"])
def test_a_model_of_another_recipe_than_the_changes_is_not_judged(desk: Desk, recipe: str) -> None:
    proposes(
        desk, SETTINGS.replace("recipe:\n", f"recipe:\n  {recipe}\n").replace("  max_components: 6\n", "")
    )
    cannot_tell(desk, desk.run(), "the uploaded model was trained with", "the change's recipe states")


def test_a_property_that_the_change_drops_is_named(desk: Desk) -> None:
    proposes(desk, SETTINGS.replace("- ph\n", ""))
    cannot_tell(desk, desk.run(), "property ph is removed: main has a model of it")


def test_a_property_that_vanishes_from_the_artifact_is_missing(desk: Desk) -> None:
    artifact = desk.artifact()
    report = json.loads((artifact / "report.json").read_text(encoding="utf-8"))
    report["inputs"]["properties"] = [p for p in report["inputs"]["properties"] if p["name"] != "ph"]
    (artifact / "report.json").write_text(json.dumps(report), encoding="utf-8")
    cannot_tell(desk, desk.run(artifact), "ph is not in the change")


def test_every_file_of_the_artifact_is_needed(desk: Desk) -> None:
    """Taken away one after the other, as the folder lists them: none of them makes a change pass."""
    whole = {f.relative_to(desk.folder): f.read_bytes() for f in desk.artifact().rglob("*") if f.is_file()}
    needed = [path for path in whole if path.suffix == ".json" or path.suffix == ".npz"]
    assert len(needed) == 6
    for path in needed:
        desk.fake.statuses.clear()
        (desk.folder / path).unlink()
        with contextlib.suppress(BadInput):  # the status is what counts
            assert desk.run(desk.folder / "artifact")["blocks"], path
        assert desk.states in (["error"], ["failure"]), path
        (desk.folder / path).write_bytes(whole[path])
    desk.fake.statuses.clear()
    assert desk.run(desk.folder / "artifact")["verdict"] == "approve"


def test_models_that_were_exchanged_are_refused(desk: Desk) -> None:
    artifact = desk.artifact()
    (artifact / "models" / "clay").rename(artifact / "models" / "x")
    (artifact / "models" / "ph").rename(artifact / "models" / "clay")
    (artifact / "models" / "x").rename(artifact / "models" / "ph")
    assert desk.run(artifact)["verdict"] == "request changes"
    assert "a model of another property" in desk.fake.ours(7)[0]["body"]


def test_a_batch_that_github_lists_and_the_report_does_not_is_missing(desk: Desk) -> None:
    desk.fake.files[7] = [JUNE, {"filename": "batches/evil/lab.csv", "status": "added"}]
    cannot_tell(desk, desk.run(), "batch evil (added by this change) is not in the report")


def test_a_batch_that_nobody_knows_is_not_trained_on_in_silence(desk: Desk) -> None:
    change = facts(batches=(batch("june"), batch("smuggled")))
    cannot_tell(
        desk, desk.run(desk.artifact(change)), "batch smuggled, which is neither on main nor in the change"
    )


def test_checks_that_were_not_seen_are_missing(desk: Desk) -> None:
    bare = batch("june", checks=())
    change = facts(batches=(bare,), checks=())
    cannot_tell(
        desk,
        desk.run(desk.artifact(change)),
        "batch june: check batch_drift was not seen with a result",
        "check no_benchmark_leakage of the training set was not seen with a result",
        "check training_drift of the training set was not seen with a result",
    )


def test_a_batch_that_calls_itself_free_is_held_by_its_checks(desk: Desk) -> None:
    change = facts(batches=(held("june", held=False, part_of_change=False),))
    outcome = desk.run(desk.artifact(change))
    assert outcome["verdict"] == "request changes"


def test_an_acceptance_is_a_file_of_the_change_and_is_named(desk: Desk) -> None:
    desk.fake.files[7] = [JUNE, {"filename": "batches/june.accepted.json", "status": "added"}]
    change = facts(batches=(held("june", held=False),))
    artifact = desk.artifact(change)
    report = json.loads((artifact / "report.json").read_text(encoding="utf-8"))
    report["inputs"]["training"][1]["taken"] = True
    (artifact / "report.json").write_text(json.dumps(report), encoding="utf-8")
    outcome = desk.run(artifact)
    assert outcome["verdict"] == "approve"
    assert "june.accepted.json" in desk.fake.ours(7)[0]["body"]


@pytest.mark.parametrize("status", ["removed", "modified", "renamed"])
def test_the_benchmarks_definition_is_not_touched_in_silence(desk: Desk, status: str) -> None:
    path = "soil_assets/benchmarks/frozen/nrw115-benchmark.yaml"
    file = {"filename": path, "status": status}
    if status == "renamed":
        file = {"filename": "docs/old.yaml", "previous_filename": path, "status": status}
    desk.fake.files[7] = [JUNE, file]
    cannot_tell(desk, desk.run(), "the definition of the benchmark nrw115-benchmark is")


def test_an_added_property_is_a_first_version_beside_the_others(desk: Desk) -> None:
    """Main has no model of it, and main's side says so; without its model in the artifact it is no pass."""
    proposes(desk, SETTINGS.replace("- ph\n", "- ph\n- soc\n"))
    outcome = desk.run()
    assert outcome["verdict"] == "request changes"
    assert "soc: no candidate model was trained" in desk.fake.ours(7)[0]["body"]


@pytest.mark.parametrize(
    "text",
    ["properties: []\n", "recipe: {learner: 5, folds: one}\n", "[1, 2]", "properties: [clay\n", "\xff"],
)
def test_settings_of_the_change_that_cannot_be_read_are_an_error(desk: Desk, text: str) -> None:
    proposes(desk, text)
    with pytest.raises(Exception, match=r"."):
        desk.run()
    assert desk.states == ["error"]


def test_a_loosened_limit_is_shown_and_is_part_of_the_judge(desk: Desk) -> None:
    proposes(desk, SETTINGS + "catalogue: {clay: {label: Clay, unit: '%', hard: [0, 1000]}}\n")
    assert desk.run()["verdict"] == "approve"
    body = desk.fake.ours(7)[0]["body"]
    assert "clay.hard" in body
    assert "Main's limits are used" in body


def test_no_model_of_main_is_an_error_unless_main_says_so(desk: Desk) -> None:
    from soil_assets.pull_request.baseline import Baseline

    folder = desk.folder / "without"
    folder.mkdir()
    main = Baseline(commit=desk.base, source="retrained", models={})
    (folder / "baseline.json").write_text(json.dumps(vars(main)), encoding="utf-8")
    cannot_tell(desk, desk.run(baseline=folder), "main's model could not be had")


def test_a_change_without_effect_is_said_to_be_identical(desk: Desk) -> None:
    desk.fake.files[7] = [{"filename": "Makefile", "status": "modified"}]
    outcome = desk.run(desk.artifact(facts("weak", "weak", batches=()), "weak"), "weak")
    assert outcome["verdict"] == "approve"
    assert "the candidate is identical to main" in desk.fake.ours(7)[0]["body"]


def altered(desk: Desk, kind: str, **changes: Any) -> Path:
    """Upload models with changed facts, and a report that agrees with them."""
    main_side = MainSide(models("weak"), benchmark(), POLICY, {})
    uploaded = {p: replace(m, **{k: v(m) for k, v in changes.items()}) for p, m in models(kind).items()}
    catalogue = catalogue_of(settings())
    results = tuple(property_result(catalogue[p], m, main_side, added=False)[0] for p, m in uploaded.items())
    artifact = desk.artifact(facts(kind).model_copy(update={"properties": results}), kind)
    for prop, model in uploaded.items():
        save(model, artifact / "models" / prop)
    return artifact


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"training": lambda m: {**m.training, "batches": {"reference": 58}}},
            "no uploaded model was trained on a sample of it",
        ),
        (
            {"training": lambda m: {**m.training, "batches": {"reference": 58, "june": 10, "evil": 9}}},
            "was trained on evil",
        ),
        (
            {"training": lambda m: {k: v for k, v in m.training.items() if k != "batches"}},
            "does not say that it was trained on the golden reference",
        ),
        ({"recipe": lambda m: {**m.recipe, "learner": "svr"}}, "the change's recipe states"),
    ],
)
def test_a_model_is_tied_to_the_changes_data_and_recipe(desk: Desk, changes: Any, sentence: str) -> None:
    cannot_tell(desk, desk.run(altered(desk, "strong", **changes)), sentence)


@pytest.mark.parametrize("groups", [0, -3, 10_000])
def test_intervals_without_a_calibration_do_not_cover(desk: Desk, groups: int) -> None:
    artifact = altered(
        desk,
        "strong",
        half_widths=lambda m: dict.fromkeys(m.half_widths, 0.0),
        training=lambda m: {**m.training, "calibration_groups": groups},
    )
    assert desk.run(artifact)["verdict"] == "request changes"


@pytest.mark.parametrize(
    "extra",
    [
        "nonsense: 1", "benchmark: null", "policy: {model: {margin: -1}}", "policy: {model: {marginn: 0.2}}",
        "policy: null", "service: {x: 1}", "alerts: 5",
    ],
)  # fmt: skip
def test_settings_that_main_could_not_read_after_the_merge_are_an_error(desk: Desk, extra: str) -> None:
    proposes(desk, yaml.safe_dump(yaml.safe_load(SETTINGS) | yaml.safe_load(extra)))
    with pytest.raises(BadInput):
        desk.run()
    assert desk.states == ["error"]


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("axis: {start: 3796, stop: 552, step: 24, unit: cm-1, quantity: absorbance}", "has axis"),
        ("catalogue: {clay: {label: Clay, unit: '%', transform: log1p}}", "has transform"),
        ("catalogue: {clay: {label: Clay, unit: g/kg}}", "has unit"),
    ],
)
def test_a_task_that_was_not_trained_is_not_judged(desk: Desk, key: str, sentence: str) -> None:
    proposes(desk, yaml.safe_dump(yaml.safe_load(SETTINGS) | yaml.safe_load(key)))
    cannot_tell(desk, desk.run(), sentence)


@pytest.mark.parametrize(
    "facts_of",
    [
        {"drift": "fail"}, {"drift": None}, {"accepted": 0, "quarantined": 20},
        {"landed": 0, "accepted": 0, "drift": None},
    ],
)  # fmt: skip
def test_facts_of_a_batch_that_contradict_its_checks_cannot_tell(
    desk: Desk, facts_of: dict[str, Any]
) -> None:
    training = (TrainingPart(name="june", scans=20, taken=True),)
    change = facts(batches=(batch("june", **facts_of),)).model_copy(update={"training": training})
    cannot_tell(desk, desk.run(desk.artifact(change)), "batch june")


def test_an_acceptance_of_other_bytes_does_not_open_the_gate() -> None:
    before = ["june/s.csv", "june.accepted.json"]
    data = {"filename": "batches/june/s.csv", "status": "modified"}
    record = {"filename": "batches/june.accepted.json", "status": "modified"}
    assert batches_of(before, [], "batches")[1] == {"june"}
    assert batches_of(before, [data], "batches")[1] == frozenset()
    assert batches_of(before, [data, record], "batches")[1] == {"june"}


def test_a_copied_file_takes_nothing_away() -> None:
    copy = {"filename": "docs/s.csv", "previous_filename": "batches/may/s.csv", "status": "copied"}
    assert batches_of(["may/s.csv"], [copy], "batches")[0] == {"may": "unchanged"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("bench/b.yaml", "bench/b.yaml"), ("bench/all", "bench/all/spectra.csv"),
        ("./soil_assets/benchmarks/frozen/x.yaml", "soil_assets/benchmarks/frozen/x.yaml"),
        ("nrw115-benchmark", "soil_assets/benchmarks/frozen/nrw115-benchmark.yaml"),
    ],
)  # fmt: skip
def test_a_frozen_set_is_its_definition_and_its_data(name: str, path: str) -> None:
    raw = {"benchmark": name}
    pull_request = PullRequest(7, SHA, "", [{"filename": path, "status": "modified"}])
    [sentence] = removals(pull_request, SoilYaml(raw, raw, raw), settings(), ())
    assert "the definition of the benchmark" in sentence
    other = PullRequest(7, SHA, "", [{"filename": "README.md", "status": "modified"}])
    assert removals(other, SoilYaml(raw, raw, raw), settings(), ()) == ()


def test_an_empty_file_of_settings_states_the_defaults_and_an_absent_one_nothing() -> None:
    absent: dict[str, Any] = {"properties": []}
    assert properties_of(SoilYaml({}, {}, {"properties": ["clay"]})) == (("clay",), (), ("ph", "soc"))
    assert properties_of(SoilYaml(absent, absent, {})) == (("clay", "ph", "soc"), ("clay", "ph", "soc"), ())


def test_batches_follow_from_the_files_that_github_lists() -> None:
    before = ["a/x.csv", "a/lab.csv", "b.dvc", "c/x.csv", "d.accepted.json"]
    files = [
        {"filename": "batches/a/x.csv", "status": "modified"},
        {"filename": "batches/b.dvc", "status": "removed"},
        {"filename": "batches/e/x.csv", "previous_filename": "batches/c/x.csv", "status": "renamed"},
        {"filename": "batches/f.accepted.json", "status": "added"},
        {"filename": "README.md", "status": "modified"},
    ]
    effects, accepted = batches_of(before, files, "batches", ["made"])
    assert effects == {"made": "unchanged", "a": "altered", "e": "added"}
    assert accepted == {"f"}, "an acceptance of a batch that is not there opens nothing"


def test_main_that_moved_on_is_not_blamed_on_the_change() -> None:
    """Main added a property and another recipe since the change began; the merge holds both."""
    fork = {"properties": ["clay"], "recipe": {"learner": "pls", "folds": 5}}
    base = {"properties": ["clay", "ph"], "recipe": {"learner": "pls", "folds": 10}}
    head = {"properties": ["clay", "soc"], "recipe": {"learner": "svr", "folds": 5}}
    soil_yaml = SoilYaml(fork, base, head)
    assert properties_of(soil_yaml) == (("clay", "ph", "soc"), ("soc",), ())
    assert soil_yaml.merged_section("recipe") == {"learner": "svr", "folds": 10}
    assert properties_of(SoilYaml(base, base, fork)) == (("clay",), (), ("ph",))


@pytest.mark.parametrize(
    ("path", "judges"),
    [
        ("README.md", False), ("docs/SOP.md", False), ("batches/june/lab.csv", False), ("batches/june.dvc", False),
        ("batches/june.accepted.json", True), ("batches/dvc.yaml", True), ("batches/june/dvc.yaml", True),
        ("batches/june/x.dvc", True), ("batches/june", True), ("batches/.dvcignore", True), ("batches/hook.py", True),
        ("docs/dvc.yaml", True), ("docs/x.dvc", True), ("Makefile", True), ("pyproject.toml", True),
        ("docs/hooks/draw.py", True),
        ("soil_assets/cli/report.py", True), ("soil_assets/adapters/great_expectations.py", True),
        ("soil_assets/spectra/properties.csv", True), ("soil_assets/config.py", True), ("requirements.txt", True),
        ("soil_assets_tests/conftest.py", True), ("something/new.txt", True), ("dvc.lock", True),
    ],
)  # fmt: skip
def test_everything_judges_but_a_short_list(path: str, judges: bool) -> None:
    assert bool(judge_files([path], SoilYaml(RAW, RAW, RAW))) is judges


def test_of_the_settings_only_the_recipe_and_the_properties_are_free() -> None:
    for key, value, judges in (
        ("recipe", {"learner": "svr"}, False),
        ("properties", ["clay"], False),
        ("policy", {"model": {"margin": 9}}, True),
        ("catalogue", {"clay": {}}, True),
        ("categories", [], True),
        ("alerts", {}, True),
    ):
        soil_yaml = SoilYaml(RAW, RAW, {**RAW, key: value})
        assert bool(judge_files(["soil.yaml"], soil_yaml)) is judges, key


def test_a_batch_that_bears_the_references_name_is_missing(desk: Desk) -> None:
    desk.fake.files[7] = [{"filename": "batches/reference/spectra.csv", "status": "added"}]
    cannot_tell(desk, desk.run(), "a batch cannot have this name")
