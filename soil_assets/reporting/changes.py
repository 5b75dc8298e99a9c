"""What changed between main and a candidate, in words: assets, their code, data.

Belongs here: comparing two snapshots of the asset graph and two sets of content hashes. Does not belong here:
taking the snapshots (``defs``), differences of the policy (``policy_diff``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from soil_assets.errors import BadInput


@dataclass(frozen=True)
class Node:
    """One asset of a graph: the version of its code, what it depends on, the checks it carries."""

    code_version: str = ""
    depends_on: frozenset[str] = frozenset()
    checks: frozenset[str] = frozenset()


Graph = Mapping[str, Node]


def read_graph(raw: Mapping[str, Any]) -> dict[str, Node]:
    """Read a graph from JSON: ``{asset: {"code_version": ..., "depends_on": [...], "checks": [...]}}``.

    Raises
    ------
    BadInput
        Naming the asset whose entry does not fit.
    """
    graph = {}
    for name, entry in raw.items():
        fits = isinstance(entry, Mapping) and all(
            isinstance(entry.get(k, []), list) and all(isinstance(v, str) for v in entry.get(k, []))
            for k in ("depends_on", "checks")
        )
        if not fits:
            raise BadInput(
                "not an asset of a graph snapshot",
                column=str(name),
                found=repr(entry)[:120],
                expected='{"code_version": "...", "depends_on": [...], "checks": [...]}',
            )
        graph[str(name)] = Node(
            str(entry.get("code_version") or ""),
            frozenset(entry.get("depends_on", [])),
            frozenset(entry.get("checks", [])),
        )
    return graph


def graph_changes(before: Graph, after: Graph) -> tuple[str, ...]:
    """Say how two asset graphs differ.

    Parameters
    ----------
    before, after : mapping of str to Node
        Main's and the candidate's.

    Returns
    -------
    tuple of str
        One sentence a difference; a check that went is told first: it may hide what it would have found.
        Empty when nothing changed.
    """
    both = [name for name in before if name in after]
    lost_checks = [
        f"check {check} of {name} was taken away"
        for name in before
        for check in sorted(before[name].checks - (after[name].checks if name in after else frozenset()))
    ]
    told = [f"asset {name} was taken away" for name in before if name not in after]
    told += [f"asset {name} is new" for name in after if name not in before]
    for name in both:
        old, new = before[name], after[name]
        told += [f"check {check} of {name} is new" for check in sorted(new.checks - old.checks)]
        if old.code_version != new.code_version:
            told.append(f"code of {name} changed{_reaches(name, after)}")
        gained, lost = sorted(new.depends_on - old.depends_on), sorted(old.depends_on - new.depends_on)
        if gained:
            told.append(f"{name} now also depends on {', '.join(gained)}")
        if lost:
            told.append(f"{name} no longer depends on {', '.join(lost)}")
    return tuple(lost_checks + told)


def data_changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Say which data sets were added, taken away or changed, by their content hashes."""
    told = [f"data: {name} added ({_short(after[name])})" for name in after if name not in before]
    told += [f"data: {name} taken away" for name in before if name not in after]
    told += [
        f"data: {name} changed ({_short(before[name])} -> {_short(after[name])})"
        for name in before
        if name in after and before[name] != after[name]
    ]
    return tuple(told)


def _reaches(name: str, graph: Graph) -> str:
    """Name what is made anew because of a change in ``name``."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        found = {n for n, node in graph.items() if current in node.depends_on} - reached - {name}
        reached |= found
        waiting += found
    return f"; it reaches {_few(sorted(reached))}" if reached else ""


def _few(names: Iterable[str], shown: int = 4) -> str:
    listed = list(names)
    return ", ".join(listed[:shown]) + (f" and {len(listed) - shown} more" if len(listed) > shown else "")


def _short(digest: str) -> str:
    return digest[:12]
