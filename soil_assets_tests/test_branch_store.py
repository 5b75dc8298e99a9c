"""A branch reads what main has and writes nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest

from soil_assets.branch_store import BranchStore, store_of
from soil_assets.storage import Store


@pytest.fixture
def main(tmp_path: Path) -> Store:
    store = Store(f"{tmp_path}/data")
    store.write("assets/a/p1/current.json", b"main 1")
    store.write("assets/a/p2/current.json", b"main 2")
    return store


@pytest.fixture
def branch(main: Store) -> BranchStore:
    return BranchStore(f"{main.url}/branches/pr-1", main.url)


def test_each_key_falls_back_by_itself(main: Store, branch: BranchStore) -> None:
    branch.write("assets/a/p2/current.json", b"branch 2")
    branch.write("assets/a/p3/current.json", b"branch 3")
    assert [branch.read(f"assets/a/p{i}/current.json") for i in (1, 2, 3)] == [
        b"main 1",
        b"branch 2",
        b"branch 3",
    ]
    assert branch.folders("assets/a") == ["p1", "p2", "p3"]
    assert branch.files("assets") == [f"assets/a/p{i}/current.json" for i in (1, 2, 3)]


def test_main_is_never_written(main: Store, branch: BranchStore) -> None:
    before = {k: main.read(k) for k in main.files("assets")}
    branch.write("assets/a/p1/current.json", b"changed")
    assert {k: main.read(k) for k in main.files("assets")} == before


def test_holding_is_not_reading(branch: BranchStore) -> None:
    assert branch.exists("assets/a/p1/current.json")
    assert not branch.holds("assets/a/p1/current.json")


def test_other_branches_are_not_seen(main: Store, branch: BranchStore) -> None:
    Store(f"{main.url}/branches/pr-2").write("assets/a/p9/current.json", b"other")
    assert branch.folders() == ["assets"]
    assert not branch.exists("assets/a/p9/current.json")


def test_what_nobody_has_is_not_found(branch: BranchStore) -> None:
    with pytest.raises(FileNotFoundError):
        branch.read("assets/a/p7/current.json")


def test_without_a_branch_it_is_an_ordinary_store(main: Store) -> None:
    assert type(store_of(main.url, main.url)) is Store
