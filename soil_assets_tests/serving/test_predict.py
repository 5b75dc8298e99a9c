"""What a client gets: the registry's figures, on any axis, with honest marks; and what it is told otherwise."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from typing import Any

import numpy as np
import pytest
import requests

from soil_assets.serving.describe import EXAMPLE
from soil_assets.spectra.parquet import to_parquet
from soil_assets_tests.delivery.models import field, model
from soil_assets_tests.serving.registered import Client, Home, body, client_of
from soil_assets_tests.shared import DATA

JSON = {"content-type": "application/json"}
FILE = {"content-type": "application/octet-stream"}


def refused(client: Client, status: int, **request: Any) -> dict[str, Any]:
    reply = client.post("/v1/predict", **request)
    assert reply.status_code == status, reply.text
    said = reply.json()
    assert said["request_id"] == reply.headers["x-request-id"]
    error: dict[str, Any] = said["error"]
    return error


def test_answers_are_the_models(client: Client) -> None:
    rows = range(60, 90)
    said = client.post("/v1/predict", json=body(list(rows))).json()
    for prop in ("clay", "ph"):
        table = model(prop).predict(field().take(list(rows)))
        found = [s["predictions"][prop] for s in said["samples"]]
        np.testing.assert_allclose([f["value"] for f in found], table["value"], rtol=1e-9)
        assert [f["inside"] for f in found] == table["inside"].tolist()
        assert [f["reason"] for f in found] == table["reason"].tolist()
        for k, level in enumerate(("68", "90", "95")):
            np.testing.assert_allclose(
                [f["intervals"][k]["lower"] for f in found], table[f"lower_{level}"], rtol=1e-9
            )
            np.testing.assert_allclose(
                [f["intervals"][k]["upper"] for f in found], table[f"upper_{level}"], rtol=1e-9
            )
        assert {(f["model"], f["version"], f["unit"]) for f in found} == {
            (f"soil-{prop}", 1, model(prop).unit)
        }
    assert [s["id"] for s in said["samples"]] == field().sample_ids.iloc[list(rows)].tolist()
    assert said["n"] == 30


def test_an_answer_does_not_depend_on_its_neighbours(client: Client) -> None:
    together = client.post("/v1/predict", json=body([60, 61, 62])).json()["samples"]
    alone = [client.post("/v1/predict", json=body([i])).json()["samples"][0] for i in (60, 61, 62)]
    for a, b in zip(together, alone, strict=True):
        assert a["predictions"]["clay"]["value"] == pytest.approx(
            b["predictions"]["clay"]["value"], rel=1e-12
        )


def test_another_axis_is_resampled(client: Client) -> None:
    from soil_assets.spectra.embedded import limesoda
    from soil_assets.spectra.harmonise import to_quantity

    measured = to_quantity(limesoda("NRW.115"), "absorbance").take([60, 61])
    asked = body(
        spectra=[{"intensities": r} for r in measured.spectra.astype(float).tolist()],
        axis={"unit": "nm", "values": (1e7 / measured.axis.values).tolist()},
    )
    said = client.post("/v1/predict", json=asked).json()["samples"]
    expected = model().predict(field().take([60, 61]))["value"]
    np.testing.assert_allclose([s["predictions"]["clay"]["value"] for s in said], expected, rtol=1e-3)
    assert [s["id"] for s in said] == ["1", "2"]


def test_reflectance_in_percent_is_converted(client: Client) -> None:
    spectra = 100 * 10.0 ** -field().take([60]).spectra.astype(float)
    asked = body(
        [60], spectra=[{"intensities": spectra[0].tolist()}], quantity="reflectance", scale="percent"
    )
    said = client.post("/v1/predict", json=asked).json()["samples"][0]
    expected = model().predict(field().take([60]))["value"].iloc[0]
    assert said["predictions"]["clay"]["value"] == pytest.approx(expected, rel=1e-4)
    assert said["warnings"] == []


def test_properties_and_levels_can_be_chosen(client: Client) -> None:
    said = client.post("/v1/predict", json=body([60], properties=["ph"], levels=[0.9])).json()
    [(prop, found)] = said["samples"][0]["predictions"].items()
    assert prop == "ph"
    assert [i["level"] for i in found["intervals"]] == [0.9]


def test_the_example_of_the_description_is_answered_and_marked(client: Client) -> None:
    said = client.post("/v1/predict", json=EXAMPLE).json()
    assert said["outside"] == {"clay": 2, "ph": 2}
    assert "over its limit" in said["samples"][0]["predictions"]["clay"]["reason"]


def test_a_short_range_is_never_extrapolated(client: Client) -> None:
    error = refused(client, 422, json=body(axis={"unit": "cm-1", "first": 3796, "last": 751}))
    assert "never extrapolated" in error["what"]
    assert error["found"].startswith("751")
    assert error["expected"].startswith("564") or error["expected"].startswith("552")


def test_percent_sent_as_a_fraction_is_never_inside(client: Client) -> None:
    """A model that standardises each spectrum cannot see this by itself."""
    asked = body([60, 61])
    asked["spectra"][0]["intensities"] = [40 * v for v in asked["spectra"][0]["intensities"]]
    first, second = client.post("/v1/predict", json=asked).json()["samples"]
    assert first["predictions"]["clay"]["inside"] is False
    assert "impossible intensities" in first["predictions"]["clay"]["reason"]
    assert "check quantity and scale" in first["warnings"][0]
    assert second["warnings"] == []
    assert second["predictions"]["clay"]["inside"] is bool(
        model().predict(field().take([61]))["inside"].iloc[0]
    )


def test_a_missing_intensity_gives_no_value(client: Client) -> None:
    asked = body([60, 61])
    asked["spectra"][1]["intensities"][5] = None
    first, second = client.post("/v1/predict", json=asked).json()["samples"]
    assert first["predictions"]["clay"]["value"] is not None
    found = second["predictions"]["clay"]
    assert (found["value"], found["inside"]) == (None, False)
    assert "missing" in found["reason"]
    assert second["warnings"] == ["1 of 204 intensities are missing"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have(client: Client, number: str) -> None:
    text = json.dumps(body([60])).replace('"intensities": [', f'"intensities": [{number}, ', 1)
    assert refused(client, 400, data=text, headers=JSON)["what"] == "the body is not JSON"


def test_overflow_is_a_missing_value(client: Client) -> None:
    asked = body([60])
    asked["spectra"][0]["intensities"][0] = 1e300
    found = client.post("/v1/predict", json=asked).json()["samples"][0]["predictions"]["clay"]
    assert found["value"] is None


@pytest.mark.parametrize(
    ("changes", "column", "word"),
    [
        ({"spectra": []}, "spectra", "no spectra"),
        ({"quantity": "transmittance"}, "quantity", "not a valid request"),
        ({"scale": "percent"}, "scale", "percent"),
        ({"axis": {"unit": "cm-1"}}, "axis", "not a valid request"),
        ({"axis": {"unit": "um", "first": 1, "last": 2}}, "axis.unit", "not a valid request"),
        ({"axis": {"unit": "cm-1", "values": [3.0, 1.0, 2.0]}}, "band 3", "not monotone"),
        ({"axis": {"unit": "cm-1", "values": [4000.0, 400.0]}}, "axis.values", "do not belong together"),
        ({"axis": {"unit": "cm-1", "first": 4000, "last": 4000}}, "band 2", "not monotone"),
        ({"properties": ["gold"]}, "properties", "does not predict"),
        ({"properties": []}, "properties", "not a valid request"),
        ({"levels": [0.5]}, "levels", "no interval"),
        ({"levels": [1.5]}, "levels.0", "not a valid request"),
        ({"versions": {"gold": 1}}, "versions", "does not predict"),
        ({"colour": "brown"}, "colour", "not a valid request"),
        ({"spectra": [{"intensities": [1.0, True, 2.0]}]}, "intensities.2", "not an intensity"),
        ({"spectra": [{"intensities": [1.0, "2", 2.0]}]}, "intensities.2", "not an intensity"),
        ({"spectra": [{"intensities": [1.0, [2], 2.0]}]}, "intensities.2", "not an intensity"),
        (
            {"spectra": [{"intensities": [1.0, 2.0]}, {"intensities": [1.0]}]},
            "intensities",
            "different numbers",
        ),
        ({"spectra": [{"intensities": [1.0]}]}, "intensities", "not a spectrum"),
        ({"spectra": [{"id": 5, "intensities": [1.0, 2.0]}]}, "id", "not an id"),
        ({"spectra": [{"id": "a"}]}, "intensities", "not a spectrum"),
        ({"spectra": [[1.0, 2.0]]}, "(whole)", "not a spectrum"),
        ({"spectra": "many"}, "spectra", "no spectra"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    client: Client, changes: dict[str, Any], column: str, word: str
) -> None:
    error = refused(client, 422, json=body(**changes))
    assert word in error["what"]
    assert error["column"] == column


@pytest.mark.parametrize("text", [b"", b"{", b"[1", b"\xff\xfe", b'{"spectra": [' * 2000])
def test_what_is_no_json(client: Client, text: bytes) -> None:
    assert refused(client, 400, data=text, headers=JSON)["what"] == "the body is not JSON"


@pytest.mark.parametrize("text", [b"1", b"null", b"[]", b'"a"'])
def test_json_that_is_no_request(client: Client, text: bytes) -> None:
    assert refused(client, 422, data=text, headers=JSON)["what"] == "not a valid request"


def test_another_version_than_asked_for(client: Client) -> None:
    assert client.post("/v1/predict", json=body([60], versions={"clay": 1})).status_code == 200
    error = refused(client, 409, json=body([60], versions={"clay": 7}))
    assert (error["found"], error["expected"]) == ("version 1", "version 7")


def test_what_json_says_is_said_in_its_body(client: Client) -> None:
    reply = client.post("/v1/predict?properties=clay", json=body([60]))
    assert reply.status_code == 422
    assert reply.json()["error"]["column"] == "query properties"


@pytest.mark.parametrize(
    "kind", [None, "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
def test_a_body_of_unknown_kind(client: Client, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    assert "--data-binary" in refused(client, 415, data=b"a=b", headers=headers)["mend"]


def test_a_gzipped_request(client: Client) -> None:
    plain = client.post("/v1/predict", json=body([60])).json()["samples"]
    packed = gzip.compress(json.dumps(body([60])).encode())
    sent = client.post("/v1/predict", data=packed, headers={**JSON, "content-encoding": "gzip"})
    assert sent.json()["samples"] == plain
    assert refused(client, 400, data=packed[:-20], headers={**JSON, "content-encoding": "gzip"})[
        "what"
    ].endswith("cut")
    assert refused(client, 400, data=b"{}", headers={**JSON, "content-encoding": "gzip"})
    assert refused(client, 415, data=packed, headers={**JSON, "content-encoding": "br"})


def _parquet(rows: list[int]) -> bytes:
    target = io.BytesIO()
    to_parquet(field().take(rows), target)
    return target.getvalue()


def _csv(rows: list[int]) -> bytes:
    batch = field().take(rows)
    head = ",".join(["sample_id", *(f"{v!r}" for v in batch.axis.values.tolist())])
    lines = [
        ",".join([i, *map(repr, row)])
        for i, row in zip(batch.sample_ids, batch.spectra.tolist(), strict=True)
    ]
    return "\n".join([head, *lines]).encode()


@pytest.mark.parametrize(("name", "make"), [("a.parquet", _parquet), ("a.csv", _csv)])
def test_a_file_is_answered_like_its_spectra(client: Client, name: str, make: Any) -> None:
    said = client.post(
        f"/v1/predict?filename={name}&properties=clay&preview=true", data=make([60, 61]), headers=FILE
    )
    assert said.status_code == 200, said.text
    samples = said.json()["samples"]
    expected = model().predict(field().take([60, 61]))
    np.testing.assert_allclose(
        [s["predictions"]["clay"]["value"] for s in samples], expected["value"], rtol=1e-3
    )
    assert [s["id"] for s in samples] == expected["sample_id"].tolist()
    assert len(said.json()["preview"]["intensities"]) == 2


@pytest.mark.shared
def test_an_instruments_file(client: Client) -> None:

    folder = DATA / "yamsys_mir_opus"
    found = sorted(folder.rglob("*.0"))
    if not found:
        pytest.skip("no instrument files beside the repository")
    reply = client.post("/v1/predict?filename=scan.0", data=found[0].read_bytes(), headers=FILE)
    assert reply.status_code == 200, reply.text
    assert reply.json()["n"] == 1


@pytest.mark.parametrize(
    ("query", "content", "status", "word"),
    [
        ("filename=a.csv", b"", 422, "empty"),
        ("filename=a.csv", b"sample_id,clay\na,1\n", 422, "no spectra"),
        ("filename=a.0", b"\x0a\x0a\xfe\xfe" + bytes(400), 422, ""),
        ("filename=a.parquet", b"PAR1" + bytes(100) + b"PAR1", 422, "Parquet"),
        ("filename=../../etc/passwd", b"sample_id,clay\na,1\n", 422, "no spectra"),
        ("colour=brown", b"x", 422, "not a valid request"),
        ("levels=x", b"x", 422, "not a valid request"),
    ],
)
def test_files_that_cannot_be_used(
    client: Client, query: str, content: bytes, status: int, word: str
) -> None:
    reply = client.post(f"/v1/predict?{query}", data=content, headers=FILE)
    assert reply.status_code == status, reply.text
    assert word in reply.json()["error"]["what"]
    assert tempfile.gettempdir() not in reply.text  # a client is not told of this machine's folders
    assert "soil-upload" not in reply.text


def test_limits(shared_home: Home, home: Home) -> None:
    with client_of(home, max_spectra=2, max_body_mb=1, max_unpacked_mb=2) as client:
        assert client.post("/v1/predict", json=body([60, 61])).status_code == 200
        assert refused(client, 413, json=body([60, 61, 62]))["found"] == "3"
        assert refused(client, 413, data=b" " * (2 << 20), headers=JSON)["found"] == "2 MB"
        packed = gzip.compress(b" " * (300 << 20), compresslevel=9)  # 300 kB that unpack to 300 MB
        assert len(packed) < 1 << 20
        assert (
            "unpacks"
            in refused(client, 413, data=packed, headers={**JSON, "content-encoding": "gzip"})["what"]
        )
        assert refused(client, 422, data=packed, headers={**FILE})["what"]
        said = refused(client, 413, data=_parquet([60, 61, 62]), headers=FILE)
        assert said["what"] == "too many spectra in one file"


def test_a_million_spectra_are_refused_before_any_is_looked_at(client: Client) -> None:
    text = b'{"spectra": [' + b",".join([b"{}"] * 1_000_000) + b'], "quantity": "absorbance"}'
    assert refused(client, 413, data=text, headers=JSON)["what"] == "too many values in one request"


def test_a_body_of_unknown_length_stops_at_the_limit(home: Home) -> None:
    with client_of(home, max_body_mb=1) as client:
        sent = 0

        def pieces() -> Any:
            nonlocal sent
            for _ in range(64):
                sent += 1 << 16
                yield b" " * (1 << 16)

        assert refused(client, 413, data=pieces(), headers=JSON)["what"] == "the request is too large"


def test_too_long_an_answer_is_given_up(home: Home) -> None:
    with client_of(home, answer_seconds=1e-6) as client:
        assert refused(client, 504, json=body([60]))["what"] == "the answer took too long"


def test_a_busy_service_says_so(home: Home) -> None:
    with client_of(home, max_requests=1) as client, client.service.places.place("another"):
        reply = client.post("/v1/predict?filename=a.parquet", data=_parquet([60]), headers=FILE)
        assert reply.status_code == 503
        assert reply.headers["retry-after"] == "1"
        assert client.get("/healthz").status_code == 200
        assert client.post("/v1/predict", json=body([60])).status_code == 200  # has a lane of its own


def test_models_and_probes(client: Client) -> None:
    listed = client.get("/v1/models").json()["models"]
    assert [(m["property"], m["version"], m["alias"]) for m in listed] == [
        ("clay", 1, "staging"),
        ("ph", 1, "staging"),
    ]
    assert listed[0]["axis"]["bands"] == 204
    assert client.get("/healthz").json() == {"status": "alive"}
    ready = client.get("/readyz").json()
    assert ready["models"] == {"soil-clay": 1, "soil-ph": 1}
    assert ready["registry"]["reachable"] is True


def test_figures(home: Home) -> None:
    with client_of(home) as client:
        client.post("/v1/predict", json=EXAMPLE)
        client.post("/v1/predict", data=b"{", headers=JSON)
        client.get("/nowhere/at-all")
        text = client.get("/metrics").text
    assert 'soil_requests_total{route="/v1/predict",status="200"} 1.0' in text
    assert 'soil_requests_total{route="/v1/predict",status="400"} 1.0' in text
    assert 'soil_requests_total{route="other",status="404"} 1.0' in text
    assert 'soil_predictions_total{inside="no",property="clay"} 2.0' in text
    assert 'soil_model_version{alias="staging",model="soil-clay",property="clay"} 1.0' in text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/predict", 405)]
)
def test_errors_of_http_are_json_too(client: Client, method: str, path: str, status: int) -> None:
    reply = client.request(method, path)
    assert reply.status_code == status
    assert reply.json()["error"]["what"]
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", [b"\xff\xfe", b"caf\xe9", b"\xed\xa0\x80", "\u202eabc".encode(), b"a\x00b"])
def test_a_damaged_name_is_still_a_name(client: Client, name: bytes) -> None:
    table = _csv([60]).replace(field().sample_ids.iloc[60].encode(), name)
    reply = client.post("/v1/predict?filename=a.csv", data=table, headers=FILE)
    assert reply.status_code in (200, 422), reply.text
    assert reply.json()


def test_large_requests_are_answered_one_at_a_time(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is worked on holds several times the room of what was sent."""
    import threading
    import time

    from soil_assets.serving import service as module

    answer, at_once, most = module._Work.of, 0, 0

    def watched(*args: Any) -> bytes:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.05)
        at_once -= 1
        return answer(*args)

    monkeypatch.setattr(module._Work, "of", watched)
    large = json.dumps(body(range(60, 70)) | {"spectra": body(range(60, 70))["spectra"] * 10}).encode()
    statuses = []
    with client_of(home) as client:
        url = f"http://127.0.0.1:{client.port}/v1/predict"
        senders = [
            threading.Thread(
                target=lambda: statuses.append(
                    requests.post(url, data=large, headers=JSON, timeout=60).status_code
                )
            )
            for _ in range(4)
        ]
        for s in senders:
            s.start()
        for s in senders:
            s.join()
    assert (statuses, most) == ([200] * 4, 1)
