"""prometheus_client: figures as text for a collector, or behind a port that is scraped.

Belongs here: the form. Does not belong here: what the figures are (``defs.metrics``), and those that the prediction
service counts of itself (``serving.figures``).
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

#: Scrapes that come faster are answered from the last look: a platform is not asked more often than this.
LOOK_SECONDS = 15.0


@dataclass(frozen=True)
class Family:
    """All series of one gauge.

    Parameters
    ----------
    name, help : str
    labels : tuple of str
    samples : list of (values of the labels, figure)
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    samples: list[tuple[tuple[str, ...], float]] = field(default_factory=list)

    def add(self, *values: str, figure: float) -> None:
        """Add the figure of one series; ``values`` are those of the labels, in their order."""
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {len(values)}")
        self.samples.append((values, float(figure)))


def text(families: Iterable[Family]) -> str:
    """Return the families in Prometheus's text format.

    Raises
    ------
    BadInput
        When prometheus_client is not installed.
    """
    tool = _tool()
    registry = tool.CollectorRegistry()
    registry.register(_Collector(lambda: list(families)))
    return str(tool.generate_latest(registry).decode())


def write(families: Iterable[Family], file: Path) -> None:
    """Write the text so that a collector sees all of it or the one before.

    Raises
    ------
    BadInput
        When the name does not end in ``.prom``, which node_exporter's textfile collector wants, or has no folder.
    """
    if file.suffix != ".prom" or not file.parent.is_dir():
        raise BadInput(
            "figures cannot be written there",
            file=str(file),
            found=file.suffix if file.parent.is_dir() else "no such folder",
            expected="<name>.prom in the folder of node_exporter's textfile collector",
            mend="name such a file, or make the folder",
        )
    content = text(families)
    handle, waiting = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
        os.chmod(waiting, 0o644)  # the collector is another user
        os.replace(waiting, file)
    except BaseException:
        Path(waiting).unlink(missing_ok=True)
        raise


def serve(look: Callable[[], Sequence[Family]], port: int, host: str) -> tuple[int, Callable[[], None]]:
    """Answer scrapes on a port; return it (another one than asked for when that was 0), and what ends it.

    Raises
    ------
    BadInput
        When nobody may listen there, or prometheus_client is not installed.
    """
    tool = _tool()
    registry: CollectorRegistry = tool.CollectorRegistry()
    registry.register(_Collector(_Kept(look)))
    try:
        server, thread = tool.start_http_server(port, host, registry)
    except OSError as error:
        raise BadInput(
            "cannot listen there",
            found=f"{host}:{port}",
            expected="an address of this machine and a free port",
            mend=f"choose another ({error.strerror or error})",
        ) from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return int(server.server_port), stop


class _Kept:
    """The last look, while it is fresh; one thread looks, the others wait for it."""

    def __init__(self, look: Callable[[], Sequence[Family]]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._found: Sequence[Family] = ()
        self._until = 0.0

    def __call__(self) -> Sequence[Family]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._found = self._look()
                self._until = time.monotonic() + LOOK_SECONDS
            return self._found


class _Collector:
    def __init__(self, families: Callable[[], Sequence[Family]]) -> None:
        self._families = families

    def describe(self) -> list[Any]:
        return []  # registering asks for nothing

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        for family in self._families():
            gauge = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for values, figure in family.samples:
                gauge.add_metric(values, figure)
            yield gauge


def _tool() -> Any:
    try:
        import prometheus_client
    except ModuleNotFoundError:
        raise BadInput(
            "figures for Prometheus need the package prometheus_client",
            mend="install soil_assets with the extra 'serve'",
        ) from None
    return prometheus_client


def as_json(families: Iterable[Family]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the families as plain data: a list of series a name, each with its labels and its figure."""
    return {
        f.name: [
            {**dict(zip(f.labels, values, strict=True)), "value": figure} for values, figure in f.samples
        ]
        for f in families
    }
