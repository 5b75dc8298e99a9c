"""What can be said of the workflows without running them: rights, pins, limits, and that they hold no logic."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from soil_assets_tests.workflows.act import _STUBS, BIN, WORKFLOWS, uses

FILES = sorted(WORKFLOWS.glob("*.y*ml"))
#: Those that are lists of commands which a person could type.
OURS = ("cml.yaml", "comment.yml", "new_data.yml", "register.yml", "validation.yml")


def load(name: str) -> dict[str, Any]:
    found: dict[Any, Any] = yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))
    found["on"] = found.pop(True, None)  # YAML 1.1 reads the key `on` as true
    return found


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in load(name)["jobs"].values() for step in job.get("steps", [])]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_a_job_ends_gives_way_and_may_do_only_what_it_says(file: Path) -> None:
    workflow = load(file.name)
    called = list(workflow["on"]) == ["workflow_call"]  # rights and company are its caller's
    if not called:
        assert workflow["permissions"] in ({}, {"contents": "read"})
        assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert "uses" in job or job["timeout-minutes"] <= 90
    for step in steps(file.name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
            assert step["with"].get("fetch-depth", 1) != 0, "the branch of plots would come along"


@pytest.mark.parametrize("name", OURS)
def test_a_job_is_a_list_of_commands_that_a_person_could_type(name: str) -> None:
    commands = [step["run"] for step in steps(name) if "run" in step]
    assert commands
    for command in commands:
        assert "\n" not in command.strip()
        assert re.match(r"(make|soil|dvc|test|gh api|\.venv/bin/soil|echo) ?", command), command


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_no_text_of_an_event_stands_in_a_script(file: Path) -> None:
    for step in steps(file.name):
        assert "${{" not in step.get("run", ""), "an expression in a script is a way in for text of the event"


def test_only_jobs_without_code_of_the_change_may_write() -> None:
    writes = {
        file.name: {
            right
            for job in load(file.name)["jobs"].values()
            for right, level in (job.get("permissions") or {}).items()
            if level == "write" and right != "id-token"
        }
        for file in FILES
    }
    assert writes["validate.yml"] == writes["validation.yml"] == writes["ci.yml"] == set()
    assert writes["register.yml"] == set()
    for name in ("comment.yml", "cml.yaml"):
        assert writes[name] == {"contents", "pull-requests", "statuses"}
        [checkout] = [s for s in steps(name) if s.get("uses", "").startswith("actions/checkout@")]
        assert "ref" not in checkout["with"], (
            "on workflow_run the default is the head of the default branch: main's code"
        )
        assert load(name)["on"] == {"workflow_run": {"workflows": ["validate"], "types": ["completed"]}}


def test_only_main_publishes_images_and_only_after_they_were_tried() -> None:
    jobs = load("images.yml")["jobs"]
    writing = {n for n, job in jobs.items() if "write" in job.get("permissions", {}).values()}
    assert writing == {"publish"}
    publish = jobs["publish"]
    assert publish["if"] == "github.event_name == 'push'"
    assert load("images.yml")["on"]["push"]["branches"] == ["main"]
    assert set(publish["needs"]) == set(jobs) - {"publish"}
    [pushed] = {t for s in publish["steps"] for t in re.findall(r"/platform:(main)", s.get("run", ""))}
    branches = (WORKFLOWS.parents[1] / "deploy" / "argocd" / "branches.yaml").read_text(encoding="utf-8")
    assert f"/platform:{pushed}\n" in branches


def test_jactionlint_has_nothing_to_say() -> None:
    linter = BIN / "jactionlint"
    if not linter.exists():
        pytest.skip("jactionlint is not installed")
    shell = BIN / "shellcheck"
    done = subprocess.run(
        [
            str(linter),
            # soil comment is the validation of the artifact: it reads two JSON files and believes neither.
            "--ignore=untrusted-artifact",
            *([f"--shellcheck={shell}"] if shell.exists() else []),
            *map(str, FILES),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_has_a_stub_so_that_every_workflow_can_be_run() -> None:
    assert {action.partition("@")[0] for action in uses()} <= {*_STUBS, "actions/checkout"}
    assert uses()


def test_an_action_is_pinned_by_one_commit_and_names_its_release() -> None:
    commits: dict[str, set[str]] = {}
    for file in FILES:
        for line in file.read_text(encoding="utf-8").splitlines():
            action = re.search(r"\buses:\s*(?!\./)(\S+)@(\S+)(.*)", line)
            if action:
                assert re.fullmatch(r"[0-9a-f]{40}", action[2]), line
                assert re.fullmatch(r" # v\d+\.\d+\.\d+", action[3]), line
                commits.setdefault(action[1].removesuffix("/restore"), set()).add(action[2])
    assert {name for name, pins in commits.items() if len(pins) > 1} == set()


def test_the_workflows_hold_against_the_schema_and_zizmor() -> None:
    for command in (
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
        ["zizmor", "--offline", "--no-progress"],
    ):
        checked = subprocess.run(
            [str(BIN / command[0]), *command[1:], *map(str, FILES)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_dvc_stages_are_commands_of_soil_and_their_inputs_exist() -> None:
    root = Path(WORKFLOWS).parents[1]
    pipeline = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert list(pipeline) == ["fetch", "validate", "drift", "train", "evaluate", "report"]
    made = [o if isinstance(o, str) else next(iter(o)) for s in pipeline.values() for o in s.get("outs", [])]
    for stage in pipeline.values():
        commands = [stage["cmd"]] if isinstance(stage["cmd"], str) else stage["cmd"]
        assert all(c.startswith("soil ") for c in commands)
        for dependency in stage["deps"]:
            outside = dependency in made or dependency.startswith(("baseline", "batches"))
            assert outside or (root / dependency).exists(), dependency
