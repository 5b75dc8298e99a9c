"""One comment a pull request, whoever else talks there and however many runs race for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from soil_assets.adapters.github import GitHub
from soil_assets.pull_request.poster import Run, post
from soil_assets_tests.github_fake import BOT, FakeGitHub, serving


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    with serving(FakeGitHub()) as state:
        yield state


def client(fake: FakeGitHub) -> GitHub:
    return GitHub(fake.url, fake.repository, fake.token, sleep=lambda _: None)


def test_the_first_report_makes_a_comment_and_the_next_renews_it_among_250_others(fake: FakeGitHub) -> None:
    fake.talk(7, [f"talk {i}" for i in range(120)])
    first = post(client(fake), 7, "report one", Run(1))
    fake.talk(7, [f"talk {i}" for i in range(130)])
    second = post(client(fake), 7, "report two", Run(2))
    assert (first.outcome, second.outcome) == ("created", "updated")
    assert first.comment == second.comment
    [ours] = fake.ours(7)
    assert ours["body"] == "<!-- soil: decision report, run 2.1 -->\nreport two"
    assert fake.asked("POST") == ["issues/7/comments"]
    assert fake.asked("PATCH") == [f"issues/comments/{first.comment}"]


def test_an_older_run_never_replaces_a_newer_one(fake: FakeGitHub) -> None:
    post(client(fake), 7, "newer", Run(5))
    assert post(client(fake), 7, "older", Run(4, 9)).outcome == "kept newer"
    assert "newer" in fake.ours(7)[0]["body"]
    assert post(client(fake), 7, "again", Run(5, 2)).outcome == "updated"


def test_a_marker_in_someone_elses_comment_is_only_text(fake: FakeGitHub) -> None:
    fake.talk(7, [f"{Run(99).marker}\nmine", "quoted " + Run(98).marker])
    assert post(client(fake), 7, "report", Run(1)).outcome == "created"
    assert fake.comments[7][0]["body"].endswith("mine")


def test_doubles_that_two_runs_made_become_one_with_the_newer_text(fake: FakeGitHub) -> None:
    fake.talk(7, [f"{Run(3).marker}\nthree", f"{Run(4).marker}\nfour"], login=BOT)
    posted = post(client(fake), 7, "two", Run(2))
    [ours] = fake.ours(7)
    assert (posted.outcome, len(posted.removed)) == ("kept newer", 1)
    assert ours["body"].endswith("four")


@pytest.mark.parametrize("runs", [2, 5])
def test_runs_that_race_leave_one_comment_of_the_newest(fake: FakeGitHub, runs: int) -> None:
    start = threading.Barrier(runs)

    def race(number: int) -> None:
        start.wait()
        post(client(fake), 7, f"report {number}", Run(number))

    jobs = [threading.Thread(target=race, args=(i,)) for i in range(1, runs + 1)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    # A run that finished before another looked may have been the older one: the next report heals that.
    post(client(fake), 7, f"report {runs}", Run(runs))
    [ours] = fake.ours(7)
    assert ours["body"].endswith(f"report {runs}")
