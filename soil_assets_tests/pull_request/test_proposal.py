"""New batches of an inbox, and the batches of a checkout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from soil_assets.adapters.dvc import directory_hash
from soil_assets.adapters.github import GitHub
from soil_assets.cli.app import app
from soil_assets.cli.pipeline import fetch
from soil_assets.demo.batches import REPOSITORY_BATCHES
from soil_assets.errors import BadInput
from soil_assets.pull_request import proposal
from soil_assets.storage import Store
from soil_assets_tests.adapters.test_dvc import call
from soil_assets_tests.github_fake import FakeGitHub, Fault, serving

#: The hash that DVC gives the embedded batch of main; dvc.lock records the same.
SAME_FIELD = "a8632fb00c2f07d54f67e4123875c65f.dir"


#: The commit that proposals branch from.
MAIN = "a" * 40


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    with serving(FakeGitHub()) as state:
        tree = state._store("tree", {"files": {}})[1]["sha"]
        state.objects[MAIN] = {"sha": MAIN, "tree": {"sha": tree}, "parents": []}
        yield state


def inbox(tmp_path: Path, *names: str) -> Store:
    store = Store(str(tmp_path / "inbox"))
    for name in names:
        store.write(f"{name}/spectra.csv", name.encode())
        store.write(f"{name}/_SUCCESS", b"")
    return store


def propose(fake: FakeGitHub, store: Store, **recorded: str) -> proposal.Outcome:
    client = GitHub(fake.url, fake.repository, fake.token, sleep=lambda _: None)
    one = partial(
        proposal.propose,
        client,
        folder="batches",
        main="main",
        commit=MAIN,
        workflows={"validate.yml": True, "ci.yml": False},
    )
    return proposal.propose_all(store, recorded, 3600, one)


def test_only_whole_batches_of_new_content_are_proposed(tmp_path: Path, fake: FakeGitHub) -> None:
    store = inbox(tmp_path, "july", "known")
    store.write("growing/spectra.csv", b"half of it")
    recorded = directory_hash({"spectra.csv": b"known", "_SUCCESS": b""})
    assert proposal.propose_all(store, {"known": recorded, "july": "older"}, 3600, None).new == ["july"]
    outcome = propose(fake, store, known=recorded, july="older")
    assert list(outcome.opened) == ["july"]
    [request] = fake.pulls.values()
    content = directory_hash({"spectra.csv": b"july", "_SUCCESS": b""})
    assert request["head"]["ref"] == f"data/july-{content[:8]}"
    assert set(fake.published(request["head"]["ref"])) == {
        "batches/july/spectra.csv",
        "batches/july/_SUCCESS",
    }
    assert [(d["workflow"], d["inputs"]) for d in fake.dispatched] == [
        ("validate.yml", {"pull_request": "1"}),
        ("ci.yml", {}),
    ]
    assert propose(fake, store, known=recorded).earlier == outcome.opened
    assert len(fake.pulls) == 1
    assert len(fake.dispatched) == 2


def test_a_job_that_may_not_open_pull_requests_loses_nothing(tmp_path: Path, fake: FakeGitHub) -> None:
    fake.may_open_pull_requests = False
    store = inbox(tmp_path, "july", "june")
    for _ in range(2):
        outcome = propose(fake, store)
        assert set(outcome.failures) == {"july", "june"}
        assert "not permitted to create" in str(outcome.failures["july"])
        assert "allow GitHub Actions to create pull requests" in str(outcome.failures["july"])
    assert len(fake.refs) == 2
    fake.may_open_pull_requests = True
    assert set(propose(fake, store).opened) == {"july", "june"}
    assert len(fake.pulls) == 2
    assert len(fake.asked("POST")) == len([p for p in fake.asked("POST") if "git/refs" not in p]) + 2


def test_a_closed_proposal_stays_closed_even_when_its_branch_is_gone(
    tmp_path: Path, fake: FakeGitHub
) -> None:
    store = inbox(tmp_path, "july")
    propose(fake, store)
    fake.pulls[1]["state"] = "closed"
    fake.refs.clear()
    fake.dispatched.clear()
    for _ in range(2):
        assert propose(fake, store).earlier == {"july": "https://github.example/pull/1"}
    assert len(fake.pulls) == 1
    assert fake.refs == {}
    assert fake.dispatched == []
    store.write("july/spectra.csv", b"measured again")
    assert list(propose(fake, store).opened) == ["july"]


def test_a_stranger_cannot_keep_a_batch_from_being_proposed(tmp_path: Path, fake: FakeGitHub) -> None:
    """A fork may have a branch of the same name, and close a pull request of it."""
    store = inbox(tmp_path, "july")
    content = directory_hash({"spectra.csv": b"july", "_SUCCESS": b""})
    fake.pull(1, "b" * 40, f"data/july-{content[:8]}", "stranger/soil")
    fake.pulls[1]["state"] = "closed"
    assert list(propose(fake, store).opened) == ["july"]


def test_a_validation_that_could_not_be_started_is_started_by_the_next_run(
    tmp_path: Path, fake: FakeGitHub
) -> None:
    fake.faults = [Fault("POST", "actions/workflows/validate.yml/dispatches", 403, {"message": "no"})]
    store = inbox(tmp_path, "july")
    assert list(propose(fake, store).failures) == ["july"]
    assert list(propose(fake, store).earlier) == ["july"]
    assert [d["workflow"] for d in fake.dispatched] == ["validate.yml", "ci.yml"]
    assert len(fake.pulls) == 1


def test_a_batch_too_large_for_git_does_not_stop_the_others(
    tmp_path: Path, fake: FakeGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposal, "MAX_BYTES", 10)
    store = inbox(tmp_path, "large", "july", "zeta")
    store.write("large/more.csv", b"x" * 11)
    outcome = propose(fake, store)
    assert list(outcome.opened) == ["july", "zeta"]
    assert list(outcome.failures) == ["large"]
    assert "soil batch add large --push" in str(outcome.failures["large"])
    # Under DVC in the repository it is no longer new.
    files = {"spectra.csv": b"large", "_SUCCESS": b"", "more.csv": b"x" * 11}
    assert propose(fake, store, large=directory_hash(files)).failures == {}


def test_one_batch_that_fails_does_not_stop_the_others(tmp_path: Path, fake: FakeGitHub) -> None:
    store = inbox(tmp_path, "a..b", "july", "zeta")
    (tmp_path / "inbox" / "%odd").mkdir()
    fake.faults = [Fault("POST", "git/refs", 422, {"message": "Reference name is not valid"}, times=8)]
    outcome = propose(fake, store)
    assert list(outcome.opened) == ["july", "zeta"]
    assert sorted(outcome.failures) == ["%odd", "a..b"]
    assert list(propose(fake, store).opened) == ["a..b"]


def test_the_command_names_what_it_could_not_propose_and_ends_with_2(
    tmp_path: Path, fake: FakeGitHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(tmp_path, "git", "init", "-q")
    call(tmp_path, "git", "commit", "-q", "--allow-empty", "-m", "main")
    head = call(tmp_path, "git", "rev-parse", "HEAD").strip()
    fake.objects[head] = {**fake.objects[MAIN], "sha": head}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(proposal, "MAX_BYTES", 10)
    for name, value in (("URL", fake.url), ("REPOSITORY", fake.repository), ("TOKEN", fake.token)):
        monkeypatch.setenv("GITHUB_API_URL" if name == "URL" else f"GITHUB_{name}", value)
    inbox(tmp_path, "july").write("large/spectra.csv", b"x" * 11)
    (tmp_path / "inbox" / "large" / "_SUCCESS").touch()
    arguments = ["propose", str(tmp_path / "inbox"), "--json", "--start", "ci.yml"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    facts = json.loads(done.stdout)
    assert list(facts["opened"]) == ["july"]
    assert list(facts["failures"]) == ["large"]
    assert "large" in done.stderr
    assert len(fake.dispatched) == 2
    monkeypatch.delenv("GITHUB_TOKEN")
    with pytest.raises(BadInput, match="no token"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    dry = CliRunner().invoke(app, ["propose", str(tmp_path / "inbox"), "--dry-run"])
    assert (dry.exit_code, dry.stdout) == (2, "july: new\n")


def test_embedded_data_are_the_same_bytes_every_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes = []
    for folder in ("one", "two"):
        fetch(names=None, out=tmp_path / folder, as_json=True)
        hashes.append(json.loads(capsys.readouterr().out)["batches"])
    assert hashes[0] == hashes[1] == dict.fromkeys(REPOSITORY_BATCHES, SAME_FIELD)
    with pytest.raises(BadInput, match="no such embedded batch"):
        fetch(names=["nothing"], out=tmp_path, as_json=True)
