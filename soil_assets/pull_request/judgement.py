"""Judgement of a validated pull request on main's side: its artifact against what main and GitHub say by themselves.

Belongs here: the order in which main's side looks, and what stops it. Does not belong here: what is expected
(``expectation``), judging models (``recomputation``), telling GitHub (``cli.comment``).
"""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.adapters import git
from soil_assets.adapters.github import GitHub
from soil_assets.config import Settings, main_limits, read_yaml, validated
from soil_assets.errors import BadInput
from soil_assets.pull_request.artifact import Claim, read_facts, read_models
from soil_assets.pull_request.baseline import BATCHES, MODELS, Baseline, bring
from soil_assets.pull_request.event import Head
from soil_assets.pull_request.expectation import Expectation, SoilYaml, batch_names, batches_of, properties_of
from soil_assets.pull_request.message import report_of, trusted
from soil_assets.pull_request.recomputation import (
    MainSide,
    disagreements,
    property_result,
    recipe_mismatch,
    task_mismatch,
)
from soil_assets.reporting.decision import DecisionReport
from soil_assets.reporting.decision_inputs import DecisionInputs, PropertyResult

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel

FROZEN = "soil_assets/benchmarks/frozen"
#: Seconds within which GitHub renews the merge of a pull request after main has moved.
MERGE_DELAY = 600.0


