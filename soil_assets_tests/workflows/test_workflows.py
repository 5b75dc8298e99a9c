"""Every workflow run on its event: what its jobs say, what they leave, and what arrives at GitHub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soil_assets_tests.github_fake import FakeGitHub, Fault, serving
from soil_assets_tests.pull_request.facts import facts, write_artifact
from soil_assets_tests.workflows.act import ACT, TOKEN, Ran, checkout, commit, copy_of, git, run, take_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(ACT is None, reason="act is not installed"),
    pytest.mark.skipif(shutil.which("make") is None, reason="no make"),
]


def opened(number: int, base: str) -> dict[str, Any]:
    """Return the event of a pull request."""
    return {
        "action": "opened",
        "number": number,
        "pull_request": {"number": number, "base": {"ref": "main", "sha": base}, "head": {"ref": "topic"}},
        "repository": {"default_branch": "main", "full_name": "lab/soil"},
    }


def completed(
    sha: str, number: int = 1, conclusion: str = "success", repository: str = "lab/soil"
) -> dict[str, Any]:
    """Return the event of a finished validation."""
    return {
        "action": "completed",
        "repository": {"default_branch": "main", "full_name": "lab/soil"},
        "workflow_run": {
            "id": 5,
            "event": "pull_request",
            "head_sha": sha,
            "run_number": number,
            "run_attempt": 1,
            "head_branch": "topic",
            "head_repository": {"full_name": repository},
            "conclusion": conclusion,
            "html_url": "https://github.example/lab/soil/actions/runs/5",
        },
    }


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    with serving(FakeGitHub(token=TOKEN)) as state:
        yield state


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """A repository whose first pull request was validated: what it left is main from then on."""
    folder = tmp_path_factory.mktemp("first")
    repo = checkout(folder)
    ran = run(repo, "validate.yml", "pull_request", opened(1, "0" * 40), artifacts=folder / "artifacts")
    return repo, ran


@pytest.fixture(scope="module")
def main(first: tuple[Path, Ran]) -> Path:
    repo, ran = first
    assert ran.ok, ran.output
    take_state(ran, repo)
    commit(repo, "the first models")
    return repo


def comment(repo: Path, fake: FakeGitHub, artifacts: Path, event: dict[str, Any]) -> Ran:
    env = {"GITHUB_API_URL": fake.url}
    return run(repo, "comment.yml", "workflow_run", event, artifacts=artifacts, env=env)


def report_in(artifacts: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((artifacts / "report" / "report.json").read_text(encoding="utf-8"))
    return found


def test_the_first_pull_request_is_a_first_version(first: tuple[Path, Ran]) -> None:
    _, ran = first
    assert ran.ok, ran.output
    told = report_in(ran.artifacts)
    assert told["verdict"] == "first version"
    assert json.loads((ran.artifacts / "report" / "pull_request.json").read_text()) == {"number": 1}
    assert [b["name"] for b in told["batches"]] == ["same-field"]


def test_a_change_of_the_documentation_trains_nothing(main: Path, tmp_path: Path) -> None:
    repo = copy_of(main, tmp_path)
    base = git(repo, "rev-parse", "HEAD").strip()
    (repo / "README.md").write_text("Another README.\n", encoding="utf-8")
    commit(repo, "reads better")
    ran = run(repo, "validate.yml", "pull_request", opened(2, base), artifacts=tmp_path / "artifacts")
    assert ran.ok, ran.output
    assert "Stage 'train' didn't change, skipping" in ran.output
    assert "Running stage 'train'" not in ran.output
    assert "both predict exactly the same" in json.dumps(report_in(ran.artifacts))
    told = report_in(ran.artifacts)
    assert told["inputs"]["versions"]["commit"] == git(repo, "rev-parse", "HEAD")[:12]
    assert told["inputs"]["changes"] == []


def test_a_batch_that_drifts_fails_and_is_still_reported_from_a_fork(
    main: Path, tmp_path: Path, fake: FakeGitHub
) -> None:
    repo = copy_of(main, tmp_path)
    base = git(repo, "rev-parse", "HEAD").strip()
    assert run_soil(repo, "fetch", "other-field") == 0
    sha = commit(repo, "a batch of another field")
    ran = run(repo, "validate.yml", "pull_request", opened(3, base), artifacts=tmp_path / "artifacts")
    assert ran.jobs == {"validate": "failure"}, ran.output
    told = report_in(ran.artifacts)
    assert told["verdict"] == "request changes"
    assert told["inputs"]["changes"][0].startswith("data: other-field added")
    assert {b["name"]: b["held"] for b in told["batches"]} == {"other-field": True, "same-field": False}
    # Main's models were brought from its DVC artifact: the comparison is a real one.
    assert told["inputs"]["main"].endswith("(its DVC artifact)")
    assert told["properties"][0]["metrics"]["rmse"]["main"] is not None
    fake.pull(3, sha, repo="stranger/soil")
    event = completed(sha, conclusion="failure", repository="stranger/soil")
    posted = comment(main, fake, tmp_path / "artifacts", event)
    assert posted.ok, posted.output
    [body] = [c["body"] for c in fake.ours(3)]
    assert "## Soil models: request changes" in body
    assert "other-field" in body
    assert [(s["context"], s["state"]) for s in fake.statuses] == [("soil / decision", "failure")]


def test_lab_values_that_were_mixed_up_make_a_model_that_is_not_merged(main: Path, tmp_path: Path) -> None:
    """Main cannot be had from DVC here, as in a fork: its commit is trained again in the same job."""
    import pandas as pd

    repo = copy_of(main, tmp_path)
    base = git(repo, "rev-parse", "HEAD").strip()
    shutil.rmtree(repo / ".dvc" / "cache")
    lab = repo / "batches" / "mixed-up"
    shutil.copytree(repo / "batches" / "same-field", lab)
    table = pd.read_csv(lab / "lab.csv")
    table["clay"] = sorted(table["clay"])
    table["sample_id"] = [f"mixed-{i}" for i in table["sample_id"]]
    table.to_csv(lab / "lab.csv", index=False)
    spectra = pd.read_csv(lab / "spectra.csv")
    spectra["sample_id"] = [f"mixed-{i}" for i in spectra["sample_id"]]
    bands = [c for c in spectra if c != "sample_id"]
    spectra[bands] *= 1.0005  # not the very scans that are in training already
    spectra.to_csv(lab / "spectra.csv", index=False)
    shutil.rmtree(repo / "batches" / "same-field")
    (repo / "batches" / ".gitignore").unlink(missing_ok=True)
    commit(repo, "a batch whose values are another sample's")
    ran = run(repo, "validate.yml", "pull_request", opened(4, base), artifacts=tmp_path / "artifacts")
    told = report_in(ran.artifacts)
    assert told["inputs"]["main"].endswith("(trained again)"), ran.output
    assert ran.jobs == {"validate": "failure"}
    assert told["blocks"]


def test_the_comment_is_created_then_renewed_among_250_others(
    main: Path, tmp_path: Path, fake: FakeGitHub
) -> None:
    sha, next_sha = "a" * 40, "b" * 40
    fake.pull(7, sha)
    fake.talk(7, [f"talk {i}" for i in range(125)])
    write_artifact(tmp_path / "one" / "report", _facts(0.05, 0.3))
    first = comment(main, fake, tmp_path / "one", completed(sha, 1))
    assert first.ok, first.output
    fake.pull(7, next_sha)
    fake.talk(7, [f"talk {i}" for i in range(125)])
    write_artifact(tmp_path / "two" / "report", _facts(0.9, 0.1))
    second = comment(main, fake, tmp_path / "two", completed(next_sha, 2, "failure"))
    assert second.ok, second.output
    [ours] = fake.ours(7)
    assert "## Soil models: reject" in ours["body"]
    assert [(s["sha"], s["state"]) for s in fake.statuses] == [(sha, "success"), (next_sha, "failure")]
    assert fake.asked("PATCH")[-1] == f"issues/comments/{ours['id']}"


@pytest.mark.parametrize("what", ["another number", "not JSON", "no artifact", "no permission"])
def test_what_is_not_to_be_believed_or_not_allowed_fails_the_job(
    main: Path, tmp_path: Path, fake: FakeGitHub, what: str
) -> None:
    fake.pull(7, "a" * 40)
    fake.pull(8, "c" * 40, ref="victim")
    folder = write_artifact(
        tmp_path / "x" / "report", _facts(0.05, 0.3), number=8 if what == "another number" else 7
    )
    if what == "not JSON":
        (folder / "report.json").write_text("{", encoding="utf-8")
    if what == "no artifact":  # the run broke before its report
        shutil.rmtree(tmp_path / "x")
        (tmp_path / "x").mkdir()
    if what == "no permission":
        fake.faults = [
            Fault("POST", r"issues/7/comments", 403, {"message": "Resource not accessible"}, times=9)
        ]
    ran = comment(main, fake, tmp_path / "x", completed("a" * 40))
    assert ran.jobs == {"comment": "failure"}, ran.output
    assert fake.comments == {}
    told = {
        "another number": "does not belong to",
        "not JSON": "not JSON",
        "no artifact": "the artifact lacks a file",
        "no permission": "pull-requests: write",
    }
    assert told[what] in ran.output
    assert "Traceback" not in ran.output
    states = {s["state"] for s in fake.statuses if s["sha"] == "a" * 40 and s["context"] == "soil / decision"}
    assert states == ({"success"} if what == "no permission" else {"error"}), "never without a decision"


def test_main_registers_what_passed(main: Path, tmp_path: Path) -> None:
    repo = copy_of(main, tmp_path)
    ran = run(
        repo, "register.yml", "push", {"ref": "refs/heads/main", "repository": {"default_branch": "main"}},
        artifacts=tmp_path / "artifacts",
    )  # fmt: skip
    assert ran.ok, ran.output
    from soil_assets.adapters.mlflow import Registry

    database = tmp_path / "artifacts" / "state" / ".soil" / "repository" / "mlflow.db"
    registry = Registry(f"sqlite:///{database}", "soil-local", str(tmp_path / "mlflow"))
    found = registry.version_at("soil-clay", "staging")
    assert found is not None
    assert found.version == 1
    assert (tmp_path / "artifacts" / "report-of-main" / "report.json").exists()


def test_new_data_opens_a_pull_request_once_and_starts_its_validation(
    main: Path, tmp_path: Path, fake: FakeGitHub
) -> None:
    repo = copy_of(main, tmp_path)
    head = git(repo, "rev-parse", "HEAD").strip()
    tree = fake._store("tree", {"files": {}})[1]["sha"]
    fake.objects[head] = {"sha": head, "tree": {"sha": tree}, "parents": []}
    inbox = tmp_path / "inbox"
    shutil.copytree(repo / "batches" / "same-field", inbox / "same-field")
    shutil.copytree(repo / "batches" / "same-field", inbox / "july")
    event = {"action": "new-batch", "repository": {"default_branch": "main"}}
    for _ in range(2):
        ran = run(
            repo, "new_data.yml", "repository_dispatch", event, artifacts=tmp_path / "artifacts",
            env={"GITHUB_API_URL": fake.url}, variables={"SOIL_INBOX": str(inbox)},
        )  # fmt: skip
        assert ran.ok, ran.output
    [made] = fake.pulls.values()
    assert made["title"] == "Batch july"
    branch = made["head"]["ref"]
    assert branch.startswith("data/july-")
    assert set(fake.published(branch)) == {
        f"batches/july/{n}" for n in ("_SUCCESS", "batch.yaml", "lab.csv", "spectra.csv")
    }
    assert fake.objects[fake.refs[branch]]["parents"] == [head]
    [started] = fake.dispatched
    assert (started["workflow"], started["inputs"]) == ("validate.yml", {"pull_request": str(made["number"])})


def test_ci_runs_its_targets(main: Path, tmp_path: Path) -> None:
    """Which targets there are and in which order; running the tests inside of themselves would never end."""
    ran = run(
        copy_of(main, tmp_path), "ci.yml", "pull_request", opened(9, "0" * 40),
        artifacts=tmp_path / "artifacts", env={"MAKEFLAGS": "-n"},
    )  # fmt: skip
    assert ran.ok, ran.output
    for tool in ("ruff format --check", "mypy", "pytest"):
        assert tool in ran.output


def _facts(spread: float, of_main: float) -> Any:
    """Return facts that are judged by the policy of these repositories."""
    return facts(spread, of_main, properties_only=("clay",))


def run_soil(repo: Path, *arguments: str) -> int:
    import subprocess

    done = subprocess.run(
        [str(repo / ".venv" / "bin" / "soil"), *arguments], cwd=repo, check=False, capture_output=True
    )
    return done.returncode
