"""Who may reach what: secrets, caches, runners and the jobs that decide, read from every workflow there is."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any

import pytest

from soil_assets_tests.workflows.act import ROOT, WORKFLOWS
from soil_assets_tests.workflows.test_static import FILES, load, steps

_SAME = "github.event.pull_request.head.repo.full_name == github.repository"
_NAMES = [file.name for file in FILES]


def is_guarded(jobs: dict[str, Any], name: str) -> bool:
    """Whether a job does not run for a fork's pull request: by its own condition, or by that of a job it needs."""
    condition = " ".join(str(jobs[name].get("if", "")).split())
    parts = [part.strip() for part in condition.split("&&")]
    if _SAME in parts or condition == f"github.event_name != 'pull_request' || {_SAME}":
        return True
    if "github.event_name == 'push'" in parts:
        return True
    if re.search(r"always\(\)|cancelled\(\)|failure\(\)", condition):
        return False
    needs = jobs[name].get("needs", [])
    return any(is_guarded(jobs, need) for need in ([needs] if isinstance(needs, str) else needs))


def powers(job: dict[str, Any]) -> set[str]:
    """What a job could do harm with."""
    text = json.dumps(job)
    own_runner = "vars." in str(job.get("runs-on", ""))
    rights = {right for right, level in (job.get("permissions") or {}).items() if level == "write"}
    return {
        *rights,
        *re.findall(r"secrets\.\w+|github\.token", text),
        *({"environment"} if "environment" in job else ()),
        *({"secrets"} if "secrets" in job else ()),
        *({"private data"} if "private_data" in job.get("with", {}) else ()),
        *({"runner"} if own_runner else ()),
    }


@pytest.mark.parametrize("name", _NAMES)
def test_no_job_with_a_secret_runs_for_a_fork(name: str) -> None:
    workflow = load(name)
    if "pull_request" not in workflow["on"]:
        return
    jobs = workflow["jobs"]
    for job_name, job in jobs.items():
        if not is_guarded(jobs, job_name):
            assert powers(job) == set(), job_name


def test_the_check_above_sees_what_it_has_to_see() -> None:
    """Each power in turn, in a job without a condition, with another condition, and behind a job that always runs."""
    harmless: dict[str, Any] = {"runs-on": "ubuntu-24.04", "permissions": {"contents": "read"}}
    assert powers(harmless) == set()
    for change in (
        {"permissions": {"id-token": "write"}},
        {"environment": "data"},
        {"secrets": "inherit"},
        {"with": {"private_data": True}},
        {"runs-on": "${{ vars.SOIL_RUNNER }}"},
        {"steps": [{"env": {"KEY": "${{ secrets.SOIL_DATA_SECRET }}"}}]},
        {"steps": [{"env": {"GH_TOKEN": "${{ github.token }}"}}]},
    ):
        assert powers({**harmless, **change})
    for condition in ("", "always()", "github.event_name != 'push'", f"{_SAME} || always()", f"!({_SAME})"):
        assert not is_guarded({"a": {"if": condition}}, "a"), condition
    assert is_guarded({"a": {"if": f"github.event.action != 'closed' && {_SAME}"}}, "a")
    assert is_guarded({"a": {"if": _SAME}, "b": {"needs": "a"}}, "b")
    assert not is_guarded({"a": {"if": _SAME}, "b": {"needs": "a", "if": "always()"}}, "b")


