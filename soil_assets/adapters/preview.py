"""A preview Service asked over HTTP: which versions it has, and what it says of probe spectra.

Belongs here: requests and waiting. Does not belong here: judging the answers (``delivery.smoke``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from soil_assets.delivery.smoke import Observed
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel
    from soil_assets.spectra.batch import SpectralBatch

_PATIENCE = 30.0


@dataclass(frozen=True)
class Seen:
    """What the preview said last while it was waited for."""

    ready: bool
    models: dict[str, int]
    words: str
    seconds: float


class Preview:
    """The preview Service at one address.

    Parameters
    ----------
    url : str
    key : str
        API key; sent as a bearer token.
    """

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.password:
            raise BadInput(
                "not the address of a preview Service",
                found=f"{parts.scheme}://{parts.hostname}" if parts.password else repr(url),
                expected="http://soil-preview.soil-staging.svc:8080",
                mend="set release.previews in soil.yaml, or give --preview",
            )
        self.url = url.rstrip("/")
        self._key = key

    def wait_for(
        self,
        wanted: Mapping[str, int],
        seconds: float,
        tell: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Seen:
        """Ask until exactly the wanted versions answer, or the time is over; return what was seen last."""
        began = time.monotonic()
        pause, last = 0.2, ""
        while True:
            models, words = self._ready()
            spent = time.monotonic() - began
            if models == dict(wanted):
                return Seen(True, models, "ready", spent)
            if words != last:
                tell(words)
                last = words
            if spent + pause > seconds:
                return Seen(False, models, words, spent)
            sleep(pause)
            pause = min(pause * 1.5, 5.0)

    def ask(
        self, batch: SpectralBatch, properties: Mapping[str, str], versions: Mapping[str, int]
    ) -> Observed:
        """Send each spectrum by itself, then all of them together; return what came back, in that order.

        Parameters
        ----------
        batch : SpectralBatch
            Probe spectra, on any axis.
        properties : mapping
            Property by registered model.
        versions : mapping
            Version by registered model that must answer.
        """
        import requests

        found: dict[str, list[Mapping[str, Any] | None]] = {m: [] for m in properties}
        latencies: list[float] = []
        errors: list[str] = []
        with requests.Session() as session:
            session.headers.update(self._headers())
            self._post(session, self._request(batch.take([0]), properties, versions))  # opens the connection
            for i in range(len(batch)):
                began = time.perf_counter()
                said, problem = self._post(session, self._request(batch.take([i]), properties, versions))
                if problem:
                    errors.append(problem)
                else:
                    latencies.append(1e3 * (time.perf_counter() - began))
                for model, prop in properties.items():
                    found[model].append(_figures(said, 0, prop))
            said, problem = self._post(session, self._request(batch, properties, versions))
            if problem:
                errors.append(f"all spectra together: {problem}")
            for model, prop in properties.items():
                found[model] += [_figures(said, i, prop) for i in range(len(batch))]
            nonsense = self._status(session, {"spectra": [], "axis": {"unit": "inch"}, "quantity": "colour"})
        return Observed(found, latencies, errors, 400 <= nonsense < 500, together=0 if problem else 1)

    def _request(
        self, batch: SpectralBatch, properties: Mapping[str, str], versions: Mapping[str, int]
    ) -> dict[str, Any]:
        ids = batch.samples["sample_id"].astype(str)
        return {
            "spectra": [
                {"id": f"{i}-{name}"[:200], "intensities": row}
                for i, (name, row) in enumerate(zip(ids, batch.spectra.astype(float).tolist(), strict=True))
            ],
            "axis": {"unit": batch.axis.unit, "values": batch.axis.values.tolist()},
            "quantity": batch.quantity,
            "properties": sorted(properties.values()),
            "versions": {prop: versions[model] for model, prop in properties.items()},
        }

    def _post(self, session: Any, body: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        import requests

        try:
            answer = session.post(
                f"{self.url}/v1/predict", json=body, timeout=_PATIENCE, allow_redirects=False
            )
            if answer.status_code != 200:
                return {}, f"status {answer.status_code}: {answer.text[:200]}"
            said = answer.json()
        except (requests.RequestException, ValueError) as error:
            return {}, f"{type(error).__name__}: {error}"[:200]
        return (said, "") if isinstance(said, dict) else ({}, "the answer is no JSON object")

    def _status(self, session: Any, body: Mapping[str, Any]) -> int:
        import requests

        try:
            answer = session.post(
                f"{self.url}/v1/predict", json=body, timeout=_PATIENCE, allow_redirects=False
            )
        except requests.RequestException:
            return 0
        return int(answer.status_code)

    def _ready(self) -> tuple[dict[str, int], str]:
        import requests

        try:
            answer = requests.get(
                f"{self.url}/readyz", timeout=5, allow_redirects=False, headers=self._headers()
            )
            said = answer.json()
            models = {str(k): int(v) for k, v in said["models"].items()}
        except requests.RequestException as error:
            return {}, f"the preview does not answer: {type(error).__name__}"
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}, f"the preview answers with status {answer.status_code} and no list of models"
        words = ", ".join(f"{n} {v}" for n, v in sorted(models.items())) or "no model"
        return (models if answer.status_code == 200 else {}), f"the preview has {words}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}


def expected_figures(model: SoilModel, batch: SpectralBatch) -> list[dict[str, Any]]:
    """Return what the registry's model says of each spectrum, in the form and order of :meth:`Preview.ask`."""
    import math

    table = model.predict(batch)
    bounds = [c for c in table.columns if c.startswith(("lower_", "upper_"))]
    return [
        {
            **{k: float(row[k]) if math.isfinite(row[k]) else None for k in ("value", *bounds)},
            "inside": bool(row["inside"]),
        }
        for row in [*table.to_dict("records")] * 2
    ]


def _figures(said: Mapping[str, Any], index: int, prop: str) -> dict[str, Any] | None:
    """Return one spectrum's figures of an answer, by the names of the model's own table."""
    from soil_assets.modeling.intervals import level_name

    try:
        found = said["samples"][index]["predictions"][prop]
        figures = {"value": found["value"], "inside": found["inside"]}
        for interval in found["intervals"]:
            name = level_name(interval["level"])
            figures[f"lower_{name}"], figures[f"upper_{name}"] = interval["lower"], interval["upper"]
    except (KeyError, IndexError, TypeError):
        return None
    return figures
