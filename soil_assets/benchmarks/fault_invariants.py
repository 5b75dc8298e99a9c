"""What must hold on a platform whose processes are killed, at any moment and after everything was resumed.

Belongs here: looking, and naming what does not hold. Does not belong here: the world (``fault_world``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soil_assets.benchmarks.fault_world import MODEL, World
from soil_assets.storage import Store, hash_of_files


@dataclass
class Found:
    """What does not hold: rows by number, everything else in words."""

    rows_lost: int = 0
    rows_doubled: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not (self.rows_lost or self.rows_doubled or self.broken)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return vars(self)

    def compare(self, landed: list[str], seen: list[str], where: str) -> None:
        """Count rows that are not there, and those that are there too often."""
        wanted, have = Counter(landed), Counter(seen)
        lost, doubled = wanted - have, have - wanted
        self.rows_lost += lost.total()
        self.rows_doubled += doubled.total()
        if lost or doubled:
            self.broken.append(f"{where}: lost {sorted(lost)[:5]}, doubled {sorted(doubled)[:5]}")


def look(world: World, stage: str, *, finished: bool) -> Found:
    """Look at a world.

    Parameters
    ----------
    stage : str
        The stage that is being done; those before it are finished.
    finished : bool
        Whether this stage is finished, too; else it was killed, and only what is always true is looked at.
    """
    found = Found()
    _rows(world, found)
    found.broken += _partial(world)
    found.broken += _registry(world)
    if finished:
        with world.instance() as instance:
            _everything_judged(world, instance, found)
        if stage in ("train", "register", "release"):
            _training(world, found)
        found.broken += _aliases_follow(world)
        if stage == "release":
            found.broken += _live_is_production(world)
    return found


def _rows(world: World, found: Found) -> None:
    """Landed = accepted + quarantined, scan by scan, in every batch that has a verdict."""
    from soil_assets.defs.io import has_value, load_value

    data = Store(world.settings.url("data"))
    for name, landed in world.landed.items():
        if has_value(data, "validated_batches", name):
            value = load_value(data, "validated_batches", name)
            names = value.quarantine["sample_id"].fillna(value.quarantine["source_file"])
            found.compare(landed, [*map(str, value.accepted.sample_ids), *map(_base, names)], name)


def _partial(world: World) -> Iterator[str]:
    """Every visible file is whole: values by their hash, copies by their original, pages by their end."""
    data = Store(world.settings.url("data"))
    for pointer in Path(data.url, "assets").rglob("current.json"):
        told = json.loads(pointer.read_text(encoding="utf-8"))
        folder = pointer.parent / told["sha256"][:20]
        files = {n: (folder / n).read_bytes() for n in told["files"] if (folder / n).exists()}
        if sorted(files) != told["files"] or hash_of_files(files) != told["sha256"]:
            yield f"{pointer.parent.relative_to(data.url)}: its files are not what it names"
    landing = Path(world.landing.url)
    for copy in (p for p in Path(data.url, "raw").rglob("*") if p.is_file()):
        batch, _, *inside = copy.relative_to(Path(data.url, "raw")).parts
        if copy.read_bytes() != landing.joinpath(batch, *inside).read_bytes():
            yield f"raw copy of {batch}: {'/'.join(inside)} is cut"
    reports = Path(world.settings.url("reports"))
    for page in reports.rglob("*.html"):
        if not page.read_text(encoding="utf-8").rstrip().endswith("</html>"):
            yield f"page {page.relative_to(reports)} is cut"
    for kept in [*Path(data.url, "judged").rglob("*.json"), *reports.rglob("*.json")]:
        try:
            json.loads(kept.read_text(encoding="utf-8"))
        except ValueError:
            yield f"{kept.name} is cut"


def _registry(world: World) -> Iterator[str]:
    """No version without its lineage or its model, none made twice; the history is linear and its seals fit."""
    from soil_assets.adapters import journal
    from soil_assets.adapters.mlflow import DIGEST_TAG
    from soil_assets.adapters.registry import Evidence

    registry = world.registry
    versions = registry.versions(MODEL)
    for version in versions:
        evidence = Evidence.of(version)
        lacks = [t for t in (DIGEST_TAG, "soil.training_set", "soil.model_uri") if not version.tags.get(t)]
        if evidence is None or not evidence.checks or not all(evidence.checks.values()):
            lacks.append("passed checks")
        if evidence is None or len(evidence.data) != 3 or not all(evidence.data.values()):
            lacks.append("data hashes")
        if evidence is None or not evidence.commit or not Path(evidence.report).exists():
            lacks.append("commit and report")
        if lacks:
            yield f"version {version.version} without lineage: {', '.join(lacks)}"
        registry.load_version(version)
    twice = [u for u, n in Counter(v.tags.get("soil.model_uri") for v in versions).items() if n > 1]
    if twice:
        yield f"registered twice: {twice}"
    history = journal.read(registry, MODEL)
    if history.broken:
        yield f"seals of the history broken at {history.broken}"
    if [e.after for e in history.entries] != [0, *(e.number for e in history.entries)][
        : len(history.entries)
    ]:
        yield "the history is not linear"
    if not set(history.places.values()) <= {v.version for v in versions}:
        yield f"aliases {history.places} name versions that are not there"


def _everything_judged(world: World, instance: Any, found: Found) -> None:
    """Every batch has one verdict of each gate on its landed content, and was judged by one run that lived."""
    from soil_assets.defs.judgements import judgements

    told = judgements(instance, world.settings, sorted(world.landed))
    for name, landed in world.landed.items():
        seen = told.get(name)
        if seen is None:
            found.rows_lost += len(landed)
            found.broken.append(f"{name} was never judged")
        elif seen.open_gates or seen.living_runs > 1 or seen.records != 1:
            found.broken.append(f"{name} is not judged exactly once: {seen}")


def _training(world: World, found: Found) -> None:
    """Every accepted scan of every batch that training takes is in the training set once."""
    from soil_assets.defs.io import load_value

    data = Store(world.settings.url("data"))
    samples = load_value(data, "training_set").samples
    for name in sorted(set(samples["batch"]) - {"reference"}):
        accepted = load_value(data, "validated_batches", name).accepted.sample_ids
        there = samples.loc[samples["batch"] == name, "sample_id"]
        found.compare([str(i) for i in accepted], [str(i) for i in there], f"training set, {name}")


def _aliases_follow(world: World) -> Iterator[str]:
    from soil_assets.adapters import journal

    places, aliases = journal.read(world.registry, MODEL).places, world.registry.aliases(MODEL)
    if places != aliases:
        yield f"aliases {aliases} are not where the history says: {places}"


def _live_is_production(world: World) -> Iterator[str]:
    from soil_assets.defs.releases import releases_of

    releases = releases_of(world.settings, world.registry, "production")
    state = releases.state()
    staged = world.registry.aliases(MODEL).get("staging")
    if staged is not None and state.live.models.get(MODEL) != staged:
        yield f"live is {state.live.models}, staged was version {staged}"
    if releases.followed(state):
        yield f"the alias does not follow what is live: {releases.followed(state)}"


def _base(name: object) -> str:
    return str(name).rsplit("/", 1)[-1]
