"""The workflow that a student writes in the first lab: it is the one on the page, it is linted, and it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from soil_assets_tests.docs.pages import BIN, DOCS, blocks
from soil_assets_tests.workflows.act import ACT, ROOT, Ran, checkout, commit, run

PAGE = "labs/1-ci.md"
FILE = ".github/workflows/policy.yml"
OPENED = {
    "action": "opened",
    "number": 1,
    "pull_request": {"number": 1, "base": {"ref": "main"}, "head": {"ref": "lab-1"}},
    "repository": {"default_branch": "main", "full_name": "lab/soil"},
}


def write_workflow(repo: Path) -> str:
    """Type the commands of the lab that write the file; return what stands in it then."""
    commands = [command for block in blocks(PAGE) for command in block.commands]
    first, last = (
        [i for i, command in enumerate(commands) if command.startswith(f"cat >{more} {FILE}")][which]
        for more, which in (("", 0), (">", -1))
    )
    subprocess.run(["bash", "-ec", "\n".join(commands[first : last + 1])], cwd=repo, check=True)
    return (repo / FILE).read_text(encoding="utf-8")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    shutil.copy(ROOT / ".github" / "workflows" / "ci.yml", tmp_path / ".github" / "workflows")
    return tmp_path


def test_what_the_student_wrote_is_what_the_page_shows(repo: Path) -> None:
    [shown] = re.findall(
        r"^```yaml\n(.*?)^```$", (DOCS / PAGE).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    written = write_workflow(repo)
    assert re.sub(r"@[0-9a-f]{40}\n", "@COMMIT\n", written) == shown
    assert len(re.findall(r"uses: actions/[a-z-]+@[0-9a-f]{40}\n", written)) == 2


def test_it_has_the_manners_of_our_own(repo: Path) -> None:
    workflow = yaml.safe_load(write_workflow(repo))
    assert workflow["permissions"] == {"contents": "read"}
    [job] = workflow["jobs"].values()
    assert job["timeout-minutes"] <= 60
    linter = BIN / "jactionlint"
    if not linter.exists():
        pytest.skip("jactionlint is not installed")
    done = subprocess.run([str(linter), str(repo / FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(ACT is None, reason="act is not installed")
@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_it_passes_and_objects_to_a_policy_that_its_page_does_not_say(tmp_path: Path) -> None:
    repo = checkout(tmp_path)
    shutil.copy(ROOT / "soil.yaml", repo)
    for name in ("__init__.py", "conftest.py", "reporting"):
        source, target = ROOT / "soil_assets_tests" / name, repo / "soil_assets_tests" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    tests = Path(os.readlink(repo / ".venv")) / "bin" / "pytest"
    tests.write_text(f'#!/bin/sh\nPYTHONPATH="$PWD" exec "{BIN}/python" -m pytest "$@"\n', encoding="utf-8")
    tests.chmod(0o755)
    write_workflow(repo)
    commit(repo, "a workflow")
    passed = run_it(repo, tmp_path)
    assert passed.ok, passed.output
    assert {name: result for name, result in passed.steps if "page says" in name or "table" in name} == {
        "the page says what the policy says": "success",
        "the table that this change asks for": "success",
    }
    settings = (repo / "soil.yaml").read_text(encoding="utf-8")
    assert "margin: 0.10 " in settings
    (repo / "soil.yaml").write_text(settings.replace("margin: 0.10 ", "margin: 0.50 "), encoding="utf-8")
    commit(repo, "a looser margin")
    objected = run_it(repo, tmp_path)
    assert objected.jobs == {"page": "failure"}, objected.output
    assert ("the page says what the policy says", "failure") in objected.steps
    assert ("the table that this change asks for", "success") in objected.steps


def run_it(repo: Path, folder: Path) -> Ran:
    return run(repo, "policy.yml", "pull_request", OPENED, artifacts=folder / "artifacts")
