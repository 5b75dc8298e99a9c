"""The description: complete, without another host's pages, and kept to whatever is asked."""

from __future__ import annotations

import random
from typing import Any

import pytest

from soil_assets.benchmarks.serve_fuzz import fuzz
from soil_assets.serving.describe import EXAMPLE, REFUSALS
from soil_assets_tests.serving.registered import Client, body

JSON = {"content-type": "application/json"}


def test_it_says_what_it_takes_and_gives(client: Client) -> None:
    said = client.get("/openapi.json").json()
    predict = said["paths"]["/v1/predict"]["post"]
    assert (
        predict["requestBody"]["content"]["application/json"]["examples"]["two spectra"]["value"] == EXAMPLE
    )
    assert set(predict["responses"]) == {"200", *map(str, REFUSALS)}
    assert predict["security"] == [{"key": []}, {}]
    assert {p["name"] for p in predict["parameters"]} == {
        "filename", "quantity", "scale", "axis_unit", "properties", "levels", "preview",
    }  # fmt: skip
    assert client.get("/docs").status_code == 404  # FastAPI's page loads scripts from another host


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_whatever_the_description_allows_or_forbids(client: Client) -> None:
    found = fuzz(f"http://127.0.0.1:{client.port}", 600)
    assert found.cases >= 600
    assert found.statuses[200] > 20  # some reach the models
    assert found.statuses[422] > 100
    assert (found.server_errors, found.hangs, dict(found.nonconforming)) == (0, 0, {}), found.examples


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_few_bands_over_the_whole_range(client: Client, bands: int) -> None:
    asked = body([60])
    asked["axis"] = {"unit": "cm-1", "first": 4000.0, "last": 400.0}
    asked["spectra"][0]["intensities"] = [0.3] * bands
    reply = client.post("/v1/predict", json=asked)
    assert reply.status_code == (200 if bands == 4 else 422), reply.text


@pytest.mark.parametrize("seed", range(4))
def test_valid_requests_with_something_broken(client: Client, seed: int) -> None:
    """Near to valid, where a parser's mistakes are: one place of a real request holds something else."""
    rng = random.Random(seed)
    wrong: list[Any] = [None, True, "x", -1, 0, 1e308, 10**18, [], {}, [[1]], {"a": 1}, "\ud7ff", "9" * 500]
    for _ in range(60):
        asked = body([60, 61])
        holder: Any = asked
        while True:
            key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            inner = holder[key]
            if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
                holder = inner
                continue
            if rng.random() < 0.3 and isinstance(holder, dict):
                del holder[key]
            else:
                holder[key] = rng.choice(wrong)
            break
        reply = client.post("/v1/predict", json=asked)
        assert reply.status_code in (200, 400, 422), reply.text
        assert reply.headers["content-type"] == "application/json"
