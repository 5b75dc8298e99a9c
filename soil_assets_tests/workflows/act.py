"""Running this repository's workflows as they are, with act, on the host: no container, no network.

Third-party actions are replaced by stubs, each for one exact commit: an action that nobody stubbed fails the test.
What the jobs run is real: make, soil, dvc, git. GitHub's API is a fake on loopback.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soil_assets_tests.warm import warm_soil, write_script

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
BIN = Path(sys.executable).parent
ACT = str(BIN / "act") if (BIN / "act").exists() else shutil.which("act")
TOKEN = "token-of-a-job-in-a-test"

#: The repository's settings with fewer properties and resamples, so that a chain takes seconds.
QUICK = """
properties: [clay]
categories: [instrument]
reference: nrw115-reference
benchmark: nrw115-benchmark
axis: {start: 3796, stop: 552, step: 12, unit: cm-1, quantity: absorbance}
recipe: {max_components: 6, folds: 3}
policy:
  drift: {permutations: 199}
  model: {bootstrap: 200, when_cannot_tell: hold}
"""
_STUBS = {
    "actions/setup-python": "echo python",
    "actions/cache": "echo cache",
    "actions/cache/restore": "echo cache",
    "aws-actions/configure-aws-credentials": "echo AWS_ACCESS_KEY_ID=of-the-role >> $GITHUB_ENV",
    "iterative/setup-cml": "echo cml",
    "actions/upload-artifact": 'mkdir -p "$ARTIFACTS" && rm -rf "$ARTIFACTS/$INPUT_NAME" && '
    'cp -r "$INPUT_PATH" "$ARTIFACTS/$INPUT_NAME" && mkdir -p "$ARTIFACTS/state" && '
    "for f in .dvc .soil batches models dvc.lock metrics.json; do "
    'if [ -e "$f" ]; then cp -a "$f" "$ARTIFACTS/state/"; fi; done',
    "actions/download-artifact": 'cp -r "$ARTIFACTS/$INPUT_NAME" "$INPUT_PATH"',
}
_STUB = """
name: stub
inputs: {{name: {{}}, path: {{}}, python-version: {{}}, key: {{}}, restore-keys: {{}}, run-id: {{}}, github-token: {{}},
  if-no-files-found: {{}}, role-to-assume: {{}}, aws-region: {{}}, role-session-name: {{}}, version: {{}}, vega: {{}}}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {{INPUT_NAME: "${{{{ inputs.name }}}}", INPUT_PATH: "${{{{ inputs.path }}}}"}}
      run: {command}
"""


def uses() -> set[str]:
    """Return every action that a workflow uses, with its commit."""
    found: set[str] = set()
    for file in WORKFLOWS.glob("*.y*ml"):
        found |= set(re.findall(r"\buses:\s*([\w./-]+@[0-9a-f]{40})", file.read_text(encoding="utf-8")))
    return found


@dataclass
class Ran:
    """One run of a workflow: results by job, what was printed, and the artifacts it left."""

    jobs: dict[str, str]
    output: str
    artifacts: Path
    steps: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.jobs) and set(self.jobs.values()) == {"success"}


def checkout(folder: Path) -> Path:
    """Lay out the tracked and new files of this work tree as a repository of its own, with quick settings."""
    repo = folder / "repo"
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if name.startswith(("soil_assets_tests/", "docs/images", "dvc.lock", "metrics.json")):
            continue
        source = ROOT / name
        if source.is_file():
            (repo / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, repo / name)
    (repo / "soil.yaml").write_text(QUICK, encoding="utf-8")
    for file in (repo / ".github" / "workflows").iterdir():
        # act lays the checkout itself, and only where no ref is named; which ref it is, test_static.py looks at.
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(r"^ +ref: .*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    git(repo, "init", "-q", "-b", "main")
    # The link to the environment is no folder, as .gitignore has it: no commit of a test may hold it.
    (repo / ".git" / "info" / "exclude").write_text(".venv\n", encoding="utf-8")
    commit(repo, "main")
    # Outside of the checkout, so that act's copy of it keeps the stamps newer than everything.
    environment = folder / "environment"
    (environment / "bin").mkdir(parents=True)
    text, _ = warm_soil(repo)
    warm = write_script(environment / "bin" / "warm-soil", text)
    for name, command in (
        ("soil", f'PYTHONPATH="$PWD" exec "{warm}" "$@"'),
        ("dvc", f'exec "{sys.executable}" -m dvc "$@"'),
        ("uv", "echo this environment is not to be installed into >&2; exit 1"),
    ):
        script = environment / "bin" / name
        script.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
        script.chmod(0o755)
    later = time.time() + 86_400
    for stamp in ("dev.stamp", "run-time.stamp", "sbom.stamp"):
        (environment / stamp).touch()
        os.utime(environment / stamp, (later, later))
    (repo / ".venv").symlink_to(environment)
    return repo


def copy_of(repo: Path, folder: Path) -> Path:
    """Return another checkout of the same state, with its own caches."""
    other = folder / "repo"
    shutil.copytree(repo, other, symlinks=True)
    return other


def run(
    repo: Path,
    workflow: str,
    event: str,
    payload: dict[str, Any],
    *,
    artifacts: Path,
    env: dict[str, str] | None = None,
    variables: dict[str, str] | None = None,
    secrets: dict[str, str] | None = None,
    actor: str = "",
) -> Ran:
    """Run a workflow on an event in a checkout."""
    assert ACT is not None
    work = repo.parent
    (work / "event.json").write_text(json.dumps(payload), encoding="utf-8")
    command = [
        ACT, event, "--workflows", f".github/workflows/{workflow}", "--eventpath", str(work / "event.json"),
        "--platform", "ubuntu-24.04=-self-hosted", "--use-gitignore=false", "--json", "--action-offline-mode",
        "--no-cache-server", "--action-cache-path", str(work / "act"), "--secret", f"GITHUB_TOKEN={TOKEN}",
    ]  # fmt: skip
    for used in sorted(uses()):
        name, _, sha = used.partition("@")
        if name == "actions/checkout":  # act lays the checkout itself
            continue
        owner, project, *inside = name.split("/")
        place = work / "stubs" / f"{owner}-{project}"
        folder = place.joinpath(*inside)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "action.yml").write_text(_STUB.format(command=json.dumps(_STUBS[name])), encoding="utf-8")
        command += ["--local-repository", f"{owner}/{project}@{sha}={place}"]
    surroundings = {
        "ARTIFACTS": str(artifacts),
        "GITHUB_REPOSITORY": "lab/soil",
        "DVC_SITE_CACHE_DIR": str(work / "dvc-site"),
        "OMP_NUM_THREADS": "1",
        **(env or {}),
    }
    for name, value in surroundings.items():
        command += ["--env", f"{name}={value}"]
    for name, value in (variables or {}).items():
        command += ["--var", f"{name}={value}"]
    for name, value in (secrets or {}).items():
        command += ["--secret", f"{name}={value}"]
    if actor:
        command += ["--actor", actor]
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("SOIL_", "DAGSTER_", "GITHUB_"))}
    done = subprocess.run(
        command,
        cwd=repo,
        env={**ours, "HOME": str(work)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return _read(done.stdout, done.stderr, artifacts)


def _read(stdout: str, stderr: str, artifacts: Path) -> Ran:
    jobs: dict[str, str] = {}
    printed, steps = [], []
    for line in stdout.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            printed.append(line)
            continue
        printed.append(str(told.get("msg", "")).rstrip())
        if told.get("jobResult"):
            jobs[str(told.get("jobID") or told["job"])] = str(told["jobResult"])
        if told.get("stepResult") and told.get("stage") == "Main":
            steps.append((str(told.get("step")), str(told["stepResult"])))
    return Ran(jobs, "\n".join([*printed, stderr]), artifacts, steps)


def commit(repo: Path, message: str) -> str:
    """Commit everything; return the commit."""
    git(repo, "add", "-A")
    git(
        repo,
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        message,
    )
    return git(repo, "rev-parse", "HEAD").strip()


def git(where: Path, *arguments: str) -> str:
    """Run git."""
    done = subprocess.run(["git", *arguments], cwd=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
