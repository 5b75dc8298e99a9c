"""How long a pull request waits for its comment: checkout, full gate, comment; and a change of documentation only.

The commands are read from the workflows themselves and run in clones of this checkout, one after the other, as the two
jobs do, against a loopback of GitHub's API; only ``make setup`` is left out (the environment is cached). No result is
carried from one job to another: main's commit is trained again in both.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from soil_assets.benchmarks.harness import Figure
from soil_assets.errors import BadInput

_ROOT = Path(__file__).resolve().parents[2]
_RUNS = 3
_NUMBER = 7


def run() -> list[Figure]:
    """Measure both kinds of change ``_RUNS`` times, and what training main's commit again costs of it."""
    fake = _fake()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        main = _clone(_ROOT, place / "main")
        _commit(main, "main")

        def adds_data(repo: Path) -> None:
            _run(["soil", "fetch", "damaged"], repo, _environment("", ""))

        def documents(repo: Path) -> None:
            (repo / "README.md").write_text("Reads better.\n", encoding="utf-8")

        full = [_once(fake, main, place / f"full-{i}", adds_data) for i in range(_RUNS)]
        docs = [_once(fake, main, place / f"docs-{i}", documents) for i in range(_RUNS)]
    commands = "checkout, commands of validation.yml and comment.yml, posted to a loopback of GitHub's API"
    return [
        Figure(
            "comment_seconds",
            statistics.median(seconds for seconds, _ in full),
            "s",
            _RUNS,
            None,
            f"a batch is added, nothing is cached; {commands}",
        ),
        Figure(
            "docs_only_comment_seconds",
            statistics.median(seconds for seconds, _ in docs),
            "s",
            _RUNS,
            None,
            f"README only; {commands}",
        ),
        Figure(
            "retraining_main_seconds",
            statistics.median(baseline for _, baseline in full),
            "s",
            _RUNS,
            None,
            "soil baseline in the validating job; the deciding job does the same once more",
        ),
    ]


def _once(fake: Any, main: Path, folder: Path, change: Callable[[Path], None]) -> tuple[float, float]:
    """Return the seconds of one pull request, and those of its ``soil baseline``."""
    author = _clone(main, folder / "author")
    change(author)
    sha = _commit(author, "the change")
    base = _output(author, "rev-parse", "HEAD~1")
    with fake.serving(fake.FakeGitHub()) as github:
        github.pull(_NUMBER, sha)
        listed = _output(author, "diff", "--name-only", base, sha).splitlines()
        github.files[_NUMBER] = [{"filename": name, "status": "modified"} for name in listed]
        github.comparisons[("main", sha)] = {"merge_base_commit": {"sha": base}}
        env = _environment(github.url, github.token) | {"BASE": "HEAD~1"}
        begin = time.perf_counter()
        repo = _clone(author, folder / "job")
        baseline = _validate(repo, env)
        poster = _clone(main, folder / "poster")
        shutil.copytree(repo / "report", poster / "artifact")
        event = folder / "event.json"
        event.write_text(json.dumps({"workflow_run": _workflow_run(sha)}), encoding="utf-8")
        _job(poster, _commands("comment.yml"), env | {"GITHUB_EVENT_PATH": str(event)})
        seconds = time.perf_counter() - begin
        if len(github.ours(_NUMBER)) != 1:
            raise BadInput("the bench's pull request got no comment", found=str(github.log[-5:]))
    shutil.rmtree(folder)
    return seconds, baseline


def _workflow_run(sha: str) -> dict[str, str]:
    return {"event": "pull_request", "head_sha": sha, "conclusion": "success"}


def _validate(repo: Path, env: dict[str, str]) -> float:
    """Run the validating job: the chain only where ``soil change`` asks for it; return the baseline's seconds."""
    baseline = 0.0
    for command in _commands("validation.yml"):
        begin = time.perf_counter()
        output = _job(repo, [command], env)
        if command.startswith("soil baseline"):
            baseline = time.perf_counter() - begin
        if command.startswith("soil change") and "kind=documentation" in output:
            break
    return baseline


def _commands(workflow: str) -> list[str]:
    """Return the ``soil`` and ``dvc`` commands that a job types."""
    import yaml

    parsed = yaml.safe_load((_ROOT / ".github" / "workflows" / workflow).read_text(encoding="utf-8"))
    steps = [s["run"] for job in parsed["jobs"].values() for s in job["steps"] if "run" in s]
    return [c for c in steps if c.startswith(("soil ", "dvc ", ".venv/bin/soil "))]


def _job(repo: Path, commands: list[str], env: dict[str, str]) -> str:
    """Run a job's commands and return what they print; a gate that says no lets the later ones run."""
    printed = []
    for command in commands:
        done = _run(["bash", "-ec", command.replace(".venv/bin/soil", "soil")], repo, env)
        if done.returncode not in (0, 1, 255):
            raise BadInput("a job of the bench failed", found=f"{command}: {done.stderr[-500:]}")
        printed.append(done.stdout)
    return "".join(printed)


def _environment(api: str, token: str) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("SOIL_", "DAGSTER_", "GITHUB_"))}
    return ours | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{ours.get('PATH', '')}",
        "PYTHONPATH": ".",
        "GITHUB_API_URL": api,
        "GITHUB_TOKEN": token,
        "GITHUB_REPOSITORY": "lab/soil",
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_STEP_SUMMARY": os.devnull,
        "NUMBER": str(_NUMBER),
        "DVC_NO_ANALYTICS": "1",
    }


def _clone(source: Path, target: Path) -> Path:
    if not (source / ".git").exists():
        raise BadInput("this bench needs a checkout", file=str(source), expected="a git repository")
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(source), str(target)], check=True)
    return target


def _commit(repo: Path, message: str) -> str:
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    subprocess.run(["git", "add", "-A"], cwd=repo, check=True)
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", message], cwd=repo, check=True)
    return _output(repo, "rev-parse", "HEAD")


def _output(repo: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=repo, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _run(command: list[str], where: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=False)


def _fake() -> ModuleType:
    """Return the loopback of GitHub's API that the tests use; it is no part of what is installed."""
    file = _ROOT / "soil_assets_tests" / "github_fake.py"
    if not file.exists():
        raise BadInput("this bench needs a checkout", file=str(file), expected="the tests beside the package")
    spec = importlib.util.spec_from_file_location("github_fake", file)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018  # a file that exists
    module = importlib.util.module_from_spec(spec)
    sys.modules["github_fake"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
