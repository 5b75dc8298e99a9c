"""Asset values: kept by content, pointed to by one file, the old one never lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from soil_assets.defs import io
from soil_assets.defs.io import content_version, has_value, load_value, save_value
from soil_assets.spectra.embedded import limesoda
from soil_assets.storage import Store


def test_a_batch_comes_back_as_it_was(tmp_path: Path) -> None:
    store, batch = Store(str(tmp_path)), limesoda("NRW.42")
    save_value(store, "validated", "b1", batch)
    back = load_value(store, "validated", "b1")
    assert back.content_hash() == batch.content_hash()
    assert not has_value(store, "validated", "b2")


def test_an_old_value_stays_when_a_new_one_is_written(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    first = save_value(store, "report", None, {"a": 1})
    second = save_value(store, "report", None, {"a": 2})
    assert first != second
    assert load_value(store, "report") == {"a": 2}
    assert store.exists(f"assets/report/{first[:20]}/value.json")


def test_a_run_that_dies_before_the_pointer_leaves_the_old_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    save_value(store, "report", None, {"a": 1})

    def dies(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(io.Store, "write_json", dies)
    with pytest.raises(OSError, match="No space"):
        save_value(store, "report", None, {"a": 2})
    assert load_value(store, "report") == {"a": 1}


def test_the_version_is_of_the_content(tmp_path: Path) -> None:
    assert content_version({"a": 1, "b": 2}) == content_version({"b": 2, "a": 1})
    assert content_version({"a": 1}) != content_version({"a": 2})


def test_a_type_without_a_codec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no codec"):
        save_value(Store(str(tmp_path)), "x", None, object())
