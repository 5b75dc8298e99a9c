"""Changes of every kind through the real chain and the real decision: each ends in its right verdict and status."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from soil_assets.modeling.artifact import load
from soil_assets_tests.github_fake import FakeGitHub, serving
from soil_assets_tests.pull_request.facts import commit, git
from soil_assets_tests.pull_request.repository import NUMBER, SOIL, Job, Repository, soil

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

Write = Callable[[Path], None]
#: Set by ``soil bench judge``.
FULL = os.environ.get("UNSCRIPTED_CHANGES") == "all"


def settings(**changes: Any) -> Write:
    """A change of soil.yaml, key by key."""

    def write(folder: Path) -> None:
        raw = json.loads(json.dumps(SOIL))
        for key, value in changes.items():
            raw[key] = {**raw[key], **value} if isinstance(value, dict) and key in raw else value
        (folder / "soil.yaml").write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")

    return write


def batch(name: str) -> Write:
    """A change that adds an embedded batch to git."""
    return lambda folder: _ok(soil(folder, "fetch", name))


def removed(path: str) -> Write:
    """A change that removes files."""
    return lambda folder: _ok_git(folder, "rm", "-rq", path)


def replaced(path: str, old: str, new: str) -> Write:
    """A change of one file's text."""

    def write(folder: Path) -> None:
        text = (folder / path).read_text(encoding="utf-8")
        assert old in text
        (folder / path).write_text(text.replace(old, new), encoding="utf-8")

    return write


def written(file: Path, text: str) -> None:
    """Write a file."""
    file.write_text(text, encoding="utf-8")


def together(*writes: Write) -> Write:
    """Several changes at once."""

    def write(folder: Path) -> None:
        for each in writes:
            each(folder)

    return write


def accepted(folder: Path) -> None:
    """A drifting batch with a person's acceptance beside it."""
    batch("other-field")(folder)
    shutil.copytree(folder.parent / "baseline-now", folder / "baseline", dirs_exist_ok=True)
    _ok(
        soil(
            folder,
            *["--repository", "run", "raw_spectra,validated_batches,drift_reports", "--each", "--go-on"],
        )
    )
    accept = "--repository batch accept other-field --who lead --why wanted"
    _ok(soil(folder, *accept.split()))
    for name in (".soil", "baseline"):
        shutil.rmtree(folder / name)


def pointer(folder: Path) -> None:
    """A batch of which only the DVC pointer was committed."""
    text = "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e.dir\n  nfiles: 2\n  hash: md5\n  path: june\n"
    (folder / "batches" / "june.dvc").write_text(text, encoding="utf-8")


def claiming(base: Callable[[Path], str]) -> Write:
    """An artifact that says it was compared with another commit."""

    def write(artifact: Path) -> None:
        claim = {"number": NUMBER, "base": base(artifact.parent)}
        (artifact / "pull_request.json").write_text(json.dumps(claim), encoding="utf-8")

    return write


def another_line(folder: Path) -> str:
    """A commit that main does not have."""
    tree = git(folder, "rev-parse", "HEAD^{tree}")
    return git(folder, "commit-tree", "-m", "elsewhere", tree)


def poisoned(artifact: Path) -> None:
    """Results of a stage that the change's own cache brought: better figures than its model has."""
    report = json.loads((artifact / "report.json").read_text(encoding="utf-8"))
    for result in report["inputs"]["properties"]:
        for row in result["candidate"]["predictions"]:
            row["value"] = row["observed"]
        result["candidate"]["metrics"]["rmse"] = 0.0
    (artifact / "report.json").write_text(json.dumps(report), encoding="utf-8")


def long_quarantine(artifact: Path) -> None:
    """A batch of which 80,000 scans are in quarantine."""
    report = json.loads((artifact / "report.json").read_text(encoding="utf-8"))
    [damaged] = [b for b in report["inputs"]["batches"] if b["name"] == "damaged"]
    rows = [{"sample_id": f"s{i}", "rules": "spike", "found": "9"} for i in range(100)]
    damaged |= {"landed": 80_007, "quarantined": 80_000, "quarantine": rows, "quarantine_omitted": 79_900}
    (artifact / "report.json").write_text(json.dumps(report), encoding="utf-8")


