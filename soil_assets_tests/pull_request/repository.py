"""A lab's repository in use, and what GitHub does with its pull requests: merge commits, files, the two jobs.

The commands are the ones of the workflows, run as processes in clones; GitHub's API is the loopback's, filled from git.
Of GitHub it leaves out the runners, and the delivery of events.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from soil_assets.errors import BadInput
from soil_assets_tests.github_fake import FakeGitHub
from soil_assets_tests.pull_request.facts import commit, git

ROOT = Path(__file__).resolve().parents[2]
#: The repository's settings with fewer properties, bands and resamples, so that a chain takes seconds.
SOIL: dict[str, Any] = {
    "properties": ["clay", "ph"],
    "categories": ["instrument"],
    "axis": {"start": 3796, "stop": 552, "step": 24, "unit": "cm-1", "quantity": "absorbance"},
    "recipe": {"max_components": 6, "folds": 5},
    "policy": {"drift": {"permutations": 199}, "model": {"bootstrap": 200}},
}
#: Results of a job that no cache carries to another one.
_DERIVED = (
    ".soil",
    ".dvc/cache",
    ".dvc/tmp",
    "models",
    "report",
    "baseline",
    "dvc.lock",
    "batches/same-field",
)
NUMBER = 7


@dataclass
class Job:
    """What a job left: exit codes by step, the conclusion of its run, and its artifact."""

    folder: Path
    codes: dict[str, int] = field(default_factory=dict)
    output: str = ""

    @property
    def conclusion(self) -> str:
        return "failure" if any(self.codes.values()) else "success"

    @property
    def artifact(self) -> Path:
        return self.folder / "report"


@dataclass
class Repository:
    """Main as a bare repository would have it, with one clone of it in which its chain has run."""

    place: Path
    main: Path
    baselines: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def make(cls, place: Path) -> Repository:
        """Lay out main from this checkout, with quick settings and the batch ``damaged`` in git."""
        main = place / "main"
        listed = git(ROOT, "ls-files", "-z").split("\0")
        for name in listed:
            if name.startswith(("soil_assets_tests/", "docs/", "deploy/")) or not (ROOT / name).is_file():
                continue
            (main / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, main / name)
        (main / "soil.yaml").write_text(yaml.safe_dump(SOIL, sort_keys=False), encoding="utf-8")
        git(main, "init", "-q", "-b", "main")
        commit(main, "the platform")
        soil(main, "fetch", "damaged")
        commit(main, "main: the batch damaged")
        return cls(place, main)

    def branch(self, name: str, start: str = "main") -> Path:
        """Clone of main in which a change is written."""
        folder = self.place / name
        git(self.place, "clone", "-q", str(self.main), str(folder))
        git(folder, "checkout", "-q", "-b", name, start)
        return folder

    def merged(self, change: Path, onto: str = "main") -> str:
        """Check out what GitHub builds: the change merged into main; return the change's own head."""
        head = git(change, "rev-parse", "HEAD")
        git(change, "checkout", "-q", "--detach", f"origin/{onto}" if onto == "main" else onto)
        git(change, "merge", "-q", "--no-ff", "-m", "merge", head)
        return head

    def baseline(self, base: str) -> Path:
        """What ``soil baseline`` writes for a commit of main; made once a commit."""
        if base not in self.baselines:
            folder = self.place / f"baseline-{base[:8]}"
            done = soil(self.main, "baseline", "--against", base, "--out", str(folder))
            assert done.returncode == 0, done.stderr
            self.baselines[base] = folder
        return self.baselines[base]

    def validate(
        self, change: Path, against: str = "HEAD^1", warm: Path | None = None, *, chain: bool = True
    ) -> Job:
        """Run the commands of the validating job; ``warm`` is a job whose results may be reused, as on a laptop."""
        job = Job(change)
        base = git(change, "rev-parse", "HEAD^1")
        if not job_step(job, "change", "change", "--against", against, "--pull-request", str(NUMBER)):
            return job
        if "kind=documentation" in job.output:
            return job
        if not job_step(job, "pull", "batch", "pull"):
            return job
        shutil.copytree(self.baseline(base), change / "baseline")
        for name in _DERIVED if warm else ():
            source = warm / name if warm else Path()
            if source.is_dir() and name not in ("baseline", "report"):
                shutil.copytree(source, change / name, symlinks=True, dirs_exist_ok=True)
            elif source.is_file():
                shutil.copy2(source, change / name)
        if chain:
            done = run([sys.executable, "-m", "dvc", "repro", "evaluate"], change)
            job.codes["repro"] = done.returncode
            job.output += done.stdout + done.stderr
        job_step(job, "report", "--repository", "report", "--pull-request", str(NUMBER))
        return job

    def github(self, fake: FakeGitHub, change: Path, head: str, base: str) -> None:
        """Tell the loopback of GitHub's API what git knows about a pull request."""
        fake.pull(NUMBER, head)
        fork = git(change, "merge-base", base, head)
        newest = git(self.main, "rev-parse", "main")
        fake.files[NUMBER] = changed_files(change, fork, head)
        fake.pulls[NUMBER]["changed_files"] = len(fake.files[NUMBER])
        fake.comparisons[("main", head)] = {
            "merge_base_commit": {"sha": git(change, "merge-base", newest, head)}
        }
        for ref in (fork, head):
            shown = subprocess.run(["git", "show", f"{ref}:soil.yaml"], cwd=change, capture_output=True)
            if shown.returncode == 0:
                fake.contents[(ref, "soil.yaml")] = shown.stdout

    def decide(self, fake: FakeGitHub, job: Job, head: str, conclusion: str = "") -> dict[str, Any]:
        """Run the deciding job on a clone of main; return verdict, state, description and comment."""
        base = git(job.folder, "rev-parse", "HEAD^1")
        event = job.folder.parent / f"{job.folder.name}-event.json"
        workflow_run = {
            "event": "pull_request",
            "head_sha": head,
            "run_number": 1,
            "run_attempt": 1,
            "created_at": "2026-01-01T00:00:00Z",
            "conclusion": conclusion or job.conclusion,
            "head_branch": "topic",
            "head_repository": {"full_name": fake.repository},
        }
        event.write_text(json.dumps({"workflow_run": workflow_run}), encoding="utf-8")
        arguments = ["comment", "--artifact", str(job.artifact), "--plots", "none", "--json"]
        if base in self.baselines:
            arguments += ["--baseline", str(self.baselines[base])]
        done = soil(
            self.main,
            *arguments,
            GITHUB_EVENT_PATH=str(event),
            GITHUB_API_URL=fake.url,
            GITHUB_TOKEN=fake.token,
            GITHUB_REPOSITORY=fake.repository,
        )
        statuses = [s for s in fake.statuses if s["sha"] == head and s["context"] == "soil / decision"]
        assert len(statuses) == 1, (statuses, done.stderr[-2000:])
        outcome = json.loads(done.stdout) if done.stdout.strip() else {}
        bodies = [c["body"] for c in fake.ours(NUMBER)]
        return {
            "verdict": outcome.get("verdict", "none"),
            "state": statuses[0]["state"],
            "description": statuses[0]["description"],
            "body": bodies[-1] if bodies else "",
            "stderr": done.stderr,
        }


