"""Registries read without mlflow: a served one (users, proxied artifacts), a file, and what is neither."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soil_assets.adapters.registry_reader import RegistryUnreachableError, RestReader, SqliteReader, reader_of
from soil_assets.errors import BadInput
from soil_assets.serving.live import Followed, LiveModels
from soil_assets.serving.model_store import ModelStore
from soil_assets_tests.delivery.models import field, model, registered
from soil_assets_tests.serving.registered import Home

PASSWORD = "a-long-enough-password"
USER = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server with users and one version."""
    from soil_assets.adapters.mlflow import Registry
    from soil_assets_tests.delivery.servers import mlflow_server

    with (
        pytest.MonkeyPatch.context() as patch,
        mlflow_server(Path(tmp_path_factory.mktemp("mlflow")), PASSWORD) as at,
    ):
        for name, value in USER.items():
            patch.setenv(name, value)
        assert registered(Registry(at, "soil-staging", "unused"), "soil-clay") == 1
        yield at


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_served_registry(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = RestReader(address, USER)
    assert reader.at_alias("soil-clay", "staging") == 1
    assert reader.at_alias("soil-clay", "production") is None
    assert reader.at_alias("soil-gold", "staging") is None
    assert reader.version("soil-clay", 7) is None
    found = reader.version("soil-clay", 1)
    assert found is not None
    assert len(found.tags["soil.model_sha256"]) == 64
    live = LiveModels(
        ModelStore(tmp_path, reader, print), [Followed.parse("soil-clay@staging")], lambda *_: None
    )
    live.start()
    batch = field().take([60])
    said = live.current.together.predict(batch.spectra, batch.axis, "absorbance", "fraction", ["clay"])
    np.testing.assert_allclose(said["clay"]["value"], model().predict(batch)["value"], rtol=1e-9)
    for env in ({}, {**USER, "MLFLOW_TRACKING_PASSWORD": "wrong"}, {"MLFLOW_TRACKING_TOKEN": "wrong"}):
        with pytest.raises(RegistryUnreachableError, match=r"status (401|500)"):
            RestReader(address, env).at_alias("soil-clay", "staging")
    assert PASSWORD not in repr(reader)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(RegistryUnreachableError, match="does not answer"):
        RestReader("http://127.0.0.1:9", {}).at_alias("soil-clay", "staging")


def test_a_file(shared_home: Home) -> None:
    reader = reader_of(shared_home.tracking_uri)
    assert isinstance(reader, SqliteReader)
    assert reader.at_alias("soil-clay", "staging") == 1
    assert reader.at_alias("soil-clay' OR '1'='1", "staging") is None
    assert reader.version("soil-clay", 99) is None
    with pytest.raises(RegistryUnreachableError, match="cannot be read"):
        reader.read("file:///nowhere", "artifacts/soil_model/model.json")


def test_an_address_that_cannot_be_read_keeps_its_password() -> None:
    with pytest.raises(BadInput) as caught:
        reader_of("postgresql://soil:secret@db/mlflow")
    assert "secret" not in str(caught.value)
    assert caught.value.found == "postgresql://..."


# -- servers that answer in ways of their own -------------------------------------------------------------


class Odd(http.server.ThreadingHTTPServer):
    """Answers every request with one status, headers and JSON; notes the headers that it got."""

    daemon_threads = True

    def __init__(self, status: int, headers: dict[str, str], answer: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.status, self.extra, self.answer = status, headers, answer
        self.headers_got: list[dict[str, str]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Odd

    def do_GET(self) -> None:
        self.server.headers_got.append(dict(self.headers))
        content = json.dumps(self.server.answer).encode()
        self.send_response(self.server.status)
        for name, value in {"Content-Length": str(len(content)), **self.server.extra}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def odd(answer: Any = None, status: int = 200, **headers: str) -> Iterator[Odd]:
    with Odd(status, headers, answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


FINE = {"model_version": {"name": "soil-clay", "version": "3"}, "artifact_uri": "/nowhere"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["http", "https", "ftp"])
def test_credentials_go_to_no_other_host(status: int, scheme: str) -> None:
    with odd(FINE) as other:
        address = other.address.replace("http", scheme)
        with odd(status=status, Location=f"{address}/api/2.0/mlflow/registered-models/alias") as first:
            reader = RestReader(first.address, USER)
            with pytest.raises(RegistryUnreachableError):
                reader.at_alias("soil-clay", "staging")
            with pytest.raises(RegistryUnreachableError):
                reader.read("mlflow-artifacts:/1/2", "model.json")
        assert other.headers_got == []


def test_a_redirect_on_the_same_host_is_followed() -> None:
    with odd(FINE) as server:
        reader = RestReader(server.address, USER)
        assert reader.at_alias("soil-clay", "staging") == 3
        server.status, server.extra = 302, {"Location": "/elsewhere"}
        with pytest.raises(
            RegistryUnreachableError, match="status 302"
        ):  # in a circle, until urllib gives up
            reader.at_alias("soil-clay", "staging")
        assert len(server.headers_got) > 2


@pytest.mark.parametrize("version", [None, "", "x", "-1", "0", 1.5, True, [], {}, "9" * 5_000, "\u0663"])
def test_a_version_that_is_no_number_is_bad_input(version: Any) -> None:
    with (
        odd({"model_version": {"version": version}}) as server,
        pytest.raises(BadInput, match="not understood"),
    ):
        RestReader(server.address, {}).at_alias("soil-clay", "staging")


@pytest.mark.parametrize("answer", [None, [], 7, {}, {"model_version": None}, {"model_version": "3"}])
def test_an_answer_of_another_form_is_not_taken_for_none(answer: Any) -> None:
    with odd(answer) as server:
        reader = RestReader(server.address, {})
        for ask in (lambda: reader.at_alias("soil-clay", "staging"), lambda: reader.version("soil-clay", 3)):
            with pytest.raises(BadInput, match="not understood"):
                ask()


def test_what_may_be_missing_of_a_version() -> None:
    answer = {"model_version": {"tags": None, "run_id": None, "version": 3}, "artifact_uri": "/models/3"}
    with odd(answer) as server:
        found = RestReader(server.address, {}).version("soil-clay", 3)
        assert found is not None
        assert (found.location, found.run_id, found.tags) == ("/models/3", "", {})
        server.answer = {**answer, "artifact_uri": None}
        with pytest.raises(BadInput, match="not understood"):
            RestReader(server.address, {}).version("soil-clay", 3)
