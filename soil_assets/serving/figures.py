"""What the service counts of itself, in Prometheus's form.

Belongs here: names, labels and buckets. Labels hold few values each: never an id, a file name or a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from soil_assets.serving.live import LiveModels
    from soil_assets.serving.prediction_log import PredictionLog

_SECONDS = (0.002, 0.004, 0.006, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SPECTRA = (1, 2, 5, 10, 50, 100, 500, 1000, 5000, 10000)


class Figures:
    """Counters of one service."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double every series and tell nothing that is asked here
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "soil_requests", "Answered requests.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "soil_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.spectra = Histogram(
            "soil_request_spectra", "Spectra in a request.", buckets=_SPECTRA, registry=self.registry
        )
        self.predictions = Counter(
            "soil_predictions",
            "Predictions, by whether the sample lies inside what the model knows.",
            ["property", "inside"],
            registry=self.registry,
        )
        self.active = Gauge("soil_requests_active", "Requests being answered.", registry=self.registry)

        self._outcomes: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._insides: dict[str, tuple[Counter, Counter]] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        found = self._outcomes.get((route, status))
        if found is None:  # looking labels up takes longer than counting does
            found = self.requests.labels(route, str(status)), self.seconds.labels(route)
            self._outcomes[route, status] = found
        found[0].inc()
        found[1].observe(seconds)

    def watch(self, live: LiveModels, log: PredictionLog | None) -> None:
        """Show models, registry and prediction log too, as they are when figures are asked for."""
        self.registry.register(_State(live, log))

    def answered(self, prop: str, n: int, outside: int) -> None:
        """Count predictions of one property."""
        found = self._insides.get(prop)
        if found is None:
            found = self.predictions.labels(prop, "yes"), self.predictions.labels(prop, "no")
            self._insides[prop] = found
        if n > outside:
            found[0].inc(n - outside)
        if outside:
            found[1].inc(outside)

    def text(self) -> bytes:
        """Return the exposition."""
        return generate_latest(self.registry)


class _State:
    def __init__(self, live: LiveModels, log: PredictionLog | None) -> None:
        self._live, self._log = live, log

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        live = self._live
        models = GaugeMetricFamily(
            "soil_model_version", "Version that answers.", labels=["property", "model", "alias"]
        )
        for prop, one in live.current.models.items():
            models.add_metric([prop, one.name, one.alias or ""], one.version)
        yield models
        away = live.health.unreachable_since
        yield GaugeMetricFamily(
            "soil_registry_unreachable_since_seconds",
            "Since when the registry does not answer (Unix time); 0 while it does.",
            value=away or 0.0,
        )
        yield GaugeMetricFamily(
            "soil_models_refused",
            "Versions that an alias names and the service refused.",
            value=len(live.health.refused),
        )
        yield CounterMetricFamily("soil_model_moves", "Versions swapped in while running.", value=live.moves)
        if self._log is None:
            return
        counts = self._log.counts
        spectra = CounterMetricFamily(
            "soil_logged_spectra", "Spectra of the prediction log, by what became of them.", labels=["fate"]
        )
        spectra.add_metric(["written"], counts.written)
        spectra.add_metric(["dropped"], counts.dropped)
        yield spectra
        yield GaugeMetricFamily(
            "soil_logged_spectra_waiting",
            "Spectra waiting to be written to the prediction log.",
            value=self._log.waiting,
        )
        yield CounterMetricFamily(
            "soil_log_failures", "Failed writes of the prediction log.", value=counts.failures
        )
