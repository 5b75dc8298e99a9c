"""Which steps run, and with which credentials, for every kind of event and failure; the commands are recorded.

What the commands do is the matter of ``test_workflows.py``, which runs them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from soil_assets_tests.github_fake import FakeGitHub, serving
from soil_assets_tests.workflows.act import ACT, TOKEN, Ran, checkout, commit, run
from soil_assets_tests.workflows.recorded import Recorded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(ACT is None, reason="act is not installed"),
    pytest.mark.skipif(shutil.which("make") is None, reason="no make"),
]
KEYS = {"SOIL_DATA_KEY_ID": "of-the-secret", "SOIL_DATA_SECRET": "a-secret-of-a-test"}
BASE, HEAD = "1" * 40, "2" * 40
REPOSITORY = {"default_branch": "main", "full_name": "lab/soil"}
CHANGE = "soil change --against HEAD^1 --pull-request 7 --out report"
WHOLE = [
    CHANGE,
    "soil baseline --against HEAD^1",
    "soil --repository batch pull --against HEAD^1",
    "dvc repro --allow-missing evaluate",
    "soil --repository report --out report --pull-request 7",
]


@pytest.fixture
def job(tmp_path: Path) -> Recorded:
    return Recorded(checkout(tmp_path))


def pull_request(repository: str | None = "lab/soil", **more: Any) -> dict[str, Any]:
    head = {"sha": HEAD, "ref": "topic", "repo": {"full_name": repository} if repository else None}
    return {
        "action": "opened",
        "number": 7,
        "pull_request": {"number": 7, "head": head},
        "repository": REPOSITORY,
        **more,
    }


def acted(job: Recorded, workflow: str, event: str, payload: dict[str, Any], **more: Any) -> Ran:
    environment = {
        "PATH": f"{job.tools}{os.pathsep}{os.environ['PATH']}",
        "KIND": "kind=full",
        "FAILS": "",
    }
    more["env"] = environment | more.get("env", {})
    return run(job.repo, workflow, event, payload, artifacts=job.repo.parent / "artifacts", **more)


def validated(job: Recorded, event: str = "pull_request", payload: Any = None, **more: Any) -> Ran:
    return acted(job, "validate.yml", event, payload or pull_request(), secrets=KEYS, **more)


def test_a_branch_of_this_repository_may_read_the_data_and_nothing_else_sees_the_key(job: Recorded) -> None:
    ran = validated(job)
    assert ran.jobs == {"run": "success", "validate": "success"}, ran.output
    calls = job.calls()
    assert [command for command, _ in calls] == WHOLE
    assert [key for _, key in calls] == ["", "of-the-secret", "of-the-secret", "", ""]


@pytest.mark.parametrize("repository", ["stranger/soil", None], ids=["a fork", "a fork that is gone"])
def test_a_fork_is_validated_without_key_role_or_own_runner(job: Recorded, repository: str | None) -> None:
    variables = {"SOIL_DATA_ROLE": "role", "SOIL_RUNNER": "ours"}  # act knows no runner of that label
    ran = validated(job, payload=pull_request(repository), variables=variables)
    assert ran.ok, ran.output
    assert job.calls() == [(command, "") for command in WHOLE]


def test_a_role_takes_the_place_of_a_key(job: Recorded) -> None:
    variables = {"SOIL_DATA_ROLE": "role"}
    ran = acted(job, "validate.yml", "pull_request", pull_request(), variables=variables)
    assert ran.ok, ran.output
    assert dict(job.calls())[WHOLE[2]] == "of-the-role"


def test_documentation_trains_nothing_and_still_names_its_pull_request(job: Recorded) -> None:
    ran = validated(job, env={"KIND": "kind=documentation"})
    assert ran.ok, ran.output
    assert [command for command, _ in job.calls()] == [CHANGE]
    assert (ran.artifacts / "report" / "pull_request.json").exists()
    assert not (ran.artifacts / "report" / "report.json").exists()


@pytest.mark.parametrize("kind", ["", "kind=", "kind=something"])
def test_a_kind_that_nobody_knows_is_validated_in_full(job: Recorded, kind: str) -> None:
    assert validated(job, env={"KIND": kind}).ok
    assert [command for command, _ in job.calls()] == WHOLE


@pytest.mark.parametrize("at", range(1, 5), ids=["baseline", "pull", "a gate", "report"])
def test_a_step_that_fails_is_a_failed_run_and_only_a_gate_is_reported(job: Recorded, at: int) -> None:
    ran = validated(job, env={"FAILS": WHOLE[at]})
    assert ran.jobs["run"] == "failure", ran.output
    expected = WHOLE if at >= 3 else WHOLE[: at + 1]
    assert [command for command, _ in job.calls()] == expected
    assert (ran.artifacts / "report" / "pull_request.json").exists(), "uploaded whatever failed"
    assert (ran.artifacts / "report" / "report.json").exists() is (at >= 3)


@pytest.mark.parametrize("url", ["", "s3://lab/results"], ids=["off", "on"])
def test_main_publishes_its_results_where_a_variable_says_so_with_a_key_of_its_own(
    job: Recorded, url: str
) -> None:
    event = {"ref": "refs/heads/main", "repository": REPOSITORY}
    keys = KEYS | {"SOIL_RESULTS_KEY_ID": "of-the-results", "SOIL_RESULTS_SECRET": "another-secret-of-a-test"}
    for fails in ("", "soil --repository run"):
        ran = acted(
            job,
            "register.yml",
            "push",
            event,
            secrets=keys,
            variables={"SOIL_RESULTS": url},
            env={"FAILS": fails},
        )
        calls = job.calls()
        assert ran.ok is (not fails), ran.output
        assert calls[0] == ("soil --repository batch pull --against HEAD", "of-the-secret")
        published = [key for command, key in calls if command == "soil --repository batch publish"]
        assert published == (["of-the-results"] if url else []), (
            "a gate of the models says nothing of the batches"
        )
    acted(job, "register.yml", "push", event, variables={"SOIL_RESULTS": "x"}, env={"FAILS": WHOLE[2][:27]})
    assert not [command for command, _ in job.calls() if "publish" in command], "never without the data"


def test_a_change_that_cannot_be_described_ends_there(job: Recorded) -> None:
    ran = validated(job, env={"FAILS": CHANGE})
    assert ran.jobs["run"] == "failure"
    assert [command for command, _ in job.calls()] == [CHANGE]


def group(**merge_group: str) -> dict[str, Any]:
    return {"action": "checks_requested", "merge_group": merge_group, "repository": REPOSITORY}


def test_a_merge_queue_is_compared_with_what_its_event_says(job: Recorded) -> None:
    ref = f"refs/heads/gh-readonly-queue/main/pr-7-{HEAD}"
    ran = validated(job, "merge_group", group(base_sha=BASE, head_ref=ref))
    assert ran.ok, ran.output
    assert [c for c, _ in job.calls()] == [command.replace("HEAD^1", BASE) for command in WHOLE]


@pytest.mark.parametrize(
    "event",
    [
        {"head_ref": f"refs/heads/gh-readonly-queue/main/pr-7-{HEAD}"},
        {"head_ref": f"refs/heads/gh-readonly-queue/main/pr-7-{HEAD}", "base_sha": ""},
        {"head_ref": "refs/heads/somewhere", "base_sha": BASE},
        {"base_sha": BASE},
    ],
    ids=["no base", "empty base", "another branch", "no branch"],
)
def test_a_merge_queue_without_base_or_number_fails(job: Recorded, event: dict[str, str]) -> None:
    ran = validated(job, "merge_group", group(**event))
    assert ran.jobs["run"] == "failure"
    assert job.calls() == []


@pytest.mark.parametrize("moved_on", [False, True])
def test_a_run_by_hand_is_of_the_commit_that_it_was_started_on(job: Recorded, moved_on: bool) -> None:
    # In place of the checkout's ref, which act does not follow.
    job.replace(
        "validation.yml",
        r"^      # Started by hand",
        "      - run: git checkout -q --detach refs/pull/7/merge\n      # Started by hand",
    )
    job.merge(7)
    if moved_on:
        commit(job.repo, "what the branch is now")
    ran = validated(job, "workflow_dispatch", {"inputs": {"pull_request": "7"}, "repository": REPOSITORY})
    assert ran.jobs["run"] == ("failure" if moved_on else "success"), ran.output
    assert [command for command, _ in job.calls()] == ([] if moved_on else WHOLE)


@pytest.mark.parametrize("result", ["success", "failure", "skipped"])
def test_the_aggregated_check_is_red_unless_everything_succeeded(job: Recorded, result: str) -> None:
    if result == "failure":
        job.replace("ci.yml", r"- run: make audit", "- run: exit 1")
    if result == "skipped":
        job.replace("ci.yml", r"^  test:$", "  test:\n    if: github.event_name == 'never'")
    ran = acted(job, "ci.yml", "pull_request", pull_request(), env={"MAKEFLAGS": "-n"})
    assert ran.jobs["check"] == ("success" if result == "success" else "failure"), ran.output


def completed(conclusion: str) -> dict[str, Any]:
    ended = {
        "id": 5,
        "event": "pull_request",
        "head_sha": HEAD,
        "head_branch": "topic",
        "conclusion": conclusion,
    }
    return {"action": "completed", "repository": REPOSITORY, "workflow_run": ended}


@pytest.mark.parametrize(
    "conclusion",
    [
        "success",
        "failure",
        "cancelled",
        "timed_out",
        "startup_failure",
        "action_required",
        "neutral",
        "skipped",
    ],
)
def test_however_a_validation_ended_it_is_answered(job: Recorded, conclusion: str) -> None:
    ran = acted(job, "comment.yml", "workflow_run", completed(conclusion))
    assert ran.jobs == {"comment": "success"}, ran.output
    assert [command for command, _ in job.calls()] == ["soil comment --artifact artifact"]


@pytest.mark.parametrize("workflow", ["comment.yml", "cml.yaml"])
@pytest.mark.parametrize("broken", ["the command", "the set-up"])
def test_where_nothing_could_decide_the_commit_gets_an_error(
    job: Recorded, workflow: str, broken: str
) -> None:
    if broken == "the set-up":
        job.replace(workflow, r"- run: make setup", "- run: make no-such-target")
    fails = "soil comment" if broken == "the command" else ""
    with serving(FakeGitHub(token=TOKEN)) as fake:
        ran = acted(
            job, workflow, "workflow_run", completed("success"),
            env={"GITHUB_API_URL": fake.url.replace("localhost", "127.0.0.1"), "FAILS": fails},
            variables={"SOIL_CML": "true"} if workflow == "cml.yaml" else None,
        )  # fmt: skip
        assert ran.jobs == {"comment": "failure"}, ran.output
        [status] = fake.statuses
    assert (status["sha"], status["context"], status["state"]) == (HEAD, "soil / decision", "error")


def test_a_command_that_decided_keeps_its_decision(job: Recorded) -> None:
    """It says so in its step's output: the reason that it gave is not replaced by a general one."""
    program = (job.repo / ".venv").resolve() / "bin" / "soil"
    program.write_text('#!/bin/sh\necho "decision=error" >> "$GITHUB_OUTPUT"\nexit 2\n', encoding="utf-8")
    ran = acted(job, "comment.yml", "workflow_run", completed("failure"))
    assert ran.jobs == {"comment": "failure"}
    assert job.calls() == []


