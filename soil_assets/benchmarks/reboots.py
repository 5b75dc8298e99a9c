"""Reboots: daemon, code server and runs killed as one process group at a random instant, and started again.

Belongs here: starting, killing, waiting, and the journal that reboots add up in over runs. Does not belong here: what
people do meanwhile, and what must hold (``defs.interference``).

Nobody mends anything between a kill and the next start, but batches land, are replaced, and are interfered with. After
some reboots the platform is let live: then each batch is to have a verdict about what is landed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import yaml

from soil_assets.benchmarks.fault_world import ROOT, World

#: A platform that is let live has this long to give every batch its verdict.
PATIENCE_SECONDS = 600.0
_LOOK_SECONDS = 4.0
#: Reboots before the platform is let live.
ROUND = 5
_EARLIEST, _LATEST = 4.0, 45.0


@dataclass(frozen=True)
class Round:
    """Some reboots, and what was there after the platform was let live.

    Parameters
    ----------
    deeds : list of str
        What was done at each reboot.
    stuck, lost, wrong_version : int
        Batches.
    seconds : float
        Until everything was judged.
    broken : list of str
        What did not hold, in words.
    """

    code: str
    reboots: int
    stuck: int
    lost: int
    wrong_version: int
    seconds: float
    deeds: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


@dataclass
class Journal:
    """Rounds of all runs, one line each; only those of the present code count."""

    file: Path
    code: str

    def add(self, one: Round) -> None:
        """Append a line."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(one)) + "\n")

    def rounds(self) -> list[Round]:
        """Return the lines of the present code."""
        if not self.file.exists():
            return []
        lines = self.file.read_text(encoding="utf-8").splitlines()
        return [r for r in (Round(**json.loads(line)) for line in lines if line) if r.code == self.code]


def reboot(world: World, journal: Journal, enough: Callable[[], bool], seed: int) -> None:
    """Reboot a world in rounds until there were enough; ``world`` has its frozen sets."""
    from soil_assets.defs.interference import interfere

    rng = np.random.default_rng(seed)
    (world.home / "soil.yaml").write_text(
        yaml.safe_dump(world.settings.model_dump(mode="json", exclude_defaults=True)), encoding="utf-8"
    )
    number = 0
    while not enough():
        deeds = []
        for _ in range(ROUND):
            if rng.random() < 0.6 or not world.landed:
                number += 1
                world.drop(f"r{number:03d}", number)
            with platform_of(world):
                time.sleep(float(rng.uniform(_EARLIEST, _LATEST)))
                if rng.random() < 0.3:  # a batch that is replaced while it is under way
                    name = str(rng.choice(sorted(world.landed)))
                    number += 1
                    world.drop(name, number)
            with world.instance() as instance:
                deeds.append(interfere(instance, rng))
        journal.add(_let_live(world, journal.code, deeds))


def _let_live(world: World, code: str, deeds: list[str]) -> Round:
    from soil_assets.defs.interference import unsettled, was_asked_for, wrong_versions

    names, start = sorted(world.landed), time.monotonic()
    with platform_of(world), world.instance() as instance:
        while True:
            waiting = unsettled(instance, world.settings, names)
            seconds = time.monotonic() - start
            if not waiting or seconds > PATIENCE_SECONDS:
                break
            time.sleep(_LOOK_SECONDS)
        lost = [n for n in waiting if not was_asked_for(instance, world.settings, n)]
        wrong = wrong_versions(instance, world.settings, names)
    broken = [f"{name}: {reason}" for name, reason in waiting.items()]
    broken += [f"{name}: its stored bytes are not those of its version" for name in wrong]
    if broken:
        sys.stderr.write(f"reboots: after {deeds}: {broken}\n")
    stuck = len(waiting) - len(lost)
    return Round(code, len(deeds), stuck, len(lost), len(wrong), round(seconds, 1), deeds, broken)


@contextmanager
def platform_of(world: World) -> Iterator[None]:
    """Run a world's daemon, code server and runs; at the end their process group is killed with signal 9."""
    env = {
        **os.environ,
        "SOIL_HOME": str(world.home),
        "SOIL_DAGSTER_STORAGE": str(world.home / "dagster"),
        "SOIL_CONFIG": str(world.home / "soil.yaml"),
        "DAGSTER_HOME": str(ROOT),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "dagster._daemon", "run", "-m", "soil_assets.definitions"]
    with (world.home / "daemon.log").open("ab") as log:
        daemon = subprocess.Popen(
            command, cwd=world.home, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()
