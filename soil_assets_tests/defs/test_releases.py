"""The lineage's end: a staged release as an asset, and every move of an alias as an event of ``live_versions``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from soil_assets.adapters.registry import promote, roll_back
from soil_assets.defs.resources import registry_of
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.delivery.git_server import TOKEN, GitHost, git_host
from soil_assets_tests.delivery.models import ADA, registered

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHost]:
    (tmp_path / "git").mkdir()
    with git_host(tmp_path / "git") as made:
        monkeypatch.setenv("SOIL_MANIFESTS", made.url)
        monkeypatch.setenv("SOIL_MANIFESTS_TOKEN", TOKEN)
        yield made


@pytest.fixture
def place(tmp_path: Path, host: GitHost) -> Iterator[Platform]:
    made = make_platform(tmp_path / "home")
    try:
        yield made
    finally:
        made.instance.dispose()


def tick(platform: Platform, cursor: str | None = None) -> tuple[str, str]:
    """Tick the sensor once; return what it said and the cursor that the daemon would keep."""
    context = dg.build_sensor_context(
        instance=platform.instance, cursor=cursor, repository_def=platform.definitions.get_repository_def()
    )
    said = platform.definitions.resolve_sensor_def("alias_moves")(context)
    assert isinstance(said, dg.SkipReason)
    return str(said.skip_message), context.cursor or ""


def told(platform: Platform) -> list[dict[str, object]]:
    """Return the events of live_versions, oldest first."""
    records = platform.instance.fetch_materializations(dg.AssetKey("live_versions"), limit=50).records
    events = [r.asset_materialization for r in reversed(records)]
    return [
        {k: v.value for k, v in e.metadata.items()} | {"partition": e.partition}
        for e in events
        if e is not None
    ]


def test_the_staged_versions_become_a_commit(place: Platform, host: GitHost) -> None:
    registry = registry_of(place.settings)
    registered(registry)
    outcome = place.run("staging_releases")
    assert outcome.success, outcome
    assert host.log()[0] == "staging: stage soil-clay 1 on green"
    assert "--model=soil-clay=1" in host.file("overlays/staging/green.yaml")
    assert f"by Dagster run {outcome.run_id}" in host.file("overlays/staging/green.yaml")
    assert place.run("staging_releases").success
    assert len(host.log()) == 2, "the same versions are not staged twice"


def test_a_repository_that_refuses_fails_the_asset_in_words(place: Platform, host: GitHost) -> None:
    registered(registry_of(place.settings))
    host.protect()
    outcome = place.run("staging_releases")
    assert not outcome.success
    assert any("protected against this push" in e for e in outcome.errors)
    assert not any(TOKEN in e for e in outcome.errors)


def test_it_is_asked_for_after_any_registration_where_a_repository_is_set(
    tmp_path: Path, host: GitHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A property that has no version yet does not hold the others back."""
    assert asked_for(tmp_path / "with") == [0, 1, 0]
    monkeypatch.delenv("SOIL_MANIFESTS")
    assert asked_for(tmp_path / "without") == [0, 0, 0]


def asked_for(home: Path) -> list[int]:
    """Return how often the release is requested: at first, after clay was registered, and after that."""
    platform = make_platform(home, properties=["clay", "ph"])
    only = dg.AssetSelection.assets("staging_releases")
    try:
        counts, cursor = [], None
        for registered_now in (False, True, False):
            if registered_now:
                platform.instance.report_runless_asset_event(
                    dg.AssetMaterialization("registered_versions", partition="clay")
                )
            said = dg.evaluate_automation_conditions(
                platform.definitions, platform.instance, asset_selection=only, cursor=cursor
            )
            counts.append(said.total_requested)
            cursor = said.cursor
        return counts
    finally:
        platform.instance.dispose()


def test_a_branch_deployment_commits_nothing(tmp_path: Path, host: GitHost) -> None:
    branch = make_platform(tmp_path / "branch", deployment="branch", branch="topic")
    try:
        outcome = branch.run("staging_releases")
        assert any("never commits a release" in e for e in outcome.errors)
    finally:
        branch.instance.dispose()
    assert len(host.log()) == 1


def test_every_move_is_told_once_with_who_and_why(platform: Platform) -> None:
    assert tick(platform)[0] == "nothing is registered yet"
    registry = registry_of(platform.settings)
    registered(registry)
    said, cursor = tick(platform)
    assert said == "1 moves told"
    assert tick(platform, cursor)[0] == "no alias moved"
    registered(registry)
    promote(registry, "soil-clay", 1, ADA)
    promote(registry, "soil-clay", 2, ADA)
    roll_back(registry, "soil-clay", ADA)
    said, cursor = tick(platform, cursor)
    assert said == "4 moves told"
    events = told(platform)
    assert [(e["action"], e["version"]) for e in events] == [
        ("staged", 1), ("staged", 2), ("promoted", 1), ("promoted", 2), ("rolled back", 1),
    ]  # fmt: skip
    assert events[-1]["places"] == "previous = 2, production = 1, staging = 2"
    assert (events[-1]["who"], events[-1]["why"]) == (ADA.who, ADA.why)
    assert {e["partition"] for e in events} == {"clay"}


def test_a_registry_that_is_away_is_asked_again(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    from soil_assets.adapters import journal
    from soil_assets.errors import BadInput

    registry = registry_of(platform.settings)
    registered(registry)

    def away(*_: object) -> None:
        raise BadInput("the registry does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "read", away)
        said, cursor = tick(platform)
    assert "asked again" in said
    assert tick(platform, cursor)[0] == "1 moves told"


def test_lineage_ends_at_what_is_live(platform: Platform) -> None:
    graph = platform.definitions.resolve_asset_graph()
    live = graph.get(dg.AssetKey("live_versions"))
    assert {k.path[-1] for k in live.parent_keys} == {"registered_versions", "staging_releases"}
    assert not live.is_materializable
    assert {k.path[-1] for k in live.child_keys} == {"live_model_validations"}, (
        "which looks at it and changes nothing"
    )
