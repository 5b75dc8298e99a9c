"""The comment's text from the facts of another run, by main's code, main's policy and main's benchmark.

Belongs here: what of a stranger's facts may be told, and how it becomes a comment under GitHub's cap.
Does not belong here: posting (``poster``), layout (``reporting``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from soil_assets.config import Policy
from soil_assets.reporting.decision import DecisionReport, build
from soil_assets.reporting.decision_inputs import DecisionInputs, Proposal
from soil_assets.reporting.markdown import GITHUB_CAP
from soil_assets.reporting.rejudge import Benchmark, judged_again

#: Room for the marker and a line of our own.
_OWN_LINES = 500
#: What decides about a batch or a model.
_JUDGE = (
    ".github/",
    "dvc.yaml",
    "soil.yaml",
    "soil_assets/benchmarks/frozen",
    "soil_assets/defs/",
    "soil_assets/drift/",
    "soil_assets/modeling/",
    "soil_assets/pull_request/",
    "soil_assets/quality/",
    "soil_assets/reporting/",
)


@dataclass(frozen=True)
class Origin:
    """Where a report is from, as GitHub itself says it: nothing here is the change's own word."""

    number: int
    sha: str
    run_url: str = ""
    ui_url: str = ""
    deployment_url: str = ""


def trusted(
    facts: DecisionInputs, policy: Policy, benchmark: Benchmark, origin: Origin, files: Iterable[str] = ()
) -> DecisionInputs:
    """Return the facts as main tells them.

    Parameters
    ----------
    facts : DecisionInputs
        As the change's own run wrote them.
    policy, benchmark
        Main's.
    origin : Origin
    files : iterable of str
        Files that the pull request touches, as GitHub lists them; those that judge are told first.

    Notes
    -----
    The models are judged again from their predictions, by main's policy, on the benchmark that main knows. Links lead
    where GitHub says the run is, or to the project's own Dagster; the commands that give the report again are ours: a
    stranger's commands and addresses are not passed on.
    """
    judged = judged_again(facts, policy, benchmark)
    proposal = facts.proposal
    if proposal is None and facts.policy != policy:
        again = judged_again(facts, facts.policy, benchmark)
        proposal = Proposal(
            policy=facts.policy,
            properties={p.name: {"comparison": p.comparison} for p in again.properties if p.comparison},
        )
    links = {}
    if origin.deployment_url:
        links["this change's own deployment: Dagster with its assets beside production's"] = (
            origin.deployment_url
        )
    if origin.run_url:
        links["run in CI"] = origin.run_url
        links["artifacts: this report as HTML and JSON, with its plots"] = f"{origin.run_url}#artifacts"
    if origin.ui_url:
        start = origin.ui_url.rstrip("/") + "/"
        links |= {words: url for words, url in facts.links.items() if url.startswith(start)}
    return judged.model_copy(
        update={
            "proposal": proposal,
            "candidate": origin.sha[:12] or facts.candidate,
            "links": links,
            "changes": (*judge_files(files), *facts.changes),
            "reproduce": (
                f"git fetch origin pull/{origin.number}/head && git checkout {origin.sha or 'FETCH_HEAD'}",
                "make setup && source .venv/bin/activate",
                "soil baseline && dvc repro",
                "soil --repository report",
            ),
        }
    )


def judge_files(files: Iterable[str]) -> tuple[str, ...]:
    """Say which files of a change are part of what judged it: its own run used them, main's code did not."""
    touched = sorted(f for f in files if f.startswith(_JUDGE) or f in _JUDGE)
    more = f" and {len(touched) - 8} more" if len(touched) > 8 else ""
    return (f"the judge's own code: {', '.join(touched[:8])}{more}",) if touched else ()


def message(report: DecisionReport, image_url: Callable[[str], str | None]) -> str:
    """Return the comment's text under GitHub's cap, with pictures by their address (None: words or Mermaid)."""
    return report.to_markdown(limit=GITHUB_CAP - _OWN_LINES, image_url=image_url)


def report_of(facts: DecisionInputs) -> DecisionReport:
    """Return the report of facts that are trusted now; its plots are drawn from them, none is taken over."""
    return build(facts)


def addresses(base: str, names: Mapping[str, bytes]) -> Callable[[str], str | None]:
    """Return the address of each published picture below ``base``; None for one that was not published."""
    return lambda name: f"{base}/{name}?raw=true" if base and name in names else None
