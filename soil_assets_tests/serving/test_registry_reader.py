"""Registries read without mlflow: a served one (users, proxied artifacts), a file, and what is neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
