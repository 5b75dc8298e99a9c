"""The repository itself: workflows that hold, pins that carry no address, a README that tells the truth."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def tracked() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name]


@pytest.mark.parametrize(
    ("lock", "least"),
    [
        ("requirements.txt", 100),
        ("requirements-dev.txt", 100),
        ("requirements-cloud.txt", 100),
        ("deploy/docker/requirements.txt", 100),
        (".ci/requirements-sbom.txt", 20),
        (".github/requirements-dagster-cloud.txt", 20),
    ],
)
def test_locks_are_hashed_and_name_no_index(lock: str, least: int) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    pins = re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE | re.IGNORECASE)
    assert len(pins) > least
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text
    assert "index-url" not in text.replace("--no-emit-index-url", "")


def test_every_run_time_pin_is_in_the_development_lock() -> None:
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))

    assert pins("requirements.txt") <= pins("requirements-dev.txt")


def test_ci_runs_what_a_person_runs() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test", "ui", "check", "setup"} <= targets
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    commands = [s["run"] for s in workflow["jobs"]["test"]["steps"] if "run" in s]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    made = {w for line in script.splitlines() if line.startswith("make ") for w in line.split()[1:]}
    for command in commands:
        for target in command.removeprefix("make ").split():
            assert target in targets
            assert target in made


def test_the_readme_names_commands_and_files_that_exist() -> None:
    from typer.testing import CliRunner

    from soil_assets.cli import app

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target
    for room in re.findall(r"^\| `(soil_assets\S*)` \|", text, re.MULTILINE):
        assert (ROOT / room).is_dir(), room
    for command in set(re.findall(r"(?:^|`)soil ([a-z]+)", text, re.MULTILINE)):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), (
            target
        )


def test_no_tracked_file_holds_a_machines_path_or_is_large() -> None:
    # Put together here, so that this file does not hold what it looks for.
    machine = re.compile("|".join(("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/[a-z]")))
    for file in tracked():
        if not file.is_file():
            continue
        assert file.stat().st_size < 1_000_000, file
        if file.suffix not in (".png", ".parquet", ".xlsx", ".zip", ".gz"):
            found = machine.search(file.read_text(encoding="utf-8", errors="replace"))
            assert found is None, f"{file}: {found and found.group()}"


def test_nothing_but_what_is_expected_lies_at_the_top() -> None:
    required = (
        "soil_assets soil_assets_tests workspace.yaml dagster.yaml deploy .github pyproject.toml README.md"
    )
    expected = (
        "Makefile soil.yaml docs mkdocs.yml LICENSE .ci .pre-commit-config.yaml "
        "requirements.txt requirements-dev.txt requirements-cloud.txt"
    )
    by_tools = "dagster_cloud.yaml .gitignore .gitattributes .dvc .dvcignore dvc.yaml batches CODEOWNERS"
    allowed = {*required.split(), *expected.split(), *by_tools.split()}
    assert {f.relative_to(ROOT).parts[0] for f in tracked()} <= allowed
