"""A small platform that processes are killed on: its stores, its batches, and the stages of a batch's way to live.

Belongs here: the world and what is done in it. Does not belong here: killing (``fault_kills``), and what must hold
afterwards (``fault_invariants``).

Everything is the platform's own code on real spectra: a SQLite instance, MLflow's store in SQLite, a bare git
repository with the manifests of ``deploy/kubernetes``. Doing a stage again is what a person, or the daemon, does after
a crash.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from soil_assets.benchmarks.field_batches import FieldBatches
from soil_assets.config import Settings
from soil_assets.errors import BadInput
from soil_assets.storage import Store

ROOT = Path(__file__).resolve().parents[2]
MODEL = "soil-clay"
SCANS = 14
#: In the order in which a batch goes through them.
STAGES = ("ingest", "materialize", "train", "register", "release")
_WHO = "Ada Lovelace <ada@example.org>"


def settings_of(home: Path) -> Settings:
    """Return settings with one property, a coarse axis, and gates that let candidates through."""
    return Settings.model_validate(
        {
            "home": str(home),
            "properties": ["clay"],
            "axis": {"start": 3792, "stop": 552, "step": 20, "unit": "cm-1", "quantity": "absorbance"},
            "policy": {
                "model": {
                    "margin": 5.0,  # what a gate decides is not the question here
                    "min_rpiq": 0.1,
                    "when_cannot_tell": "warn",
                    "bootstrap": 200,
                }
            },
            "recipe": {"pretreatments": ["snv"]},
            "release": {"repository": str(home / "manifests.git")},
        }
    )


@dataclass
class World:
    """One platform below ``home``; ``landed`` remembers the scans and unreadable files of every dropped batch."""

    home: Path
    made: FieldBatches
    landed: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def settings(self) -> Settings:
        """Its settings."""
        return settings_of(self.home)

    @cached_property
    def definitions(self) -> Any:
        """Its definitions, with the jobs resolved: made once, before any fork."""
        from soil_assets.defs.backfill import JOB
        from soil_assets.defs.build import build_definitions

        made = build_definitions(self.settings)
        made.resolve_asset_graph()
        made.resolve_implicit_global_asset_job_def()
        for job in ("judge_batch", JOB):
            made.resolve_job_def(job)
        made.resolve_sensor_def("new_batches")
        return made

    @property
    def landing(self) -> Store:
        """Where batches are dropped."""
        return Store(self.settings.url("landing"))

    @contextmanager
    def instance(self) -> Iterator[Any]:
        """Open the world's Dagster instance, as ``dagster.yaml`` has it."""
        from soil_assets.defs.run import open_instance

        os.environ["SOIL_DAGSTER_STORAGE"] = str(self.home / "dagster")
        os.environ["SOIL_HOME"] = str(self.home)
        with open_instance(ROOT) as found:
            yield found

    @property
    def registry(self) -> Any:
        """The world's registry."""
        from soil_assets.defs.resources import registry_of

        return registry_of(self.settings)

    def drop(self, name: str, number: int) -> None:
        """Drop a whole batch; of every three one has a damaged scan, of every four one an unreadable file."""
        from dataclasses import replace

        from soil_assets.demo.batches import DemoBatch, land

        batch = self.made.make(number, SCANS)
        ids = [str(i) for i in batch.sample_ids]
        if number % 3 == 0:
            spectra = np.array(batch.spectra)
            spectra[4] = np.nan
            batch = replace(batch, spectra=spectra)
        if number % 4 == 1:
            self.landing.write(f"{name}/broken.asd", b"ASD\x00 cut short")
            ids.append("broken.asd")
        land(DemoBatch(name, "of the fault harness", lambda: batch), self.landing)
        self.landed[name] = ids

    def do(self, stage: str) -> None:
        """Do a stage from wherever it was left.

        Raises
        ------
        RuntimeError
            When a step ends in an error; a gate that says no is none.
        """
        steps = {"ingest": self._ingest, "materialize": self._materialize, "train": self._train}
        steps |= {"register": self._register, "release": self._release}
        steps[stage]()

    def _ingest(self) -> None:
        from soil_assets.defs.by_hand import tick

        with self.instance() as instance:
            _expect(tick(self.definitions, instance, "new_batches"))

    def _materialize(self) -> None:
        from soil_assets.defs.backfill import JOB
        from soil_assets.defs.by_hand import redo
        from soil_assets.defs.pipeline import add_landed_batches
        from soil_assets.defs.run import run_job

        with self.instance() as instance:
            _expect(redo(self.definitions, instance))
            add_landed_batches(instance, self.settings)
            done = run_job(self.definitions, instance, JOB)
            if not done.success:
                raise RuntimeError("; ".join(done.errors))

    def _train(self) -> None:
        from soil_assets.defs.by_hand import retrain

        with self.instance() as instance:
            _expect(retrain(self.definitions, instance, self.settings))

    def _register(self) -> None:
        from soil_assets.defs.by_hand import register_what_is_due

        with self.instance() as instance:
            _expect(register_what_is_due(self.definitions, instance, self.settings))

    def _release(self) -> None:
        from soil_assets.adapters.registry import Because
        from soil_assets.defs.releases import releases_of

        because = Because(_WHO, "the fault harness releases what was registered")
        releases = releases_of(self.settings, self.registry, "production")
        staged = self.registry.version_at(MODEL, "staging")
        if staged is None:
            return
        step = releases.stage({MODEL: staged.version}, "", because)
        if step.what != "live already":
            releases.record(step.state.idle.release, True, "as the harness says", because)
        slot = step.state.live if step.what == "live already" else step.state.idle
        releases.switch(because, slot.release)


def template(home: Path) -> None:
    """Make what every world starts from: frozen sets, the reference profile, empty registry, manifests.

    Raises
    ------
    BadInput
        Outside of a checkout.
    """
    from soil_assets.defs.run import run_selection

    if not (ROOT / "deploy" / "kubernetes").exists():
        raise BadInput("this bench needs a checkout", expected="deploy/kubernetes beside the package")
    world = World(home, FieldBatches())
    (home / "dagster").mkdir(parents=True)
    with world.instance() as instance:
        done = run_selection(world.definitions, instance, "reference_spectra,benchmark_spectra")
        if not done.success:
            raise RuntimeError("; ".join(done.errors))
    world.registry.reader().search_registered_models()
    tree = home / "tree"
    shutil.copytree(ROOT / "deploy" / "kubernetes", tree)
    who = ["-c", "user.name=harness", "-c", "user.email=harness@example.org"]
    for command in (
        ["init", "--quiet", "--initial-branch", "main"],
        ["add", "--all"],
        [*who, "commit", "--quiet", "-m", "start"],
    ):
        subprocess.run(["git", *command], cwd=tree, check=True)
    subprocess.run(
        ["git", "clone", "--quiet", "--bare", "--template=", str(tree), str(home / "manifests.git")],
        check=True,
    )
    shutil.rmtree(tree)


def copied(pristine: Path, home: Path, made: FieldBatches) -> World:
    """Return a world of its own that starts where the template ends."""
    shutil.copytree(pristine, home)
    return World(home, made)


def _expect(steps: Any) -> None:
    for step in steps:
        if step.outcome.errors:
            raise RuntimeError(f"{step.what}[{step.partition}]: {'; '.join(step.outcome.errors)}")
