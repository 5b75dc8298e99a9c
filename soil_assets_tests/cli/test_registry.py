"""``soil registry``: the life of a version as a person types it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from soil_assets.adapters.mlflow import Registry
from soil_assets.cli import app
from soil_assets.errors import BadInput
from soil_assets_tests.delivery.models import registered

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ADA = ("--by", "Ada Lovelace <ada@example.org>", "--why", "good on staging")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two versions of clay and one of ph."""
    folder = Path(tmp_path_factory.mktemp("registry"))
    registry = Registry(f"sqlite:///{folder}/mlflow.db", "soil-local", str(folder / "mlflow-artifacts"))
    registered(registry, "soil-clay")
    registered(registry, "soil-clay")
    registered(registry, "soil-ph")
    return folder


@pytest.fixture(autouse=True)
def _here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOIL_HOME", str(home))
    monkeypatch.setenv("SOIL_DAGSTER_STORAGE", str(home / "dagster"))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    for name in ("SOIL_BY", "SOIL_MANIFESTS", "GITHUB_REPOSITORY", "GITHUB_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)


def soil(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def facts(*arguments: str) -> dict[str, object]:
    done = soil(*arguments, "--json")
    assert done.exit_code == 0, done.output + repr(done.exception)
    found = json.loads(done.stdout)
    assert isinstance(found, dict | list)
    return found


def refusal(*arguments: str) -> str:
    done = soil(*arguments)
    assert isinstance(done.exception, BadInput), done.output
    return str(done.exception)


def test_the_life_of_a_version_as_typed() -> None:
    assert [(v["name"], v["version"]) for v in facts("registry", "list")] == [
        ("soil-clay", 2), ("soil-clay", 1), ("soil-ph", 1),
    ]  # fmt: skip
    assert facts("registry", "promote", "soil-clay", "1", *ADA)["aliases"] == ["production"]
    promoted = facts("registry", "promote", "soil-clay", "2", *ADA, "--link", "ticket=https://x.org/7")
    assert promoted["aliases"] == ["production", "staging"]
    assert facts("registry", "rollback", "soil-clay", *ADA)["version"] == 1
    told = facts("registry", "history", "soil-clay")
    entries = told["entries"]
    assert [e["action"] for e in entries] == ["staged", "staged", "promoted", "promoted", "rolled back"]
    assert entries[3]["links"] == {"ticket": "https://x.org/7"}
    assert told["places"] == {"staging": 2, "production": 1, "previous": 2}
    shown = facts("registry", "show", "soil-clay")
    assert (shown["version"], shown["astray"]) == (1, [])
    assert all(shown["evidence"]["checks"].values())
    words = soil("registry", "history", "soil-clay").stdout
    assert "Ada Lovelace" in words
    assert "rolled back" in words
    assert "2 blocking checks passed" in soil("registry", "show", "soil-clay", "2").stdout


def test_an_alias_astray_is_shown_and_settled(home: Path) -> None:
    registry = Registry(f"sqlite:///{home}/mlflow.db", "soil-local", "unused")
    registry.client().set_registered_model_alias("soil-ph", "production", "1")
    done = soil("registry", "show", "soil-ph", "1", "--json")
    assert type(done.exception).__name__ == "GateFailed"
    assert json.loads(done.stdout)["astray"] == ["production is at version 1, the history says none"]
    assert facts("registry", "settle", "soil-ph")["moved"] == {"production": 0}
    assert facts("registry", "show", "soil-ph", "staging")["astray"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("promote", "soil-ph", "1"), "name of the person"),
        (
            ("promote", "soil-ph", "1", "--by", "github-actions[bot]", "--why", "because"),
            "name of the person",
        ),
        (("promote", "soil-ph", "1", "--by", "Ada L"), "needs a reason"),
        (("promote", "soil-ph", "7", *ADA), "soil-ph version 7"),
        (("promote", "soil-none", "1", *ADA), "soil-clay, soil-ph"),
        (("rollback", "soil-ph", *ADA), "no earlier production version"),
        (("show", "soil-ph", "champion"), "staging (version 1)"),
        (("show", "soil-none"), "soil-clay, soil-ph"),
        (("history", "soil-none"), "soil-clay, soil-ph"),
        (("settle", "soil-none"), "soil-clay, soil-ph"),
        (("promote", "soil-ph", "1", *ADA, "--link", "javascript:alert(1)"), "NAME=URL"),
    ],
)
def test_what_is_refused_says_why(arguments: tuple[str, ...], says: str) -> None:
    assert says in refusal("registry", *arguments)


def test_a_branch_deployment_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOIL_DEPLOYMENT", "branch")
    for verb in (("promote", "soil-ph", "1"), ("rollback", "soil-ph"), ("settle", "soil-ph")):
        assert "branch deployment" in refusal("registry", *verb, *(ADA if verb[0] != "settle" else ()))


def test_with_a_manifest_repository_production_moves_by_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOIL_MANIFESTS", "https://git.example.org/soil/manifests.git")
    assert "soil release switch" in refusal("registry", "promote", "soil-ph", "1", *ADA)
    assert "soil release rollback" in refusal("registry", "rollback", "soil-ph", *ADA)


def test_links_of_a_run_on_github_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from soil_assets.cli.links import links_here

    run = {
        "GITHUB_SERVER_URL": "https://github.example.org", "GITHUB_REPOSITORY": "lab/soil",
        "GITHUB_SHA": "0123", "GITHUB_RUN_ID": "9",
    }  # fmt: skip
    assert links_here(run) == {
        "commit": "https://github.example.org/lab/soil/commit/0123",
        "run": "https://github.example.org/lab/soil/actions/runs/9",
    }
    assert links_here({}) == {}
