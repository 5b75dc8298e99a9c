"""What is worth telling a person, grouped and never more often than they can bear.

Belongs here: one message out of many events, and the quiet time after it. Does not belong here: where events come
from (``defs.alerts``) and how a message travels (``adapters.notify``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from soil_assets.reporting.escaping import markdown_text, safe_url

#: Partitions of one gate that a message names; the rest is counted.
NAMED = 10


@dataclass(frozen=True)
class Alert:
    """One thing that happened.

    Attributes
    ----------
    kind : 'gate', 'warning', 'run', 'tick' or 'freshness'
        A blocking check that failed, one that warns, a run that failed, a sensor or schedule that fails, an asset that
        is too old.
    subject : str
        The check, the job, the sensor or the asset.
    partition : str
        The batch or property, or empty.
    summary : str
        What the gate said. Untrusted: it may quote a sample id.
    link : str
        Where to look, or empty.
    """

    kind: Literal["gate", "warning", "run", "tick", "freshness"]
    subject: str
    partition: str
    summary: str
    link: str = ""

    @property
    def urgent(self) -> bool:
        """Whether something failed, as against something to look at."""
        return self.kind in ("gate", "run", "tick")

    @property
    def key(self) -> str:
        """What makes two alerts the same one again."""
        return f"{self.kind}:{self.subject}:{self.partition}"


@dataclass(frozen=True)
class Message:
    """One message: title, Markdown body, and whether anything in it failed."""

    title: str
    body: str
    urgent: bool


def due(
    alerts: Iterable[Alert], sent: Mapping[str, float], now: float, cooldown: float
) -> tuple[list[Alert], int, dict[str, float]]:
    """Tell apart the alerts to send from those said a moment ago.

    Parameters
    ----------
    sent : mapping
        When each alert's key was last sent, in seconds since the epoch.
    cooldown : float
        Seconds for which the same alert stays quiet after it was sent.

    Returns
    -------
    to_send : list of Alert
        One a key, the latest, in the order of their first appearance.
    quiet : int
        How many repetitions are not sent.
    sent : dict
        The times to remember; those past their quiet time are forgotten.
    """
    kept = {key: at for key, at in sent.items() if now - at < cooldown}
    latest: dict[str, Alert] = {}
    quiet = 0
    for alert in alerts:
        if alert.key in kept or alert.key in latest:
            quiet += 1
        if alert.key not in kept:
            latest[alert.key] = alert
    return list(latest.values()), quiet, kept | dict.fromkeys(latest, now)


def message(alerts: list[Alert], quiet: int = 0, deployment: str = "") -> Message:
    """Write one message for all alerts of a tick: what failed first, one heading a gate, its partitions below."""
    ordered = sorted(alerts, key=lambda a: (not a.urgent, a.kind, a.subject))
    failed = sum(a.urgent for a in ordered)
    counts = [(failed, "failed"), (len(ordered) - failed, "to look at")]
    title = "soil_assets" + (f" ({deployment})" if deployment else "") + ": "
    title += ", ".join(f"{n} {word}" for n, word in counts if n)
    lines = []
    for (kind, subject), group in groupby(ordered, key=lambda a: (a.kind, a.subject)):
        of_gate = list(group)
        lines.append(f"**{_WORDS[kind]} {markdown_text(subject)}**")
        lines.append("")
        lines += [f"- {_line(alert)}" for alert in of_gate[:NAMED]]
        if len(of_gate) > NAMED:
            lines.append(f"- and {len(of_gate) - NAMED} more")
        lines.append("")
    if quiet:
        lines.append(f"{quiet} repeated {'alert' if quiet == 1 else 'alerts'} not told again.")
    return Message(title, "\n".join(lines).strip() + "\n", failed > 0)


_WORDS = {
    "gate": "Gate failed:",
    "warning": "Warning:",
    "run": "Run failed:",
    "tick": "Cannot look:",
    "freshness": "Too old:",
}


def _line(alert: Alert) -> str:
    where = markdown_text(alert.partition) if alert.partition else ""
    address = safe_url(alert.link) if alert.link else None
    if address:
        where = f"[{where or 'open'}]({address})"
    said = markdown_text(alert.summary, 300)
    return f"{where}: {said}" if where and said else where or said
