"""Every workflow run on its event: what its jobs say, what they leave, and what arrives at GitHub."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soil_assets_tests.github_fake import FakeGitHub, serving
from soil_assets_tests.workflows.act import ACT, TOKEN, Ran, checkout, commit, copy_of, git, run
from soil_assets_tests.workflows.recorded import gh

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(ACT is None, reason="act is not installed"),
    pytest.mark.skipif(shutil.which("make") is None, reason="no make"),
]


def opened(number: int, repository: str = "lab/soil") -> dict[str, Any]:
    """Return the event of a pull request."""
    head = {"ref": "topic", "repo": {"full_name": repository}}
    return {
        "action": "opened",
        "number": number,
        "pull_request": {"number": number, "base": {"ref": "main"}, "head": head},
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
            "created_at": "2026-01-01T00:00:00Z",
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
def main(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose main has settings, and therefore models that a change is compared with."""
    return checkout(tmp_path_factory.mktemp("main"))


def validate(repo: Path, number: int, artifacts: Path, repository: str = "lab/soil") -> Ran:
    return run(repo, "validate.yml", "pull_request", opened(number, repository), artifacts=artifacts)


def comment(repo: Path, fake: FakeGitHub, artifacts: Path, event: dict[str, Any]) -> Ran:
    """Post as comment.yml does; its last step's ``gh`` writes to the fake, too."""
    tools = gh(artifacts.parent)
    env = {"GITHUB_API_URL": fake.url, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    return run(repo, "comment.yml", "workflow_run", event, artifacts=artifacts, env=env)


def report_in(artifacts: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((artifacts / "report" / "report.json").read_text(encoding="utf-8"))
    return report


def decisions(fake: FakeGitHub) -> list[tuple[str, str]]:
    return [(s["sha"], s["state"]) for s in fake.statuses if s["context"] == "soil / decision"]


def test_the_first_pull_request_is_a_first_version(main: Path, tmp_path: Path) -> None:
    """Main itself shows that it has no model: it has no settings."""
    repo = copy_of(main, tmp_path)
    settings = (repo / "soil.yaml").read_text(encoding="utf-8")
    (repo / "soil.yaml").unlink()
    base = commit(repo, "main without settings")
    (repo / "soil.yaml").write_text(settings, encoding="utf-8")
    commit(repo, "the first settings")
    ran = validate(repo, 1, tmp_path / "artifacts")
    assert ran.jobs == {"run": "success", "validate": "success"}, ran.output
    assert report_in(ran.artifacts)["verdict"] == "first version"
    claim = json.loads((ran.artifacts / "report" / "pull_request.json").read_text(encoding="utf-8"))
    assert (claim["number"], claim["base"]) == (1, base)


def test_documentation_is_neither_trained_nor_judged_and_gets_its_comment(
    main: Path, tmp_path: Path, fake: FakeGitHub
) -> None:
    repo = copy_of(main, tmp_path)
    (repo / "README.md").write_text("Another README.\n", encoding="utf-8")
    sha = commit(repo, "reads better")
    ran = validate(repo, 2, tmp_path / "artifacts")
    assert ran.ok, ran.output
    assert not [
        step for step, _ in ran.steps if step.startswith(("soil --repository", "soil baseline", "dvc"))
    ]
    fake.pull(2, sha)
    fake.change(2, "README.md")
    posted = comment(main, fake, tmp_path / "artifacts", completed(sha))
    assert posted.ok, posted.output
    assert decisions(fake) == [(sha, "success")]
    assert len(fake.ours(2)) == 1


def test_a_batch_that_drifts_fails_and_is_still_reported_from_a_fork(
    main: Path, tmp_path: Path, fake: FakeGitHub
) -> None:
    repo = copy_of(main, tmp_path)
    base = git(repo, "rev-parse", "HEAD").strip()
    assert run_soil(repo, "fetch", "other-field") == 0
    sha = commit(repo, "a batch of another field")
    ran = validate(repo, 3, tmp_path / "artifacts", "stranger/soil")
    assert ran.jobs["run"] == "failure", ran.output
    report = report_in(ran.artifacts)
    assert report["verdict"] == "request changes"
    assert {b["name"]: b["held"] for b in report["batches"]}["other-field"] is True
    assert report["properties"][0]["metrics"]["rmse"]["main"] is not None
    fake.pull(3, sha, repo="stranger/soil")
    for name in git(repo, "diff", "--name-only", base, sha).split():
        fake.change(3, name, "added")
    fake.comparisons["main", sha] = {"status": "ahead", "merge_base_commit": {"sha": base}}
    event = completed(sha, conclusion="failure", repository="stranger/soil")
    posted = comment(main, fake, tmp_path / "artifacts", event)
    assert posted.ok, posted.output
    [text] = [c["body"] for c in fake.ours(3)]
    assert "## Soil models: request changes" in text
    assert "other-field" in text
    assert decisions(fake) == [(sha, "failure")]


def test_data_that_were_not_pushed_are_an_error_and_no_first_version(
    main: Path, tmp_path: Path, fake: FakeGitHub
) -> None:
    repo = copy_of(main, tmp_path)
    pointer = "outs:\n- md5: 00000000000000000000000000000000.dir\n  size: 1\n  nfiles: 1\n  hash: md5\n  path: june\n"
    (repo / "batches" / "june.dvc").write_text(pointer, encoding="utf-8")
    sha = commit(repo, "a batch whose data stayed at home")
    ran = validate(repo, 5, tmp_path / "artifacts")
    assert ran.jobs["run"] == "failure", ran.output
    assert [outcome for step, outcome in ran.steps if "batch pull" in step] == ["failure"]
    assert not [step for step, _ in ran.steps if "report --out" in step]
    assert not (ran.artifacts / "report" / "report.json").exists()
    fake.pull(5, sha)
    fake.change(5, "batches/june.dvc", "added")
    base = git(repo, "rev-parse", "HEAD^1").strip()
    fake.comparisons["main", sha] = {"status": "ahead", "merge_base_commit": {"sha": base}}
    comment(main, fake, tmp_path / "artifacts", completed(sha, conclusion="failure"))
    assert {state for _, state in decisions(fake)} == {"error"}


@pytest.mark.parametrize("conclusion", ["cancelled", "timed_out"])
def test_a_run_that_did_not_end_is_an_error_on_its_commit(
    main: Path, tmp_path: Path, fake: FakeGitHub, conclusion: str
) -> None:
    """Its claim was uploaded, its report was not."""
    sha = "a" * 40
    fake.pull(7, sha)
    fake.change(7, "soil.yaml")
    folder = tmp_path / "x" / "report"
    folder.mkdir(parents=True)
    base = git(main, "rev-parse", "HEAD").strip()
    (folder / "pull_request.json").write_text(json.dumps({"number": 7, "base": base}), encoding="utf-8")
    ran = comment(main, fake, tmp_path / "x", completed(sha, conclusion=conclusion))
    assert "Traceback" not in ran.output
    assert decisions(fake) == [(sha, "error")], ran.output


@pytest.mark.parametrize("what", ["another number", "not JSON", "no artifact"])
def test_what_is_not_to_be_believed_is_an_error_and_no_comment(
    main: Path, tmp_path: Path, fake: FakeGitHub, what: str
) -> None:
    sha = "a" * 40
    fake.pull(7, sha)
    fake.pull(8, "c" * 40, ref="victim")
    folder = tmp_path / "x" / "report"
    folder.mkdir(parents=True)
    claim = json.dumps({"number": 8 if what == "another number" else 7, "base": "0" * 40})
    (folder / "pull_request.json").write_text("{" if what == "not JSON" else claim, encoding="utf-8")
    if what == "no artifact":  # the run broke before it wrote anything
        shutil.rmtree(folder)
    ran = comment(main, fake, tmp_path / "x", completed(sha))
    assert ran.jobs == {"comment": "failure"}, ran.output
    assert fake.comments == {}
    assert decisions(fake) == [(sha, "error")], "never without a decision, and never two"
    assert "Traceback" not in ran.output


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
    assert run_soil(repo, "fetch", "same-field") == 0
    inbox = tmp_path / "inbox"
    for place in (repo / "batches" / "june", inbox / "june", inbox / "july"):
        shutil.copytree(repo / "batches" / "same-field", place)
    head = commit(repo, "the batch of june")
    tree = fake._store("tree", {"files": {}})[1]["sha"]
    fake.objects[head] = {"sha": head, "tree": {"sha": tree}, "parents": []}
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
    inputs = {"pull_request": str(made["number"])}
    assert [(s["workflow"], s["inputs"]) for s in fake.dispatched] == [
        ("validate.yml", inputs),
        ("ci.yml", {}),
    ]


def test_ci_runs_its_targets(main: Path, tmp_path: Path) -> None:
    """Which targets there are and in which order; running the tests inside of themselves would never end."""
    ran = run(
        copy_of(main, tmp_path), "ci.yml", "pull_request", opened(9),
        artifacts=tmp_path / "artifacts", env={"MAKEFLAGS": "-n"},
    )  # fmt: skip
    assert ran.ok, ran.output
    for tool in ("ruff format --check", "mypy", "pytest"):
        assert tool in ran.output


def run_soil(repo: Path, *arguments: str) -> int:
    import subprocess

    done = subprocess.run(
        [str(repo / ".venv" / "bin" / "soil"), *arguments], cwd=repo, check=False, capture_output=True
    )
    return done.returncode
