"""The registry's moves against a served MLflow: PostgreSQL behind it, artifacts on S3, users who may and may not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from soil_assets.adapters import journal
from soil_assets.adapters.mlflow import Registry
from soil_assets.adapters.registry import Because, promote, roll_back
from soil_assets.errors import BadInput
from soil_assets_tests.delivery.models import ADA, field, model, registered
from soil_assets_tests.delivery.servers import free_port, mlflow_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PASSWORD = "a-long-enough-password"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry behind a server; this process is its administrator."""
    with (
        pytest.MonkeyPatch.context() as patch,
        mlflow_server(Path(tmp_path_factory.mktemp("served")), PASSWORD) as at,
    ):
        patch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        yield Registry(at, "soil-staging", "unused: the server keeps artifacts")


def test_from_registered_to_rolled_back(registry: Registry) -> None:
    name = "soil-clay"
    assert registered(registry, name) == 1
    assert registered(registry, name) == 2
    promote(registry, name, 1, ADA)
    promote(registry, name, 2, ADA)
    roll_back(registry, name, ADA)
    assert registry.aliases(name) == {"staging": 2, "production": 1, "previous": 2}
    assert [e.action for e in journal.read(registry, name).entries] == [
        "staged", "staged", "promoted", "promoted", "rolled back",
    ]  # fmt: skip
    assert registry.names() == [name]
    loaded, _ = registry.load(f"models:/{name}@production")
    np.testing.assert_array_equal(loaded.predict(field())["value"], model().predict(field())["value"])


def test_the_history_is_linear_under_two_writers(registry: Registry) -> None:
    name = "soil-two"
    registered(registry, name)
    registered(registry, name)
    problems: list[BaseException] = []

    def write(who: str) -> None:
        try:
            for i in range(5):
                promote(registry, name, 1 + i % 2, Because(who, f"turn {i}"))
        except BaseException as error:  # noqa: BLE001  # told by the test, not by a thread's traceback
            problems.append(error)

    writers = [threading.Thread(target=write, args=(who,)) for who in ("Ada Lovelace", "Grace Hopper")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert problems == []
    told = journal.read(registry, name)
    assert [e.after for e in told.entries] == [0, *(e.number for e in told.entries[:-1])]
    assert not told.broken
    assert registry.aliases(name) == told.places


def test_who_may_read_only_reads_only(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.server import get_app_client

    name = "soil-guarded"
    registered(registry, name)
    get_app_client("basic-auth", registry.tracking_uri).create_user("reader", "another-long-password")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "reader")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another-long-password")
    assert registry.aliases(name) == {"staging": 1}
    assert registry.load(f"models:/{name}/1")[1].version == 1
    with pytest.raises(BadInput, match="MLFLOW_TRACKING_USERNAME"):
        promote(registry, name, 1, ADA)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with pytest.raises(BadInput, match="MLFLOW_TRACKING_USERNAME") as caught:
        registry.versions(name)
    assert "wrong" not in str(caught.value)


def test_a_registry_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = Registry(f"http://user:secret@127.0.0.1:{free_port()}", "soil-staging", "unused")
    with pytest.raises(BadInput, match="does not answer") as caught:
        away.versions("soil-clay")
    assert "secret" not in str(caught.value)
    with pytest.raises(BadInput, match="does not answer"):
        away.names()
