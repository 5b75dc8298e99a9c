"""Facts of a change as main's side tells them, and the comment's text.

Belongs here: putting together what main's side derived (batches, checks, recomputed models) with what a stranger's
report may contribute, and naming the files that judge. Does not belong here: deriving it (``expectation``,
``recomputation``), posting (``poster``), layout (``reporting``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from soil_assets.config import LIMITS, Policy
from soil_assets.pull_request.expectation import (
    Expectation,
    SoilYaml,
    judged_batches,
    trained_on,
    training_set_checks,
    untrained,
)
from soil_assets.pull_request.scope import is_batch_data, is_documentation
from soil_assets.reporting.decision import DecisionReport, build
from soil_assets.reporting.decision_inputs import DecisionInputs, PropertyResult, Proposal
from soil_assets.reporting.markdown import GITHUB_CAP
from soil_assets.reporting.rejudge import Benchmark, judged_again, judged_together

#: Room for the marker and a line of our own.
_OWN_LINES = 500
#: Keys of soil.yaml that a change may alter without touching what judges it; removed properties are named apart.
_FREE_KEYS = ("recipe", "properties")
#: Keys beside these of which the change's own value is used, and told.
_PROPOSED_KEYS = ("axis", "replicates")


@dataclass(frozen=True)
class Origin:
    """Where a report is from, as GitHub itself says it: nothing here is the change's own word."""

    number: int
    sha: str
    base: str = ""
    run_url: str = ""
    ui_url: str = ""
    deployment_url: str = ""


def trusted(
    facts: DecisionInputs,
    expectation: Expectation,
    results: Sequence[PropertyResult],
    missing: Iterable[str],
    policy: Policy,
    benchmark: Benchmark,
    soil_yaml: SoilYaml,
    origin: Origin,
    files: Iterable[str],
    main_versions: Mapping[str, str],
    training: Mapping[str, Mapping[str, Any]],
) -> DecisionInputs:
    """Facts of a report as main's side tells them.

    Parameters
    ----------
    facts : DecisionInputs
        As the change's own run wrote them.
    expectation : Expectation
        What they must hold.
    results : sequence of PropertyResult
        Of every expected property, from the models themselves.
    missing : iterable of str
        Evidence that the caller did not get.
    policy, benchmark
        Main's.
    soil_yaml : SoilYaml
    origin : Origin
    files : iterable of str
        Paths that the change touches, as GitHub lists them.
    main_versions : mapping of str to str
        Packages of this environment, which is main's.
    training : mapping of str to mapping
        By property, the number of training samples by batch that the uploaded model states.

    Notes
    -----
    Links lead where GitHub says the run is, or to the project's own Dagster; the commands that give the report again
    are ours: a stranger's commands and addresses are not passed on.
    """
    batches, missing_batches = judged_batches(facts, expectation, policy)
    checks, missing_checks = training_set_checks(facts, expectation, policy)
    missing_batches += untrained(training.values(), batches, expectation.main_trains_on)
    passed = frozenset(b.name for b in batches if not b.held)
    for prop, counts in training.items():
        missing_batches += trained_on(prop, counts, passed)
    known = facts.model_copy(
        update={
            "candidate": origin.sha[:12],
            "main": f"{origin.base[:12]}" if any(p.main for p in results) else "",
            "properties": judged_together(tuple(results)),
            "batches": batches,
            "checks": checks,
            "policy": policy,
            "proposal": None,
            "missing": tuple(dict.fromkeys([*missing, *missing_batches, *missing_checks, *facts.missing])),
            "removals": expectation.removals,
            "links": _links(facts, origin),
            "changes": (*judge_files(files, soil_yaml), *facts.changes),
            "main_versions": dict(main_versions),
            "reproduce": (
                f"git fetch origin pull/{origin.number}/merge && git checkout FETCH_HEAD",
                "make setup && source .venv/bin/activate",
                f"soil baseline --against {origin.base} && dvc repro",
                "soil --repository report",
            ),
        }
    )
    return known.model_copy(update={"proposal": _proposal(known, soil_yaml, benchmark)})


def judge_files(files: Iterable[str], soil_yaml: SoilYaml) -> tuple[str, ...]:
    """Sentences that name the files of a change that take part in judging it.

    Everything does, except documentation, batches, and the recipe: a list of what judges would forget something.
    """
    keys = [key for key in soil_yaml.altered_keys() if key not in _FREE_KEYS]
    touched = []
    for file in sorted(set(files)):
        if is_documentation(file) or is_batch_data(file):
            continue
        if file == "soil.yaml":
            touched += [f"soil.yaml ({', '.join(keys)})"] if keys else []
            continue
        touched.append(file)
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


def _links(facts: DecisionInputs, origin: Origin) -> dict[str, str]:
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
    return links


def _proposal(facts: DecisionInputs, soil_yaml: SoilYaml, benchmark: Benchmark) -> Proposal | None:
    """The change's own judge beside main's, or None where the change leaves the judge alone."""
    keys = [key for key in soil_yaml.altered_keys() if key not in _FREE_KEYS]
    if not keys:
        return None
    differences = [_difference(key, soil_yaml) for key in keys if key != "policy"]
    try:
        own = Policy.model_validate(soil_yaml.merged("policy") or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        return Proposal(policy=facts.policy, benchmark=(*differences, f"policy.{where}: {first['msg']}"))
    again = judged_again(facts, own, benchmark)
    before = {p.name: p for p in facts.properties}
    properties: Any = {
        p.name: {"comparison": p.comparison}
        for p in again.properties
        if p.comparison is not None and p.comparison != before[p.name].comparison
    }
    return Proposal(policy=own, benchmark=tuple(differences), properties=properties)


def _difference(key: str, soil_yaml: SoilYaml) -> str:
    before, after = soil_yaml.fork.get(key), soil_yaml.head.get(key)
    if key == "catalogue":
        before, after = (dict(v) if isinstance(v, Mapping) else {} for v in (before, after))
        names = sorted(n for n in {*before, *after} if before.get(n) != after.get(n))
        limits = [
            f"{name}.{limit} {_short(_at(before, name, limit))} -> {_short(_at(after, name, limit))}"
            for name in names
            for limit in LIMITS
            if _at(before, name, limit) != _at(after, name, limit)
        ]
        return f"catalogue: {'; '.join(limits) or ', '.join(names)}. Main's limits are used."
    whose = "The change's own is used" if key in _PROPOSED_KEYS else "Main's is used"
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
        parts = [f"{key}.{k} {_short(before.get(k))} -> {_short(after.get(k))}" for k in keys]
        return f"{'; '.join(parts)}. {whose}."
    return f"{key}: {_short(before)} -> {_short(after)}. {whose}."


def _at(catalogue: Mapping[str, Any], name: str, limit: str) -> Any:
    entry = catalogue.get(name)
    return entry.get(limit) if isinstance(entry, Mapping) else None


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
