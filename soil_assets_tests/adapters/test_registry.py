"""The registry's moves on SQLite: entry first, alias second, linear under two writers, whole after a kill."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from soil_assets.adapters import journal
from soil_assets.adapters.mlflow import DIGEST_TAG, Registry
from soil_assets.adapters.registry import (
    Because,
    Evidence,
    accept,
    adopted,
    promote,
    register,
    roll_back,
    settle,
    stage,
)
from soil_assets.errors import BadInput
from soil_assets_tests.delivery.models import ADA, CLEAN, RELEASED, log, model, registered, sqlite_registry

# mlflow 3.17 and its dependencies warn about themselves while they start.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One registry file; each test uses a model name of its own."""
    with sqlite_registry(Path(tmp_path_factory.mktemp("registry"))) as made:
        yield made


def test_from_registered_to_rolled_back(registry: Registry) -> None:
    name = "soil-life"
    assert registered(registry, name) == 1
    promote(registry, name, 1, ADA)
    assert registered(registry, name) == 2
    assert registry.aliases(name) == {"staging": 2, "production": 1}
    promote(registry, name, 2, replace(ADA, commit="fedcba987654", links={"pull request": "https://x/1"}))
    assert registry.aliases(name) == {"staging": 2, "production": 2, "previous": 1}
    assert roll_back(registry, name, ADA).version == 1
    assert registry.aliases(name) == {"staging": 2, "production": 1, "previous": 2}
    told = journal.read(registry, name)
    assert [(e.action, e.version) for e in told.entries] == [
        ("staged", 1), ("promoted", 1), ("staged", 2), ("promoted", 2), ("rolled back", 1),
    ]  # fmt: skip
    promoted = told.entries[3]
    assert (promoted.who, promoted.why, promoted.commit) == (ADA.who, ADA.why, "fedcba987654")
    assert promoted.data == CLEAN.data
    assert promoted.report == CLEAN.report
    assert promoted.links == {"pull request": "https://x/1"}
    assert registry.names().count(name) == 1
    assert len(registry.version(name, 1).tags[DIGEST_TAG]) == 64
    assert not [n for n in registry.names() if n.endswith("journal")]


def test_done_again_nothing_changes(registry: Registry) -> None:
    name = "soil-again"
    run_id, uri = log(registry, model())
    for _ in range(2):
        assert register(registry, name, uri, run_id, evidence=CLEAN, because=RELEASED, tags={}).version == 1
        promote(registry, name, 1, ADA)
    assert registered(registry, name) == 2
    promote(registry, name, 2, ADA)
    for _ in range(2):
        roll_back(registry, name, ADA, to=1)
    assert registry.aliases(name) == {"staging": 2, "production": 1, "previous": 2}
    assert len(journal.read(registry, name).entries) == 5


def test_a_version_is_registered_only_with_checks_that_all_passed(registry: Registry) -> None:
    name = "soil-refused"
    run_id, uri = log(registry, model())
    for evidence in (Evidence({}), Evidence({"a.b": True, "a.c": False})):
        with pytest.raises(BadInput, match="is not registered"):
            register(registry, name, uri, run_id, evidence=evidence, because=RELEASED, tags={})
    assert registry.versions(name) == []


def test_what_was_put_there_by_hand_is_neither_staged_nor_promoted(registry: Registry) -> None:
    name = "soil-by-hand"
    run_id, uri = log(registry, model())
    client = registry.client()
    client.create_registered_model(name)
    client.create_model_version(name, source=uri, run_id=run_id, model_id=uri.removeprefix("models:/"))
    with pytest.raises(BadInput, match="nothing says"):
        stage(registry, name, 1, ADA)
    with pytest.raises(BadInput, match="was staged"):
        promote(registry, name, 1, ADA)
    client.set_registered_model_alias(name, "staging", "1")  # even so: it lacks its evidence
    with pytest.raises(BadInput, match="nothing says"):
        promote(registry, name, 1, ADA)
    assert "production" not in registry.aliases(name)


@pytest.mark.parametrize(
    ("because", "says"),
    [
        (Because("", "good"), "person"),
        (Because("dagster", "good"), "person"),
        (Because("Ada L", ""), "reason"),
    ],
)
def test_production_needs_a_person_and_a_reason(registry: Registry, because: Because, says: str) -> None:
    name = "soil-nobody"
    if not registry.versions(name):
        registered(registry, name)
    with pytest.raises(BadInput, match=says):
        promote(registry, name, 1, because)
    with pytest.raises(BadInput, match=says):
        roll_back(registry, name, because)
    assert registry.aliases(name) == {"staging": 1}


def test_versions_that_are_not_there(registry: Registry) -> None:
    registered(registry, "soil-one")
    with pytest.raises(BadInput, match="version 9; expected: 1;"):
        promote(registry, "soil-one", 9, ADA)
    with pytest.raises(BadInput, match="soil-none version 1"):
        promote(registry, "soil-none", 1, ADA)
    with pytest.raises(BadInput, match="no earlier production version"):
        roll_back(registry, "soil-one", ADA)


