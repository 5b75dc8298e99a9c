"""How long a pull request waits for its comment: checkout, full gate, comment; and a change of documentation only.

The commands are read from the workflows themselves and run in a clone of this checkout, one after the other, as the
jobs do, against a loopback of GitHub's API; only ``make setup`` is left out (the environment is cached). Main is laid
out beforehand as in a repository in use: its chain was run, its lock is committed, its caches are restored.
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
_CACHES = (".dvc/cache", ".soil")


def run() -> list[Figure]:
    """Measure both kinds of change ``_RUNS`` times, and once a fork whose job finds nothing of main but its commit."""
    fake = _fake()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        main = _clone(_ROOT, place / "main", caches=False)
        _job(main, _commands("validate.yml")[:-1], _environment("nothing", ""))
        _commit(main, "main, as its chain leaves it")
        # What register.yml does after a merge: main against itself, for the caches of its pull requests.
        _job(main, ["soil baseline --against HEAD", "dvc repro evaluate"], _environment("HEAD", ""))

        def adds_data(repo: Path) -> None:
            _run(["soil", "fetch", "damaged"], repo, _environment("", ""))

        def documents(repo: Path) -> None:
            (repo / "README.md").write_text("Reads better.\n", encoding="utf-8")

        full = [_once(fake, main, place / f"full-{i}", adds_data) for i in range(_RUNS)]
        docs = [_once(fake, main, place / f"docs-{i}", documents) for i in range(_RUNS)]
        cold = _once(fake, main, place / "cold", adds_data, caches=False)
    told = "checkout, commands of validate.yml and comment.yml, posted to a loopback of GitHub's API"
    return [
        Figure("comment_seconds", statistics.median(full), "s", _RUNS, None, f"a batch is added; {told}"),
        Figure(
            "docs_only_comment_seconds", statistics.median(docs), "s", _RUNS, None, f"README only; {told}"
        ),
        Figure(
            "comment_without_caches_seconds",
            cold,
            "s",
            1,
            None,
            "no cache: main's commit is trained again, too",
        ),
    ]


def _once(
    fake: Any, main: Path, folder: Path, change: Callable[[Path], None], *, caches: bool = True
) -> float:
    author = _clone(main, folder / "author", caches=False)
    change(author)
    sha = _commit(author, "the change")
    with fake.serving(fake.FakeGitHub()) as github:
        github.pull(_NUMBER, sha)
        begin = time.perf_counter()
        repo = _clone(author, folder / "job", caches=caches, source=main)
        env = _environment(github.url, github.token)
        _job(repo, _commands("validate.yml"), env | {"MAIN": "HEAD~1"})
        poster = _clone(main, folder / "poster", caches=False)
        shutil.copytree(repo / "report", poster / "artifact")
        event = folder / "event.json"
        event.write_text(
            json.dumps({"workflow_run": {"event": "pull_request", "head_sha": sha}}), encoding="utf-8"
        )
        _job(poster, _commands("comment.yml"), env | {"GITHUB_EVENT_PATH": str(event)})
        seconds = time.perf_counter() - begin
        if len(github.ours(_NUMBER)) != 1:
            raise BadInput("the bench's pull request got no comment", found=str(github.log[-5:]))
    shutil.rmtree(folder)
    return seconds


def _commands(workflow: str) -> list[str]:
    """Return what a job types, without setting up the environment, which is cached."""
    import yaml

    found = yaml.safe_load((_ROOT / ".github" / "workflows" / workflow).read_text(encoding="utf-8"))
    steps = [s for job in found["jobs"].values() for s in job["steps"] if "run" in s]
    return [s["run"] for s in steps if not s["run"].startswith(("make ", "echo "))]


def _job(repo: Path, commands: list[str], env: dict[str, str]) -> None:
    """Run a job's commands; a gate that says no lets the later ones run, as in the workflow."""
    for command in commands:
        done = _run(["bash", "-ec", command.replace(".venv/bin/soil", "soil")], repo, env)
        if done.returncode not in (0, 1, 255):
            raise BadInput("a job of the bench failed", found=f"{command}: {done.stderr[-500:]}")


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
        "MAIN": api or "HEAD",
        "DVC_NO_ANALYTICS": "1",
    }


def _clone(source_repo: Path, target: Path, *, caches: bool, source: Path | None = None) -> Path:
    if not (source_repo / ".git").exists():
        raise BadInput("this bench needs a checkout", file=str(source_repo), expected="a git repository")
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(source_repo), str(target)], check=True)
    for name in _CACHES if caches else ():
        if ((source or source_repo) / name).exists():
            shutil.copytree((source or source_repo) / name, target / name, symlinks=True, dirs_exist_ok=True)
    return target


def _commit(repo: Path, message: str) -> str:
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    subprocess.run(["git", "add", "-A"], cwd=repo, check=True)
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", message], cwd=repo, check=True)
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repo, check=True, capture_output=True, text=True)
    return found.stdout.strip()


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