@dataclass(frozen=True)
class Row:
    """One change: what it writes, the verdicts that are right for it, and what its comment must say.

    ``chain``: whether ``dvc repro`` has something to make anew that main's own results do not hold. Where it has not,
    the test run reports on main's results, which takes seconds; ``soil bench judge`` runs the chain for every row.
    ``artifact``: what is done to the artifact before it is decided on. ``conclusion``: how the run ended, where not as
    its steps say. ``everywhere``: whether the row is part of ``make test``; all rows run when this file is run by name.
    """

    write: Write
    verdicts: tuple[str, ...]
    state: str
    says: tuple[str, ...] = ()
    chain: bool = True
    everywhere: bool = True
    artifact: Write | None = None
    conclusion: str = ""


def of_the_run(
    artifact: Write, verdict: str, state: str, *says: str, conclusion: str = "", write: Write | None = None
) -> Row:
    """A change of no effect whose run, or artifact, is not what it should be."""
    nothing = replaced("Makefile", "help:", "# A comment.\nhelp:")
    return Row(
        write or nothing,
        (verdict,),
        state,
        says,
        chain=write is not None,
        everywhere=False,
        artifact=artifact,
        conclusion=conclusion,
    )


CHANGES: dict[str, Row] = {
    "learner changed": Row(
        settings(recipe={"learner": "svr"}), ("approve", "cannot tell", "reject"), "by verdict", ()
    ),
    "pre-treatment changed": Row(
        settings(recipe={"pretreatments": ["snv"]}),
        ("approve", "cannot tell", "reject"),
        "by verdict",
        (),
        everywhere=False,
    ),
    "property added": Row(
        settings(properties=["clay", "ph", "soc"]),
        ("approve", "request changes"),
        "by verdict",
        ("first version",),
        everywhere=False,
    ),
    "property dropped": Row(
        settings(properties=["clay"]),
        ("cannot tell",),
        "failure",
        ("property ph is removed",),
        chain=False,
        everywhere=False,
    ),
    "property renamed": Row(
        settings(
            properties=["clay", "acidity"], catalogue={"acidity": {"label": "Acidity", "unit": "index"}}
        ),
        ("request changes",),
        "failure",
        ("acidity: no candidate model was trained", "property ph is removed"),
        everywhere=False,
    ),
    "benchmark deleted": Row(
        removed("soil_assets/benchmarks/frozen/nrw115-benchmark.yaml"),
        ("cannot tell",),
        "failure",
        ("definition of the benchmark nrw115-benchmark is removed",),
        chain=False,
        everywhere=False,
    ),
    "benchmark replaced": Row(
        settings(benchmark="nrw115-reference"),
        ("cannot tell",),
        "failure",
        ("is replaced by nrw115-reference",),
        chain=False,
        everywhere=False,
    ),
    "batch that drifts": Row(
        batch("other-field"), ("request changes",), "failure", ("other-field", "is held"), everywhere=False
    ),
    "batch that is refused": Row(
        batch("short-range"), ("request changes",), "failure", ("short-range", "is held"), everywhere=False
    ),
    "batch altered": Row(
        replaced("batches/damaged/lab.csv", "140", "14"),
        ("approve", "cannot tell"),
        "by verdict",
        ("damaged",),
        everywhere=False,
    ),
    "batch removed": Row(
        removed("batches/damaged"), ("approve", "cannot tell"), "by verdict", ("damaged",), everywhere=False
    ),
    "batch reverted": Row(
        lambda folder: _ok_git(folder, "revert", "--no-commit", "HEAD"),
        ("approve", "cannot tell"),
        "by verdict",
        ("damaged",),
        everywhere=False,
    ),
    "wrong base": of_the_run(claiming(another_line), "none", "error", "a commit that main does not have"),
    "stale base": of_the_run(
        claiming(lambda folder: git(folder, "rev-parse", "HEAD~2")),
        "none",
        "error",
        "older than its own start",
    ),
    "poisoned cache": of_the_run(
        poisoned,
        "reject",
        "failure",
        "differ from its model",
        write=settings(recipe={"max_components": 2}),
    ),
    "time-out": of_the_run(lambda _: None, "none", "error", "ran out of time", conclusion="timed_out"),
    "80,000 scans in quarantine": of_the_run(
        long_quarantine, "cannot tell", "failure", "the policy allows 50 %"
    ),
    "data not pushed": Row(pointer, ("none",), "error", ("data by pointer: june",)),
    "locks bumped": Row(
        replaced("requirements.txt", "numpy==", "numpy==0"),
        ("approve",),
        "success",
        ("requirements.txt",),
        chain=False,
        everywhere=False,
    ),
    "catalogue limit loosened": Row(
        settings(catalogue={"clay": {"label": "Clay", "unit": "%", "hard": [0, 1000], "warning": [0, 1000]}}),
        ("approve",),
        "success",
        ("catalogue", "Main's limits are used"),
        everywhere=False,
    ),
    "drift accepted by a file": Row(
        accepted,
        ("approve", "cannot tell", "reject"),
        "by verdict",
        ("other-field.accepted.json",),
        everywhere=False,
    ),
    "policy loosened with data": Row(
        together(settings(policy={**SOIL["policy"], "drift": {"when_drift": "warn"}}), batch("other-field")),
        ("request changes",),
        "failure",
        ("loosens its own judge",),
        everywhere=False,
    ),
    "no effect": Row(
        replaced("Makefile", "help:", "# A comment.\nhelp:"),
        ("approve",),
        "success",
        ("identical to main",),
        chain=False,
        everywhere=False,
    ),
    "derived files committed": Row(
        lambda folder: written(folder / "dvc.lock", "schema: '2.0'\n"), ("none",), "error"
    ),
    "documentation": Row(
        lambda folder: written(folder / "README.md", "Reads better.\n"),
        ("documentation only",),
        "success",
    ),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository.make(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def warm(repository: Repository) -> Path:
    """A clone in which main's own chain has run: what a laptop has, so that a row takes seconds."""
    shutil.copytree(
        repository.baseline(git(repository.main, "rev-parse", "HEAD")), repository.place / "baseline-now"
    )
    change = repository.branch("warm")
    commit(change, "nothing")
    repository.merged(change)
    repository.validate(change)
    return change


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    with serving(FakeGitHub()) as state:
        yield state


@pytest.mark.parametrize(
    "name", [n if row.everywhere else pytest.param(n, marks=pytest.mark.bench) for n, row in CHANGES.items()]
)
def test_a_change_has_its_right_verdict_and_status(
    repository: Repository, fake: FakeGitHub, name: str, request: pytest.FixtureRequest
) -> None:
    row = CHANGES[name]
    # A clone to start from pays where many rows share it; ``make test`` has one row with a chain.
    warm: Path | None = None if row.everywhere else request.getfixturevalue("warm")
    change = repository.branch(name.replace(" ", "-"))
    row.write(change)
    commit(change, name)
    head = repository.merged(change)
    base = git(change, "rev-parse", "HEAD^1")
    chain = row.chain or FULL
    job = repository.validate(change, warm=warm, chain=chain)
    repository.github(fake, change, head, base)
    if row.artifact is not None:
        row.artifact(job.artifact)
    decision = repository.decide(fake, job, head, row.conclusion)
    assert decision["verdict"] in row.verdicts, (decision, job.output[-3000:])
    passing = decision["verdict"] in ("approve", "first version", "documentation only")
    expected = row.state if row.state != "by verdict" else ("success" if passing else "failure")
    assert decision["state"] == expected, decision
    for text in row.says:
        assert text in decision["body"], decision["body"][:3000]
    if name in ("learner changed", "pre-treatment changed"):
        _is_trained_by_the_changes_recipe(repository, job, base, name)
    shutil.rmtree(change)


def _is_trained_by_the_changes_recipe(repository: Repository, job: Job, base: str, name: str) -> None:
    ours = load(job.artifact / "models" / "clay")
    main = load(repository.baseline(base) / "models" / "clay")
    if name == "learner changed":
        assert (main.training["chosen"]["learner"], ours.training["chosen"]["learner"]) == ("pls", "svr")
    else:
        assert [p["name"] for p in ours.recipe["pretreatments"]] == ["snv"]
        assert len(main.recipe["pretreatments"]) > 1


def _ok(done: Any, codes: tuple[int, ...] = (0,)) -> None:
    assert done.returncode in codes, done.stderr


def _ok_git(folder: Path, *arguments: str) -> None:
    git(folder, *arguments)
