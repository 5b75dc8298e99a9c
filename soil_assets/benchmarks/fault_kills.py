"""Killing: a worker forked from a warmed parent does a stage and is killed at a random instant; then it is resumed.

Belongs here: forking, killing, resuming, and the journal that kills add up in over runs. Does not belong here: what is
done (``fault_world``) and what must hold (``fault_invariants``).

The parent has imported everything and done every stage once in a world that is thrown away, so that a kill falls into
the work and not into imports. A resumed worker is killed again more often than not, so that recovery is killed, too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from soil_assets.benchmarks.fault_invariants import Found, look
from soil_assets.benchmarks.fault_world import STAGES, World, copied, template
from soil_assets.benchmarks.field_batches import FieldBatches

#: How often a resumed worker is killed again.
_AGAIN = 0.55
#: A worker that needs longer hangs.
_HANGS_SECONDS = 180.0
#: Rounds of one world; then another begins, so that a world stays small.
_ROUNDS = 5


@dataclass(frozen=True)
class Kill:
    """One kill, or one resumption that came to its end.

    Parameters
    ----------
    stage : str
    at : float
        Seconds after the worker's start at which it was killed.
    resumed : float or None
        Seconds that the worker needed which was let live; None for a kill.
    code : str
        Hash of the code that the platform is.
    """

    stage: str
    at: float
    code: str
    resumed: float | None = None
    rows_lost: int = 0
    rows_doubled: int = 0
    broken: tuple[str, ...] = ()


@dataclass
class Journal:
    """Kills of all runs, one line each; only those of the present code count."""

    file: Path
    code: str

    def add(self, kill: Kill) -> None:
        """Append a line; several processes may."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(kill)) + "\n")

    def entries(self) -> list[Kill]:
        """Return the lines of the present code."""
        if not self.file.exists():
            return []
        told = [
            json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
        kills = [Kill(**{**t, "broken": tuple(t["broken"])}) for t in told]
        return [k for k in kills if k.code == self.code]

    def count(self) -> int:
        """Return how many kills there were."""
        return sum(k.resumed is None for k in self.entries())


@dataclass
class Lane:
    """One line of worlds and workers; several lanes use several cores.

    Parameters
    ----------
    enough : callable
        Asked before every round whether there were enough kills.
    again : float
        How often a resumed worker is killed again.
    """

    pristine: Path
    folder: Path
    seed: int
    journal: Journal
    enough: Callable[[], bool]
    usual: dict[str, float] = field(default_factory=dict)
    again: float = _AGAIN

    def run(self) -> None:
        """Kill in world after world."""
        rng, made, worlds = np.random.default_rng(self.seed), FieldBatches(), 0
        while not self.enough():
            worlds += 1
            world = copied(self.pristine, self.folder / f"world-{self.seed}-{worlds}", made)
            _ = world.definitions
            for number in range(_ROUNDS):
                if self.enough():
                    break
                self._round(world, rng, 100 * self.seed + 10 * worlds + 2 * number)

    def _round(self, world: World, rng: np.random.Generator, number: int) -> None:
        for stage in STAGES:
            if stage in ("ingest", "materialize"):
                world.drop(f"{stage}-{number:04d}", number + (stage == "materialize"))
            self._stage(world, stage, rng)

    def _stage(self, world: World, stage: str, rng: np.random.Generator) -> None:
        killed = False
        while True:
            usual = self.usual.get(stage, 1.0)
            doomed = not killed or rng.random() < self.again
            at = float(rng.uniform(0.01, 1.05 * usual)) if doomed else _HANGS_SECONDS
            seconds, died, said = in_worker(lambda: world.do(stage), at)
            if died and not doomed:
                said, died = f"{stage} hangs for more than {_HANGS_SECONDS:g} s", False
            elif died:
                killed = True
                self._note(
                    Kill(stage, round(at, 3), self.journal.code), look_apart(world, stage, finished=False)
                )
                continue
            found = look_apart(world, stage, finished=not said)
            found.broken += [said] if said else []
            # Seconds of work from its beginning; a resumed worker finds some of it done.
            self.usual[stage] = seconds if not killed else max(usual, seconds)
            if killed or not found.holds:
                self._note(Kill(stage, 0.0, self.journal.code, round(seconds, 3)), found)
            return

    def _note(self, kill: Kill, found: Found) -> None:
        from dataclasses import replace

        if found.broken:
            sys.stderr.write(f"faults: {kill.stage} killed at {kill.at} s: {found.broken}\n")
        told = replace(
            kill, rows_lost=found.rows_lost, rows_doubled=found.rows_doubled, broken=tuple(found.broken)
        )
        self.journal.add(told)


def in_worker(work: Callable[[], object], kill_after: float) -> tuple[float, bool, str]:
    """Fork, work, and kill with signal 9 after so many seconds unless it is done.

    Returns
    -------
    (float, bool, str)
        Seconds, whether it was killed, and what it said when it failed.
    """
    with tempfile.TemporaryFile() as told:
        start = time.perf_counter()
        child = os.fork()
        if child == 0:
            _work(work, told.fileno())
        while time.perf_counter() - start < kill_after:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            time.sleep(min(0.005, max(0.0, kill_after - (time.perf_counter() - start))))
        else:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        seconds = time.perf_counter() - start
        told.seek(0)
        said = told.read().decode(errors="replace")
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return seconds, killed, said if not killed and status else ""


def look_apart(world: World, stage: str, *, finished: bool) -> Found:
    """Look at a world in a process of its own, so that the lane opens no database that its workers would inherit."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "found.json"

        def work() -> None:
            answer.write_text(json.dumps(look(world, stage, finished=finished).to_dict()), encoding="utf-8")

        _, killed, said = in_worker(work, _HANGS_SECONDS)
        if killed or not answer.exists():
            return Found(
                broken=[f"what is there after {stage} cannot be looked at: {said[-500:] or 'it hangs'}"]
            )
        return Found(**json.loads(answer.read_text(encoding="utf-8")))


def warmed(folder: Path) -> tuple[Path, dict[str, float]]:
    """Make the template, and do every stage in a world that is thrown away; return it and what each stage takes."""
    pristine = folder / "template"
    seconds, killed, said = in_worker(lambda: template(pristine), _HANGS_SECONDS)
    if killed or said:
        raise RuntimeError(f"the template could not be made: {said or seconds}")
    made = FieldBatches()
    world = copied(pristine, folder / "warm", made)
    for stage in STAGES:
        if stage in ("ingest", "materialize"):
            world.drop(stage, 9000 + (stage == "materialize"))
        world.do(stage)
    look(world, STAGES[-1], finished=True)
    usual = {}
    world = copied(pristine, folder / "measured", made)
    _ = world.definitions
    for stage in STAGES:
        if stage in ("ingest", "materialize"):
            world.drop(stage, 9002 + (stage == "materialize"))
        usual[stage], _, said = in_worker(_doing(world, stage), _HANGS_SECONDS)
        if said:
            raise RuntimeError(f"{stage} fails without being killed: {said}")
    return pristine, usual


def kill_in_lanes(
    folder: Path,
    journal: Journal,
    enough: Callable[[], bool],
    lanes: int,
    seed: int,
    again: float = _AGAIN,
    prepared: tuple[Path, dict[str, float]] | None = None,
) -> Iterator[str]:
    """Kill in several lanes until there were enough; yield what a lane said that failed itself.

    ``prepared`` is what :func:`warmed` gave for this process before.
    """
    pristine, usual = prepared or warmed(folder)
    sys.stderr.write("faults: stages take " + ", ".join(f"{s} {t:.1f} s" for s, t in usual.items()) + "\n")
    if lanes == 1:
        Lane(pristine, folder, seed, journal, enough, dict(usual), again).run()
        return
    children = []
    for number in range(lanes):
        child = os.fork()
        if child == 0:
            lane = Lane(pristine, folder, seed + number, journal, enough, dict(usual), again)
            _work(lane.run, sys.stderr.fileno())
        children.append(child)
    for number, child in enumerate(children):
        _, status = os.waitpid(child, 0)
        if status:
            yield f"lane {number} ended with status {status}"


def _doing(world: World, stage: str) -> Callable[[], Any]:
    return lambda: world.do(stage)


def _work(work: Callable[[], object], told: int) -> None:
    """Do a child's work and end it without the parent's own endings."""
    try:
        work()
    except BaseException as error:  # noqa: BLE001  # told to the parent, which counts it
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {str(error)[:1500]} ({place.filename}:{place.lineno})"
        os.write(told, said.encode())
        os._exit(3)
    os._exit(0)