def test_aliases_from_before_the_history_are_adopted(registry: Registry) -> None:
    name = "soil-old"
    run_id, uri = log(registry, model())
    client = registry.client()
    client.create_registered_model(name)
    client.create_model_version(name, source=uri, run_id=run_id, model_id=uri.removeprefix("models:/"))
    client.set_registered_model_alias(name, "staging", "1")
    client.set_registered_model_alias(name, "champion", "1")
    [entry] = adopted(registry, name).entries
    assert (entry.action, entry.places) == ("adopted", {"staging": 1})
    assert registered(registry, name) == 2
    assert registry.aliases(name) == {"staging": 2, "champion": 1}, "other people's aliases are left alone"


def test_killed_between_entry_and_alias_the_next_move_finishes(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soil_assets.adapters import registry as moves

    name = "soil-killed"
    registered(registry, name)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moves, "settle", killed)
        with pytest.raises(KeyboardInterrupt):
            promote(registry, name, 1, ADA)
    assert "production" not in registry.aliases(name)
    assert journal.read(registry, name).places["production"] == 1
    assert settle(registry, name) == {"production": 1}
    assert settle(registry, name) == {}
    assert registry.aliases(name) == {"staging": 1, "production": 1}


def test_an_alias_moved_past_the_history_is_moved_back(registry: Registry) -> None:
    name = "soil-past"
    registered(registry, name)
    registered(registry, name)
    registry.client().set_registered_model_alias(name, "production", "2")
    assert settle(registry, name) == {"production": 0}
    assert registry.aliases(name) == {"staging": 2}


_WRITER = """
import sys
from soil_assets.adapters.mlflow import DIGEST_TAG, Registry
from soil_assets.adapters.registry import Because, promote
uri, name, who = sys.argv[1:4]
registry = Registry(uri, "soil-local", "unused")
print("ready", flush=True)
sys.stdin.readline()
for i in range(6):
    promote(registry, name, 1 + i % 2, Because(who, f"turn {i}"))
"""


def test_the_history_is_linear_under_two_writers(registry: Registry) -> None:
    """Two processes move production back and forth at once; what stands at the end is what the history says."""
    name = "soil-two"
    registered(registry, name)
    registered(registry, name)
    writers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _WRITER, registry.tracking_uri, name, who],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for who in ("Ada Lovelace", "Grace Hopper")
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        _, err = writer.communicate(timeout=240)
        assert writer.returncode == 0, err
    told = journal.read(registry, name)
    assert not told.broken
    assert [e.after for e in told.entries] == [0, *(e.number for e in told.entries[:-1])]
    for before, after in zip(told.entries, told.entries[1:], strict=False):
        if after.action == "promoted" and "production" in before.places:
            assert after.places["previous"] == before.places["production"], "no move was lost in between"
    assert registry.aliases(name) == told.places


def _altered(registry: Registry, name: str, how: str) -> None:
    """What somebody with the registry's database may do to a history of staged, promoted, promoted, rolled back."""
    client, journal_name = registry.reader(), f"{name}.journal"
    entries = journal.read(registry, name).entries
    if how == "lost":
        for entry in entries:
            client.delete_model_version(journal_name, str(entry.number))
        client.delete_registered_model(journal_name)
        return
    if how == "cut":
        client.delete_model_version(journal_name, str(entries[-1].number))
        return
    previous, changed = None, how == "sealed anew"
    for i, entry in enumerate(entries):
        if i == 1:
            entry = replace(entry, who="Nobody <n@example.org>")
        if changed or i == 1:
            entry = entry.sealed(previous) if changed else entry
            client.set_model_version_tag(journal_name, str(entry.number), "soil.entry", entry.to_json())
        previous = entry


@pytest.mark.parametrize("how", ["cut", "lost", "changed", "sealed anew"])
def test_an_altered_history_moves_nothing_until_a_person_accepts_it(registry: Registry, how: str) -> None:
    name = f"soil-altered-{how.replace(' ', '-')}"
    registered(registry, name)
    registered(registry, name)
    promote(registry, name, 1, ADA)
    promote(registry, name, 2, ADA)
    roll_back(registry, name, ADA)
    places = registry.aliases(name)
    assert places["production"] == 1
    _altered(registry, name, how)
    for move in (settle, lambda r, n: promote(r, n, 2, ADA), lambda r, n: roll_back(r, n, ADA)):
        with pytest.raises(BadInput, match="not to be believed"):
            move(registry, name)
    assert registry.aliases(name) == places, "the withdrawn version does not come back"
    history = accept(registry, name, ADA)
    assert history.entries[-1].action == "accepted"
    assert history.places == places
    assert settle(registry, name) == {}
    promote(registry, name, 2, ADA)
    assert registry.aliases(name)["production"] == 2


def test_a_history_that_is_as_it_was_needs_no_acceptance(registry: Registry) -> None:
    registered(registry, "soil-fine")
    with pytest.raises(BadInput, match="needs no acceptance"):
        accept(registry, "soil-fine", ADA)