def job_step(job: Job, name: str, *arguments: str) -> bool:
    """Run one ``soil`` command of a job; return whether it ended well."""
    done = soil(job.folder, *arguments)
    job.codes[name] = done.returncode
    job.output += done.stdout + done.stderr
    return done.returncode == 0


def changed_files(repository: Path, older: str, newer: str) -> list[dict[str, Any]]:
    """Files between two commits, in GitHub's form."""
    words = {"A": "added", "M": "modified", "D": "removed", "R": "renamed", "T": "modified"}
    listed = git(repository, "diff", "--name-status", "-M", "-z", older, newer).split("\0")
    files, parts = [], iter(part for part in listed if part)
    for letter in parts:
        if letter[0] == "R":
            previous, name = next(parts), next(parts)
            files.append({"filename": name, "previous_filename": previous, "status": "renamed"})
        else:
            files.append({"filename": next(parts), "status": words[letter[0]]})
    return files


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def soil(folder: Path, *arguments: str, **env: str) -> Done:
    """Run a ``soil`` command in a folder, in this process: starting one costs more than most commands do.

    The code is this checkout's, as it is in every clone; environment and folder are as in a process of its own.
    """
    from soil_assets.cli import app
    from soil_assets.cli.console import GateFailed

    environment, own, place = dict(os.environ), _environment(folder) | env, Path.cwd()
    out, errors, code = io.StringIO(), io.StringIO(), 0
    os.environ.clear()
    os.environ.update(own)
    os.chdir(folder)
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(errors),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            app(list(arguments), standalone_mode=False)
    except (BadInput, GateFailed) as error:
        code = 2 if isinstance(error, BadInput) else 1
        errors.write(f"{error}\n")
    finally:
        os.chdir(place)
        os.environ.clear()
        os.environ.update(environment)
    return Done(code, out.getvalue(), errors.getvalue())


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command by the code of a folder, as a job does."""
    return subprocess.run(
        command, cwd=folder, env=_environment(folder), capture_output=True, text=True, check=False
    )


def _environment(folder: Path) -> dict[str, str]:
    """Environment of a job: no settings of this process but the path."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SOIL_", "DAGSTER_", "GITHUB_"))}
    own = {
        "PYTHONPATH": str(folder),
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{clean.get('PATH', '')}",
        "OMP_NUM_THREADS": "1",
    }
    return clean | own
