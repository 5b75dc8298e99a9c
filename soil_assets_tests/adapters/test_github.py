"""The API's bad days: server errors, rate limits, refusals, branches that move; against a loopback of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from soil_assets.adapters.github import GitHub, Refused
from soil_assets.errors import BadInput
from soil_assets_tests.github_fake import FakeGitHub, Fault, serving

SHA = "a" * 40


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    with serving(FakeGitHub()) as state:
        state.pull(7, SHA)
        yield state


def client(fake: FakeGitHub, waited: list[float] | None = None, token: str | None = None) -> GitHub:
    waits = [] if waited is None else waited
    return GitHub(fake.url, fake.repository, token or fake.token, sleep=waits.append, clock=lambda: 1000.0)


def test_every_page_of_comments_is_read(fake: FakeGitHub) -> None:
    fake.talk(7, [f"comment {i}" for i in range(250)])
    assert [c["body"] for c in client(fake).comments(7)] == [f"comment {i}" for i in range(250)]
    assert len(fake.asked("GET")) == 3


def test_server_errors_are_tried_again_and_end(fake: FakeGitHub) -> None:
    waited: list[float] = []
    fake.faults = [Fault("GET", r"pulls/7", 502, times=2)]
    assert client(fake, waited).pull_request(7)["number"] == 7
    assert len(waited) == 2
    fake.faults = [Fault("GET", r"pulls/7", 500, {"message": "oops"}, times=99)]
    with pytest.raises(Refused, match="500 oops") as told:
        client(fake, waited).pull_request(7)
    assert told.value.status == 500
    assert fake.log[-6:] == [("GET", "pulls/7", 500)] * 6


@pytest.mark.parametrize(
    ("status", "headers", "body", "wait"),
    [
        (429, {"retry-after": "7"}, {"message": "slow down"}, 7.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, {"message": "limit"}, 31.0),
        (403, {}, {"message": "You have exceeded a secondary rate limit"}, 15.0),
    ],
)
def test_a_rate_limit_is_waited_for(
    fake: FakeGitHub, status: int, headers: dict[str, str], body: dict[str, str], wait: float
) -> None:
    waited: list[float] = []
    fake.faults = [Fault("GET", r"pulls/7", status, body, headers)]
    assert client(fake, waited).pull_request(7)["number"] == 7
    assert waited == [wait]


def test_a_rate_limit_of_an_hour_is_told_and_not_waited_for(fake: FakeGitHub) -> None:
    waited: list[float] = []
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4600"}
    fake.faults = [Fault("GET", r"pulls/7", 403, {"message": "API rate limit exceeded"}, headers)]
    with pytest.raises(Refused, match="rate limit is used up"):
        client(fake, waited).pull_request(7)
    assert waited == []


@pytest.mark.parametrize(
    ("status", "mend"),
    [(401, "GITHUB_TOKEN"), (403, "pull-requests: write"), (404, "number"), (422, "content")],
)
def test_a_refusal_is_told_at_once_with_what_to_do(fake: FakeGitHub, status: int, mend: str) -> None:
    fake.faults = [Fault("POST", r"issues/7/comments", status, {"message": "no", "errors": ["because"]})]
    with pytest.raises(Refused, match=mend) as told:
        client(fake).create_comment(7, "text")
    assert "because" in str(told.value)
    assert len(fake.log) == 1


def test_no_message_shows_the_token_and_no_redirect_takes_it_along(fake: FakeGitHub) -> None:
    with pytest.raises(Refused) as told:
        client(fake, token="s3cret-of-mine").pull_request(7)
    assert "s3cret" not in str(told.value) + repr(client(fake, token="s3cret-of-mine"))
    fake.faults = [Fault("GET", r"pulls/7", 302, None, {"location": f"{fake.url}/elsewhere"})]
    with pytest.raises(Refused):
        client(fake).pull_request(7)
    assert not [path for _, path, _ in fake.log if "elsewhere" in path]


def test_an_api_that_is_not_there_is_told() -> None:
    waited: list[float] = []
    gone = GitHub("http://127.0.0.1:9", "lab/soil", "t", sleep=waited.append)
    with pytest.raises(Refused, match="cannot be reached"):
        gone.pull_request(7)
    assert len(waited) == 5


@pytest.mark.parametrize("name", ["", "lab", "lab/soil/x", "../soil", "lab/.."])
def test_a_repository_has_an_owner_and_a_name(name: str) -> None:
    with pytest.raises(BadInput, match="owner/name"):
        GitHub("https://api.example", name, "t")


def test_every_page_of_changed_files_is_read_with_its_status(fake: FakeGitHub) -> None:
    for i in range(230):
        fake.change(7, f"batches/june/{i}.csv", "added")
    fake.change(7, "docs/new.md", "renamed", "docs/old.md")
    files = client(fake).files(7)
    assert len(files) == 231
    assert files[0] == {"filename": "batches/june/0.csv", "status": "added"}
    assert files[-1]["previous_filename"] == "docs/old.md"
    assert client(fake).files(8) == []


def test_a_list_of_files_that_github_cut_is_no_list(fake: FakeGitHub) -> None:
    fake.files[7] = [{"filename": f"{i}", "status": "added"} for i in range(3500)]
    with pytest.raises(BadInput, match="more files than GitHub lists"):
        client(fake).files(7)


def test_a_file_is_read_at_a_commit_byte_for_byte(fake: FakeGitHub) -> None:
    fake.contents = {
        (SHA, "soil.yaml"): b"a: \xff\n",
        (SHA, "batches/june 1/x#.csv"): b"",
        ("topic/a", "x"): b"[]",
    }
    assert client(fake).content("soil.yaml", SHA) == b"a: \xff\n"
    assert client(fake).content("batches/june 1/x#.csv", SHA) == b""
    assert client(fake).content("x", "topic/a") == b"[]"
    assert client(fake).content("soil.yaml", "b" * 40) is None
    assert client(fake).content("batches", SHA) is None  # a folder is no file
    fake.faults = [Fault("GET", "contents/soil.yaml", 403, {"message": "too large"})]
    with pytest.raises(Refused, match="too large"):
        client(fake).content("soil.yaml", SHA)


def test_two_commits_are_compared(fake: FakeGitHub) -> None:
    assert client(fake).compare(SHA, "topic/a")["merge_base_commit"]["sha"] == SHA
    fake.comparisons["main", SHA] = {
        "merge_base_commit": {"sha": "c" * 40},
        "status": "diverged",
        "ahead_by": 2,
    }
    assert client(fake).compare("main", SHA)["status"] == "diverged"
    assert fake.asked("GET")[-1] == f"compare/main...{SHA}"


def test_a_branch_apart_from_the_code_is_made_and_added_to(fake: FakeGitHub) -> None:
    first = client(fake).publish("soil-reports", {"pull-7/a.png": b"one"}, "first")
    second = client(fake).publish("soil-reports", {"pull-8/b.png": b"two"}, "second")
    assert fake.objects[first]["parents"] == []
    assert fake.objects[second]["parents"] == [first]
    assert set(fake.published("soil-reports")) == {"pull-7/a.png", "pull-8/b.png"}


def test_two_jobs_that_publish_at_once_both_land(fake: FakeGitHub) -> None:
    jobs = [
        threading.Thread(
            target=lambda i=i: client(fake).publish("soil-reports", {f"{i}.png": bytes([i])}, "x")
        )
        for i in range(4)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert set(fake.published("soil-reports")) == {f"{i}.png" for i in range(4)}
