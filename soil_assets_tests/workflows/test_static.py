"""What can be said of the workflows without running them: rights, pins, limits, and that they hold no logic."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from soil_assets_tests.workflows.act import _STUBS, BIN, WORKFLOWS, uses

FILES = sorted(WORKFLOWS.glob("*.yml"))
OURS = ("comment.yml", "new_data.yml", "register.yml", "validate.yml")


def load(name: str) -> dict[str, Any]:
    found: dict[Any, Any] = yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))
    found["on"] = found.pop(True, None)  # YAML 1.1 reads the key `on` as true
    return found


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in load(name)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", OURS)
def test_a_job_ends_gives_way_and_may_do_only_what_it_says(name: str) -> None:
    found = load(name)
    assert found["permissions"] in ({}, {"contents": "read"})
    assert found["concurrency"]["group"]
    assert all(job["timeout-minutes"] <= 60 for job in found["jobs"].values())
    for step in steps(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", OURS)
def test_a_job_is_a_list_of_commands_that_a_person_could_type(name: str) -> None:
    commands = [step["run"] for step in steps(name) if "run" in step]
    assert commands
    for command in commands:
        assert "\n" not in command.strip()
        assert re.match(r"(make|soil|dvc|\.venv/bin/soil|echo \"\$PWD/\.venv/bin\") ?", command), command
        assert "${{" not in command, "an expression in a script is a way in for text of the event"


def test_only_the_job_without_code_of_the_change_may_write() -> None:
    writes = {
        name: {
            k
            for job in load(name)["jobs"].values()
            for k, v in job.get("permissions", {}).items()
            if v == "write"
        }
        for name in OURS
    }
    assert writes["validate.yml"] == writes["register.yml"] == set()
    assert writes["comment.yml"] == {"contents", "pull-requests", "statuses"}
    [checkout] = [s for s in steps("comment.yml") if s.get("uses", "").startswith("actions/checkout@")]
    assert "ref" not in checkout["with"], (
        "on workflow_run the default is the head of the default branch: main's code"
    )
    assert list(load("comment.yml")["on"]) == ["workflow_run"]
    assert "pull_request_target" not in "".join(f.read_text(encoding="utf-8") for f in FILES)


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


def test_no_secret_reaches_a_pull_requests_own_run() -> None:
    assert "secrets." not in (WORKFLOWS / "validate.yml").read_text(encoding="utf-8")
    assert "github.token" not in (WORKFLOWS / "validate.yml").read_text(encoding="utf-8")


def test_the_report_is_made_and_kept_whatever_failed() -> None:
    last = {s.get("run", s.get("uses", "")).split("@")[0]: s for s in steps("validate.yml")}
    for what in ('soil --repository report --out report --pull-request "$NUMBER"', "actions/upload-artifact"):
        assert last[what]["if"] == "${{ !cancelled() }}"


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
    known = {*_STUBS, "actions/checkout"}
    ours = {
        u.partition("@")[0]
        for name in OURS
        for u in re.findall(r"uses:\s*(\S+@\S+)", (WORKFLOWS / name).read_text(encoding="utf-8"))
    }
    assert ours <= known
    assert uses()


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