@pytest.mark.parametrize("wanted", [False, True])
def test_one_of_the_two_posters_runs(job: Recorded, wanted: bool) -> None:
    variables = {"SOIL_CML": "true"} if wanted else None
    for workflow in ("comment.yml", "cml.yaml"):
        acted(job, workflow, "workflow_run", completed("success"), variables=variables)
    cml = "soil comment --backend cml --artifact artifact"
    assert [command for command, _ in job.calls()] == [cml if wanted else "soil comment --artifact artifact"]


def labelled(name: str = "run with data", repository: str = "stranger/soil") -> dict[str, Any]:
    return pull_request(repository, action="labeled", label={"name": name})


def test_a_label_validates_a_forks_commit_with_data(job: Recorded) -> None:
    ran = acted(
        job, "with_data.yml", "pull_request_target", labelled(), variables={"SOIL_DATA_FORKS": "true"},
        env={"TREE_OF_MAIN": "abc", "TREE_OF_FORK": "abc"},
    )  # fmt: skip
    assert ran.ok, ran.output
    branch = f"with-data/7-{HEAD}"
    calls = [command for command, _ in job.calls()]
    assert f"gh api --method POST repos/lab/soil/git/refs -f ref=refs/heads/{branch} -f sha={HEAD}" in calls
    assert calls[-1] == f"gh workflow run validate.yml --ref {branch} -f pull_request=7"