@dataclass(frozen=True)
class PullRequest:
    """A pull request as GitHub describes it: its head, its files, and where it left main.

    Parameters
    ----------
    number : int
    sha : str
        Its head commit.
    fork : str
        Commit of main from which it was started, or last merged with main.
    files : sequence of mapping
        ``filename``, ``previous_filename`` and ``status`` of each file that it touches.
    facts : mapping
        GitHub's own, for labels.
    """

    number: int
    sha: str
    fork: str
    files: Sequence[Mapping[str, Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """Paths that it touches; a renamed file under both of its names."""
        names = ("filename", "previous_filename")
        return [str(file[name]) for file in self.files for name in names if file.get(name)]


def judge_run(
    root: Path,
    settings: Settings,
    github: GitHub,
    pull_request: PullRequest,
    head: Head,
    claim: Claim,
    artifact: Path,
    baseline: Path | None,
    tell: Callable[[str], None],
) -> DecisionReport:
    """Report of a change, by main's code, policy, benchmark and models.

    Parameters
    ----------
    root : Path
        A checkout of main.
    settings : Settings
        Main's.
    baseline : Path or None
        What ``soil baseline`` wrote on this checkout for the claimed base; brought here when None.

    Raises
    ------
    BadInput
        When something that the judgement rests on cannot be had at all.
    """
    check_base(root, claim.base, pull_request, head.created)
    facts = read_facts(artifact)
    with ExitStack() as stack:
        folder = baseline
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "baseline"
            bring(root, claim.base, folder, tell)
        main = Baseline.read(folder)
        if main.commit != claim.base:
            raise BadInput(
                "the baseline is of another commit",
                file=str(folder),
                found=main.commit[:12] or "none",
                expected=claim.base[:12],
                mend=f"soil baseline --against {claim.base}",
            )
        if (
            main.source == "none"
            and git.file_at(root, str(git.commit_of(root, "HEAD")), "soil.yaml") is not None
        ):
            raise BadInput(
                "the change was compared with a commit of main from before main had settings",
                found=claim.base[:12],
                mend="bring the branch up to date with main",
            )
        soil_yaml = _soil_yaml(root, github, pull_request, claim.base)
        return report_of(
            _facts(
                root, settings, pull_request, head, claim, artifact, facts, main, folder, soil_yaml, github
            )
        )


def check_base(root: Path, base: str, pull_request: PullRequest, created: float | None = None) -> None:
    """Refuse a base that is no commit of main, or older than what GitHub merged the change with.

    A change that chose its own base would be compared with a worse model than main's.

    Parameters
    ----------
    created : float, optional
        Unix time at which the validating run began to exist: what had been on main for a while by then was merged.

    Raises
    ------
    BadInput
    """
    newest = git.commit_of(root, "HEAD")
    if newest is None or git.commit_of(root, base) is None or not git.is_ancestor(root, base, newest):
        raise BadInput(
            "the change was compared with a commit that main does not have",
            found=base[:12],
            expected=f"a commit of main's history up to {str(newest)[:12]}",
            mend="run validate again; a deeper checkout of main when its history is cut (fetch-depth)",
        )
    if "soil.yaml" in git.links_at(root, base):
        raise BadInput(
            "soil.yaml is a link", file=f"soil.yaml at {base[:12]}", mend="put the file itself there"
        )
    stated = str((pull_request.facts.get("base") or {}).get("sha") or "")
    bounds = [commit for commit in (pull_request.fork, stated) if commit]
    if not bounds or not all(git.is_ancestor(root, bound, base) for bound in bounds):
        raise BadInput(
            "the change was compared with a commit that is older than its own start",
            found=base[:12],
            expected=f"{' and '.join(b[:12] for b in bounds) or 'a known start'} or newer",
            mend="run validate again: it compares with what GitHub merged",
        )
    following = None if created is None else git.first_after(root, base, newest)
    if following is not None and created is not None and following[1] < created - MERGE_DELAY:
        raise BadInput(
            "the change was compared with a commit that main had left behind before the run began (by commit times)",
            found=base[:12],
            expected=f"{following[0][:12]} or newer",
            mend="bring the branch up to date with main",
        )


def removals(
    pull_request: PullRequest, soil_yaml: SoilYaml, settings: Settings, removed: Sequence[str]
) -> tuple[str, ...]:
    """Sentences for what the change takes away from main: properties, benchmark, golden reference."""
    sentences = [f"property {name} is removed: main has a model of it" for name in removed]
    statuses: dict[str, str] = {}
    for file in pull_request.files:
        statuses[str(file["filename"])] = str(file.get("status") or "modified")
        if file.get("previous_filename") and file.get("status") == "renamed":
            statuses[str(file["previous_filename"])] = "removed"
    for kind, label in (("benchmark", "benchmark"), ("reference", "golden reference")):
        default = Settings.model_fields[kind].default
        name = str(soil_yaml.base.get(kind, default))
        stated = str(soil_yaml.merged(kind) or default)
        if stated != name:
            sentences.append(f"the {label} {name} is replaced by {stated}; main's was used")
        touched = [s for path, s in statuses.items() if _defines(path, name)]
        if touched:
            effect = "removed" if "removed" in touched else "altered"
            sentences.append(f"the definition of the {label} {name} is {effect}; main's was used")
    return tuple(sentences)


def _defines(path: str, name: str) -> bool:
    """Whether a file is the definition of a frozen set, or part of the data that its name leads to."""
    if posixpath.normpath(path) == posixpath.normpath(f"{FROZEN}/{name}.yaml"):
        return True
    place = posixpath.normpath(name)
    return ("/" in name or "." in name) and (path == place or path.startswith(f"{place}/"))


def _facts(
    root: Path,
    settings: Settings,
    pull_request: PullRequest,
    head: Head,
    claim: Claim,
    artifact: Path,
    facts: DecisionInputs,
    main: Baseline,
    folder: Path,
    soil_yaml: SoilYaml,
    github: GitHub,
) -> DecisionInputs:
    from soil_assets.cli.inputs import batch_from, catalogue_of
    from soil_assets.defs.build import assets_of, blocking_of
    from soil_assets.defs.code_versions import science_versions
    from soil_assets.defs.gates import BATCH_CHAIN
    from soil_assets.defs.rejudge import known_samples
    from soil_assets.modeling.artifact import load

    properties, added, removed = properties_of(soil_yaml)
    own = _settings_of_change(settings, soil_yaml, properties)
    validated(soil_yaml.whole(), "soil.yaml after the merge")
    models = {p: load(folder / MODELS / p) for p in main.models}
    checks = blocking_of(assets_of(settings))
    paths = git.paths_at(root, claim.base, BATCHES)
    derived = set(main.batches) - batch_names(paths)
    batches, accepted = batches_of(paths, pull_request.files, BATCHES, sorted(derived))
    trained_on = [frozenset(dict(m.training.get("batches") or {})) for m in models.values()]
    expectation = Expectation(
        properties=properties,
        added=added,
        removed=removed,
        batches=batches,
        accepted=accepted,
        batch_checks=tuple(check for asset in BATCH_CHAIN for check in checks.get(asset, ())),
        training_checks=tuple(checks.get("training_set", ())),
        main_trains_on=frozenset().union(*trained_on) if trained_on else None,
        removals=removals(pull_request, soil_yaml, settings, removed),
    )
    benchmark = batch_from(settings.benchmark, settings)
    main_side = MainSide(models, benchmark, settings.policy, main.trend)
    catalogue = catalogue_of(own)
    candidates, unreadable = read_models(artifact, properties)
    missing = [f"{prop}: no model was uploaded that can be read ({why})" for prop, why in unreadable.items()]
    results = []
    for name in properties:
        no_main = name in added or main.source == "none"
        result, reasons = property_result(catalogue[name], candidates.get(name), main_side, added=no_main)
        results.append(result)
        missing += reasons
        if name in candidates:
            mismatch = recipe_mismatch(name, candidates[name], own)
            missing += [mismatch] if mismatch else []
            missing += task_mismatch(catalogue[name], candidates[name], own)
            missing += _same_by_another_recipe(result, candidates[name], models.get(name))
    missing += disagreements(facts, {r.name: r for r in results})
    return trusted(
        facts,
        expectation,
        results,
        missing,
        settings.policy,
        known_samples(benchmark, properties),
        soil_yaml,
        head.origin(
            claim,
            settings.alerts.ui_url,
            settings.branches.address(pull_request.facts, github.statuses(head.sha)),
        ),
        pull_request.paths,
        science_versions(),
        {name: dict(model.training.get("batches") or {}) for name, model in candidates.items()},
    )


def _same_by_another_recipe(
    result: PropertyResult, candidate: SoilModel, main: SoilModel | None
) -> list[str]:
    """Sentence on arrays that are main's although another learner is said to have made them."""
    if not result.identical or main is None:
        return []
    learners = [str(m.recipe.get("learner")) for m in (main, candidate)]
    if learners[0] == learners[1]:
        return []
    return [f"{result.name}: the uploaded arrays are main's, and the change's learner is {learners[1]}"]


def _settings_of_change(settings: Settings, soil_yaml: SoilYaml, properties: tuple[str, ...]) -> Settings:
    """Main's settings with what a change may propose: properties, axis, recipe, and catalogue with main's limits."""
    raw = settings.model_dump(mode="json")
    catalogue = main_limits(soil_yaml.merged_section("catalogue"), soil_yaml.base.get("catalogue"))
    proposed = {
        "properties": list(properties),
        "recipe": soil_yaml.merged_section("recipe"),
        "catalogue": catalogue,
        "axis": soil_yaml.merged_section("axis"),
    }
    return validated({**raw, **proposed}, "soil.yaml of the change")


def _soil_yaml(root: Path, github: GitHub, pull_request: PullRequest, base: str) -> SoilYaml:
    """``soil.yaml`` at the three commits that decide what the merge holds."""
    on_base = _parsed(git.file_at(root, base, "soil.yaml"), f"soil.yaml at {base[:12]}")
    if "soil.yaml" not in pull_request.paths:
        return SoilYaml(on_base, on_base, on_base)
    statuses = {str(f["filename"]): str(f.get("status")) for f in pull_request.files}
    absent = {pull_request.fork: "added", pull_request.sha: "removed"}
    contents = []
    for ref in (pull_request.fork, pull_request.sha):
        content = github.content("soil.yaml", ref)
        if content is None and statuses.get("soil.yaml") not in (absent[ref], "renamed", None):
            raise BadInput(
                "GitHub does not give a file that the change touches", file=f"soil.yaml at {ref[:12]}"
            )
        contents.append(_parsed(content, f"soil.yaml at {ref[:12]}"))
    return SoilYaml(contents[0], on_base, contents[1])


def _parsed(content: bytes | None, label: str) -> dict[str, Any]:
    if content is None:  # no file states no property; an empty file states the defaults
        return {"properties": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "soil.yaml"
        file.write_bytes(content)
        try:
            return read_yaml(file)
        except BadInput as error:
            raise BadInput(error.what, file=label, column=error.column, found=error.found) from None
