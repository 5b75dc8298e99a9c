"""Models that change while they answer: moved, altered, gone; and a registry that is away."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.artifact import ARRAYS_FILE, FACTS_FILE, save
from soil_assets.serving.live import Followed, Snapshot
from soil_assets.serving.model_store import LoadedModel
from soil_assets_tests.delivery.models import field, model
from soil_assets_tests.serving.registered import Home, live_models

Events = list[tuple[str, dict[str, object]]]


def clay(live: Any) -> float:
    batch = field().take([60])
    found = live.current.together.predict(batch.spectra, batch.axis, "absorbance", "fraction", ["clay"])
    return float(found["clay"]["value"][0])


def test_an_alias_that_moves_is_followed(home: Home) -> None:
    told: Events = []
    live = live_models(home, told=told)
    live.start()
    taken = live.current
    home.point("soil-clay", "staging", 2)
    live.refresh()
    assert {m.name: m.version for m in live.current.models.values()} == {"soil-clay": 2, "soil-ph": 1}
    assert clay(live) == pytest.approx(model(worse=True).predict(field().take([60]))["value"].iloc[0])
    assert taken.models["clay"].version == 1  # a request that took the old snapshot ends on it
    assert live.moves == 1
    assert ("model", {"before": 1, "model": "soil-clay", "version": 2}) in [
        (e, {k: v for k, v in f.items() if k != "sha256"}) for e, f in told
    ]
    live.refresh()
    assert live.moves == 1


def test_a_pinned_version_stays(home: Home) -> None:
    live = live_models(home, "soil-clay=1")
    live.start()
    home.point("soil-clay", "staging", 2)
    live.refresh()
    assert live.current.models["clay"].version == 1
    assert live.current.models["clay"].alias is None


def test_a_property_that_is_registered_later_joins(home: Home) -> None:
    live = live_models(home, "soil-clay@staging")
    live.followed = (*live.followed, Followed("soil-ph", alias="late", needed=False))
    live.start()
    assert list(live.current.models) == ["clay"]
    home.point("soil-ph", "late", 1)
    live.refresh()
    assert sorted(live.current.models) == ["clay", "ph"]


@pytest.mark.parametrize("file", [FACTS_FILE, ARRAYS_FILE])
def test_an_altered_model_is_refused_and_the_old_one_answers(home: Home, file: str) -> None:
    altered = home.model_files("soil-clay", 2) / file
    content = bytearray(altered.read_bytes())
    content[len(content) // 2] ^= 1
    altered.write_bytes(content)
    told: Events = []
    live = live_models(home, told=told)
    live.start()
    before = clay(live)
    home.point("soil-clay", "staging", 2)
    live.refresh()
    live.refresh()
    assert clay(live) == before
    assert "soil-clay" in live.health.refused
    assert [e for e, _ in told].count("refused") == 1  # said once, not at every look
    home.point("soil-clay", "staging", 1)
    live.refresh()
    assert live.health.refused == {}
    with pytest.raises(BadInput):
        live_models(home, "soil-clay=2").start()


def test_another_model_in_its_place_is_refused(home: Home) -> None:
    """Whole and consistent files, but not those that were registered: the version's own checksum tells."""
    files = home.model_files("soil-clay", 1)
    shutil.rmtree(files)
    save(model(worse=True), files)
    with pytest.raises(BadInput, match="not the model that was registered"):
        live_models(home, "soil-clay=1").start()


def test_an_altered_local_copy_is_fetched_again(home: Home) -> None:
    live_models(home, "soil-clay=1").start()
    [arrays] = (home.folder / "models" / "soil-clay").glob(f"1-*/{ARRAYS_FILE}")
    arrays.write_bytes(b"altered")
    told: Events = []
    live = live_models(home, "soil-clay=1", told=told)
    live.start()
    assert any(e == "note" and "fetched again" in str(f["text"]) for e, f in told)
    assert clay(live) == pytest.approx(model().predict(field().take([60]))["value"].iloc[0])