@pytest.mark.parametrize(
    ("event", "variables", "tree"),
    [
        (labelled("preview"), {"SOIL_DATA_FORKS": "true"}, "abc"),
        (labelled(repository="lab/soil"), {"SOIL_DATA_FORKS": "true"}, "abc"),
        (labelled(), {}, "abc"),
        (labelled(), {"SOIL_DATA_FORKS": "true"}, "other"),
        (labelled(), {"SOIL_DATA_FORKS": "true"}, ""),
    ],
    ids=["another label", "no fork", "not set up", "other workflows", "no workflows"],
)
def test_no_label_that_is_not_meant_starts_anything(
    job: Recorded, event: dict[str, Any], variables: dict[str, str], tree: str
) -> None:
    environment = {"TREE_OF_MAIN": "abc", "TREE_OF_FORK": tree}
    acted(job, "with_data.yml", "pull_request_target", event, variables=variables, env=environment)
    assert not [call for call, _ in job.calls() if "git/refs" in call or "workflow run" in call]


def test_two_empty_answers_are_not_the_same_workflows(job: Recorded) -> None:
    ran = acted(
        job, "with_data.yml", "pull_request_target", labelled(), variables={"SOIL_DATA_FORKS": "true"},
        env={"TREE_OF_MAIN": "", "TREE_OF_FORK": ""},
    )  # fmt: skip
    assert ran.jobs == {"start": "failure"}
    assert not [call for call, _ in job.calls() if "git/refs" in call]
