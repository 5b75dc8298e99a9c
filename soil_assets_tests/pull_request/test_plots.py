"""The branch of the plots is pruned, and what the comments of living pull requests show stays where they show it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from soil_assets.adapters.github import GitHub
from soil_assets.cli.app import app
from soil_assets.errors import BadInput
from soil_assets.pull_request.plots import Pruned, prune
from soil_assets_tests.github_fake import BOT, FakeGitHub, Fault, serving

BRANCH = "soil-reports"
NOW = datetime.datetime(2026, 6, 30, tzinfo=datetime.UTC)


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    """Pull requests 1 (open), 2 (closed in spring), 3 (closed lately), each with plots that a comment shows."""
    with serving(FakeGitHub()) as state:
        for number, closed in ((1, None), (2, "2026-03-01T00:00:00Z"), (3, "2026-06-29T00:00:00Z")):
            state.pull(number, str(number) * 40)
            state.pulls[number] |= {"state": "closed" if closed else "open", "closed_at": closed}
            folder = f"pull-{number}/{str(number) * 12}"
            commit = client(state).publish(
                BRANCH, {f"{folder}/plot.png": bytes([number])}, f"Plots of {number}"
            )
            shown = f"![plot](https://github.example/lab/soil/blob/{commit}/{folder}/plot.png?raw=true)"
            state.talk(number, [shown], BOT)
            state.talk(number, [f"I quote {shown}"])
        yield state


def client(fake: FakeGitHub) -> GitHub:
    return GitHub(fake.url, fake.repository, fake.token, sleep=lambda _: None)


def pruned(fake: FakeGitHub, *, days: int = 90, dry_run: bool = False) -> Pruned:
    return prune(client(fake), BRANCH, days, NOW, BOT, dry_run=dry_run)


def files(fake: FakeGitHub) -> set[str]:
    return {path.split("/")[0] for path in fake.published(BRANCH)}


def test_old_plots_go_with_the_history_and_the_rest_stays_where_comments_show_it(fake: FakeGitHub) -> None:
    quoted = fake.comments[1][1]["body"]
    before = fake.published(BRANCH)
    outcome = pruned(fake)
    assert outcome.dropped == ("pull-2",)
    assert files(fake) == {"pull-1", "pull-3", "README.md"}
    assert {p: s for p, s in before.items() if "pull-2" not in p}.items() <= fake.published(BRANCH).items()
    head = fake.refs[BRANCH]
    assert fake.objects[head]["parents"] == []
    for number in (1, 3):
        [ours] = fake.ours(number)
        [(commit, path)] = re.findall(r"/blob/([0-9a-f]{40})/([^?]+)", ours["body"])
        assert commit == head == outcome.commit
        assert path in fake.published(BRANCH)
    assert len(outcome.renewed) == 2
    assert fake.comments[1][1]["body"] == quoted  # what a person wrote is theirs
    # The next report is published on top, and with nothing old there is nothing to do.
    client(fake).publish(BRANCH, {"pull-4/x/plot.png": b"4"}, "Plots of 4")
    assert pruned(fake).dropped == ()
    assert files(fake) == {"pull-1", "pull-3", "pull-4", "README.md"}


def test_a_dry_run_and_a_branch_that_is_not_there_change_nothing(fake: FakeGitHub) -> None:
    head = fake.refs[BRANCH]
    assert pruned(fake, dry_run=True).dropped == ("pull-2",)
    assert fake.refs[BRANCH] == head
    fake.refs.clear()
    moves = len(fake.asked("PATCH"))
    assert pruned(fake) == Pruned()
    assert len(fake.asked("PATCH")) == moves


def test_what_github_does_not_show_is_kept(fake: FakeGitHub) -> None:
    """A token without the right to see pull requests gets 404 for each: nothing is dropped for that."""
    fake.pulls.clear()
    assert pruned(fake, days=0).dropped == ()
    assert files(fake) == {"pull-1", "pull-2", "pull-3"}
    fake.faults = [Fault("GET", "pulls/1", 403, {"message": "no"}, times=9)]
    with pytest.raises(BadInput, match="refused GET pulls/1"):
        pruned(fake)


def test_plots_that_are_published_meanwhile_are_not_lost(
    fake: FakeGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    github = client(fake)
    entries = github.top_entries

    def slow(commit: str) -> list[dict[str, object]]:
        listing = entries(commit)
        client(fake).publish(BRANCH, {"pull-5/x/plot.png": b"5"}, "Plots of 5")
        return listing

    monkeypatch.setattr(github, "top_entries", slow)
    with pytest.raises(BadInput, match="another job wrote"):
        prune(github, BRANCH, 90, NOW, BOT, dry_run=False)
    assert {"pull-2", "pull-5"} <= files(fake)


def test_the_command(fake: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("API_URL", fake.url), ("REPOSITORY", fake.repository), ("TOKEN", fake.token)):
        monkeypatch.setenv(f"GITHUB_{name}", value)
    fake.pulls[2]["closed_at"] = "2020-03-01T00:00:00Z"
    fake.pulls[3]["closed_at"] = datetime.datetime.now(datetime.UTC).isoformat()
    done = CliRunner().invoke(app, ["prune-reports", "--days", "30"], catch_exceptions=False)
    assert done.stdout == "dropped: pull-2; 2 comments with new addresses\n"
    done = CliRunner().invoke(app, ["prune-reports"], catch_exceptions=False)
    assert done.stdout == "nothing to drop\n"