@pytest.mark.parametrize("at_first", ["nothing", "altered"])
def test_many_replicas_fetch_one_version_into_one_folder(home: Home, at_first: str) -> None:
    """Replicas that share a volume never meet a copy that another one is still writing, or has just taken away."""
    if at_first == "altered":
        live_models(home, "soil-clay=1").start()
        [arrays] = (home.folder / "models" / "soil-clay").glob(f"1-*/{ARRAYS_FILE}")
        arrays.write_bytes(b"altered")
    together = threading.Barrier(8)

    def start(_: int) -> float:
        replica = live_models(home, "soil-clay=1")
        together.wait()
        replica.start()
        return clay(replica)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(start, range(8)))
    assert len(set(answers)) == 1
    kept = sorted(p.name for p in (home.folder / "models" / "soil-clay").iterdir())
    assert len(kept) == 2  # the copy and what names it: nothing half done is left
    told: Events = []
    live_models(home, "soil-clay=1", told=told).start()
    assert not [e for e, _ in told if e == "note"]


def test_the_registry_away_at_start(home: Home) -> None:
    (home.folder / "mlflow.db").rename(home.folder / "away.db")
    with pytest.raises(BadInput, match="cannot be reached") as caught:
        live_models(home).start()
    assert "--kept-models" in str(caught.value.mend)
    with pytest.raises(BadInput, match="no local copy"):
        live_models(home).start(from_kept=True)


@pytest.mark.parametrize("names", [("soil-clay@staging",), ("soil-clay=1",)])
def test_the_last_good_copy_answers_by_option(home: Home, names: tuple[str, ...]) -> None:
    live_models(home, *names).start()
    (home.folder / "mlflow.db").rename(home.folder / "away.db")
    live = live_models(home, *names)
    live.start(from_kept=True)
    assert live.current.models["clay"].version == 1
    assert live.health.unreachable_since is not None
    [arrays] = (home.folder / "models" / "soil-clay").glob(f"1-*/{ARRAYS_FILE}")
    arrays.write_bytes(b"altered")
    with pytest.raises(BadInput, match="altered"):
        live_models(home, *names).start(from_kept=True)


def test_the_registry_away_while_running(home: Home) -> None:
    told: Events = []
    live = live_models(home, told=told)
    live.start()
    before = clay(live)
    (home.folder / "mlflow.db").rename(home.folder / "away.db")
    live.refresh()
    live.refresh()
    assert clay(live) == before
    assert live.health.unreachable_since is not None
    assert [f["reachable"] for e, f in told if e == "registry"] == [False]
    (home.folder / "away.db").rename(home.folder / "mlflow.db")
    home.point("soil-clay", "staging", 2)
    live.refresh()
    assert live.health.unreachable_since is None
    assert live.current.models["clay"].version == 2


def test_a_damaged_registry_file_is_a_registry_away(home: Home) -> None:
    (home.folder / "mlflow.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(BadInput, match="cannot be reached"):
        live_models(home).start()


def test_a_deleted_version_is_no_version(home: Home) -> None:
    with sqlite3.connect(home.folder / "mlflow.db") as connection:
        connection.execute("UPDATE model_versions SET current_stage = 'Deleted_Internal' WHERE version = 2")
    connection.close()
    with pytest.raises(BadInput, match="no such registered version"):
        live_models(home, "soil-clay=2").start()


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (("soil-clay=99",), "no such registered version"),
        (("soil-gold=1",), "no such registered version"),
        (("soil-clay@nowhere",), "no version at this alias"),
        (("soil-clay=1", "soil-clay@staging"), "two models of one property"),
    ],
)
def test_a_start_that_cannot_be(home: Home, names: tuple[str, ...], word: str) -> None:
    live = live_models(home, *names)
    if word.startswith("two"):
        loaded = live.store.load("soil-clay", 1)
        with pytest.raises(BadInput, match=word):
            Snapshot.of([loaded, loaded])
        return
    with pytest.raises(BadInput, match=word):
        live.start()


@pytest.mark.parametrize(
    "text", ["soil-clay", "soil-clay=", "soil-clay=0", "=3", "a/b=1", "a=1@b", "a@../b", "a=-1"]
)
def test_what_is_no_name_of_a_model(text: str) -> None:
    with pytest.raises(BadInput, match="not a model to serve"):
        Followed.parse(text)


def test_a_model_that_needs_sensors_is_refused() -> None:
    from dataclasses import replace

    with pytest.raises(BadInput, match="sensor columns"):
        Snapshot.of([LoadedModel(replace(model(), sensors=("ec",)), "soil-clay", 1, "x")])