def test_a_called_workflow_has_only_what_its_caller_hands_over() -> None:
    workflow = load("validation.yml")
    assert list(workflow["on"]) == ["workflow_call"]
    inputs, secrets = workflow["on"]["workflow_call"]["inputs"], workflow["on"]["workflow_call"]["secrets"]
    assert inputs["private_data"]["default"] is False
    text = (WORKFLOWS / "validation.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"secrets\.(\w+)", text)) == set(secrets)
    assert "github.token" not in text
    [job] = workflow["jobs"].values()
    assert "permissions" not in job
    assert job["runs-on"] == "${{ inputs.private_data && vars.SOIL_RUNNER || 'ubuntu-24.04' }}"
    for step in job["steps"]:
        if "vars.SOIL_DATA_ROLE" in json.dumps(step):
            assert "inputs.private_data &&" in step["if"]
    jobs = load("validate.yml")["jobs"]
    assert powers(jobs["fork"]) == set()
    assert jobs["fork"]["uses"] == jobs["branch"]["uses"] == "./.github/workflows/validation.yml"
    assert jobs["fork"]["if"] == f"github.event_name == 'pull_request' && {_SAME.replace('==', '!=')}"
    assert jobs["branch"]["if"] == f"github.event_name != 'pull_request' || {_SAME}", "exactly one of the two"


def test_what_runs_on_a_forks_event_with_rights_runs_nothing_of_the_fork() -> None:
    assert [name for name in _NAMES if "pull_request_target" in load(name)["on"]] == ["with_data.yml"]
    workflow = load("with_data.yml")
    [job] = workflow["jobs"].values()
    assert workflow["on"] == {"pull_request_target": {"types": ["labeled"]}}
    assert job["environment"] == "with-data"
    assert "vars.SOIL_DATA_FORKS == 'true'" in job["if"], (
        "an environment that nobody made lets everything through"
    )
    assert job["permissions"] == {"actions": "write", "contents": "write"}
    assert "secrets." not in json.dumps(job)
    for step in job["steps"]:
        assert "uses" not in step, "nothing is checked out"
        assert set(re.findall(r"^\s*(?:\w+=\$\()?(\w+)", step["run"], re.MULTILINE)) <= {"gh", "test"}


@pytest.mark.parametrize("name", _NAMES)
def test_what_validates_a_change_restores_nothing_of_an_earlier_run(name: str) -> None:
    caches = [step for step in steps(name) if step.get("uses", "").startswith("actions/cache")]
    for step in steps(name):
        assert not {"cache", "enable-cache"} & set(step.get("with", {})), "the caches of a set-up action"
    if name in ("comment.yml", "new_data.yml"):
        assert all("/restore@" in step["uses"] for step in caches), "main's caches are written on main"
    elif name != "register.yml":
        assert caches == []
    for step in caches:
        if step["with"]["path"] == ".venv":
            assert "steps.python.outputs.python-version" in step["with"]["key"]
            assert any(other.get("id") == "python" for other in steps(name))
    if caches:
        assert not {"pull_request", "merge_group", "pull_request_target"} & set(load(name)["on"])
        assert load("register.yml")["on"] == {"push": {"branches": ["main"]}}


def test_the_steps_of_a_validation_have_the_right_conditions() -> None:
    """The report after a gate that said no, never without baseline and data; the artifact always."""
    by_command = {s.get("run", s.get("uses", "")).split("@")[0]: s for s in steps("validation.yml")}
    assert by_command["actions/upload-artifact"]["if"] == "always()"
    report = by_command['soil --repository report --out report --pull-request "${NUMBER:?}"']
    assert "!cancelled()" in report["if"]
    assert "steps.pull.outcome == 'success'" in report["if"]
    pull = 'soil --repository batch pull --against "${BASE:?}"'
    assert by_command[pull]["id"] == "pull"
    order = list(by_command)
    assert order.index('soil baseline --against "${BASE:?}"') < order.index(pull), "results fit main's policy"
    plain = "steps.change.outputs.kind != 'documentation'"
    for command in (pull, 'soil baseline --against "${BASE:?}"', "dvc repro --allow-missing evaluate"):
        assert by_command[command]["if"] == plain, (
            "no condition on an outcome: a failed step before it skips it"
        )
    assert not any("continue-on-error" in step for step in steps("validation.yml"))
    limits = [step["timeout-minutes"] for step in steps("validation.yml") if "timeout-minutes" in step]
    [job] = load("validation.yml")["jobs"].values()
    assert sum(limits) < job["timeout-minutes"], (
        "a step ends before its job, so that the artifact is uploaded"
    )


def test_results_are_written_by_main_s_job_alone_and_read_by_no_fork() -> None:
    writing = {name for name in _NAMES if "SOIL_RESULTS_" in (WORKFLOWS / name).read_text(encoding="utf-8")}
    publishing = {name for name in _NAMES for step in steps(name) if "batch publish" in step.get("run", "")}
    assert writing == publishing == {"register.yml"}
    workflow = load("register.yml")
    assert workflow["on"] == {"push": {"branches": ["main"]}}
    [job] = workflow["jobs"].values()
    assert job["environment"] == "staging"
    [publish] = [step for step in job["steps"] if "batch publish" in step.get("run", "")]
    assert "vars.SOIL_RESULTS != ''" in publish["if"], "off unless it is set"
    assert "steps.pull.outcome == 'success'" in publish["if"]
    for step in steps("validation.yml"):
        if "SOIL_RESULTS" in step.get("env", {}):
            assert step["env"]["SOIL_RESULTS"] == "${{ inputs.private_data && vars.SOIL_RESULTS || '' }}"


@pytest.mark.parametrize("name", ["comment.yml", "cml.yaml"])
def test_a_run_that_ended_in_any_way_is_answered(name: str) -> None:
    [job] = load(name)["jobs"].values()
    assert "conclusion" not in str(job.get("if", ""))
    last = job["steps"][-1]
    assert "statuses/$SHA" in last["run"]
    assert "state=error" in last["run"]
    assert last["if"] == "${{ (failure() || cancelled()) && steps.comment.outputs.decision == '' }}"
    assert last["env"]["SHA"] == "${{ github.event.workflow_run.head_sha }}"
    assert load(name)["concurrency"] == {
        "group": f"{name.partition('.')[0]}-${{{{ github.event.workflow_run.head_sha }}}}",
        "cancel-in-progress": False,
    }


def test_exactly_one_workflow_posts() -> None:
    assert load("comment.yml")["jobs"]["comment"]["if"] == "vars.SOIL_CML != 'true'"
    assert load("cml.yaml")["jobs"]["comment"]["if"] == "vars.SOIL_CML == 'true'"


def test_the_required_checks_exist_under_these_names_on_every_event() -> None:
    page = (ROOT / "docs" / "pull-requests.md").read_text(encoding="utf-8")
    for workflow_name, check in (("ci.yml", "check"), ("validate.yml", "validate")):
        workflow = load(workflow_name)
        assert {"pull_request", "merge_group", "workflow_dispatch"} <= set(workflow["on"])
        job = workflow["jobs"][check]
        others = set(workflow["jobs"]) - {check}
        needs = job["needs"]
        assert job["if"] == "always()"
        assert {needs} == others if isinstance(needs, str) else set(needs) == others
        assert not {"strategy", "name"} & set(job), "the check is named by the job"
        assert f"| `{check}` |" in page
    assert "| `soil / decision` |" in page


def test_every_file_that_judges_is_the_leads() -> None:
    lines = (ROOT / ".github" / "CODEOWNERS").read_text(encoding="utf-8").splitlines()
    rules = [line.split() for line in lines if line.strip() and not line.startswith("#")]

    def owners(path: str) -> list[str]:
        for pattern, *people in reversed(rules):  # the last one that matches counts
            place = pattern.strip("/") + ("/*" if pattern.endswith("/") else "")
            if pattern == "*" or fnmatch.fnmatchcase(path, place):
                return people
        return []

    for path in (
        "soil.yaml", "batches/june.accepted.json", "soil_assets/benchmarks/frozen/nrw115.json", "Makefile",
        ".github/workflows/validate.yml", ".github/CODEOWNERS", "docs/SOP.md", "requirements.txt", "dvc.yaml",
        "pyproject.toml", "soil_assets/cli/report.py", "soil_assets/spectra/properties.csv",
    ):  # fmt: skip
        assert owners(path) == ["@lab/soil-leads"], path
    for path in ("README.md", "docs/labs/1-ci.md", "batches/june/lab.csv", "batches/june.dvc"):
        assert owners(path) == [], path