def test_the_copy_is_kept_by_version_and_checksum(home: Home) -> None:
    live = live_models(home, "soil-clay=1", "soil-ph@staging")
    live.start()
    digest = json.loads((home.model_files("soil-clay", 1) / FACTS_FILE).read_text())["facts_sha256"]
    folder = home.folder / "models" / "soil-clay"
    assert sorted(p.name for p in folder.iterdir()) == [f"1-{digest[:16]}", "1.json"]
    assert json.loads((home.folder / "models" / "soil-ph" / "@staging.json").read_text()) == {"version": 1}


def test_files_of_a_version_are_read_where_they_are(home: Home, tmp_path: Path) -> None:
    """Object storage: the same files behind an fsspec address."""
    import fsspec

    memory = fsspec.filesystem("memory")
    for file in home.model_files("soil-clay", 1).iterdir():
        memory.pipe(f"/models/m-1/artifacts/soil_model/{file.name}", file.read_bytes())
    with sqlite3.connect(home.folder / "mlflow.db") as connection:
        connection.execute(
            "UPDATE model_versions SET storage_location = 'memory://models/m-1' WHERE name = 'soil-clay'"
        )
    connection.close()
    live = live_models(home, "soil-clay=1")
    live.start()
    np.testing.assert_allclose(clay(live), model().predict(field().take([60]))["value"].iloc[0], rtol=1e-9)
    memory.rm("/models", recursive=True)


@pytest.mark.parametrize("number", ["x", "", "-1", "1.5", "99999999999", "0"])
@pytest.mark.parametrize(
    "order", [("soil-ph@staging", "soil-clay@staging"), ("soil-clay@staging", "soil-ph@staging")]
)
def test_an_alias_that_names_no_number_holds_no_other_model_back(
    home: Home, number: str, order: tuple[str, ...]
) -> None:
    told: Events = []
    live = live_models(home, *order, told=told)
    live.start()
    with sqlite3.connect(home.folder / "mlflow.db") as registry:
        registry.execute("UPDATE registered_model_aliases SET version = ? WHERE name = 'soil-ph'", (number,))
    registry.close()
    home.point("soil-clay", "staging", 2)
    for _ in range(2):
        live.refresh()
    assert {m.name: m.version for m in live.current.models.values()} == {"soil-clay": 2, "soil-ph": 1}
    assert "soil-ph" in live.health.refused
    assert [f["model"] for e, f in told if e == "refused"] == ["soil-ph"]  # said once
    home.point("soil-ph", "staging", 1)
    live.refresh()
    assert live.health.refused == {}


def test_a_registry_without_its_tables_is_a_registry_away(home: Home) -> None:
    (home.folder / "mlflow.db").write_bytes(b"")
    with pytest.raises(BadInput, match="cannot be reached"):
        live_models(home).start()


@pytest.mark.parametrize("content", ["null", '{"version": null}', '{"digest": null}', "[]", "{"])
def test_notes_of_local_copies_that_say_nothing(home: Home, content: str) -> None:
    live_models(home).start()
    for note in (home.folder / "models" / "soil-clay").glob("*.json"):
        note.write_text(content)
    live_models(home).start()  # fetched again
    for note in (home.folder / "models" / "soil-clay").glob("*.json"):
        note.write_text(content)
    (home.folder / "mlflow.db").unlink()
    with pytest.raises(BadInput, match="no local copy"):
        live_models(home).start(from_kept=True)


def test_a_full_disk_under_local_copies(home: Home, small_disk: Path) -> None:
    (small_disk / "rest").write_bytes(bytes(_free(small_disk)))
    (home.folder / "models").symlink_to(small_disk)
    with pytest.raises(BadInput, match="local copy of a model cannot be written"):
        live_models(home).start()
    (small_disk / "rest").unlink()
    live = live_models(home, "soil-clay@staging")
    live.start()
    (small_disk / "rest").write_bytes(bytes(_free(small_disk)))
    home.point("soil-clay", "staging", 2)
    live.refresh()
    assert live.current.models["clay"].version == 1
    assert "No space left" in live.health.refused["soil-clay"]


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
