"""The stored form of a batch: exact, zero-copy, never half-written."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.parquet import METADATA_KEY, from_parquet, to_parquet


def stored(batch: SpectralBatch) -> SpectralBatch:
    stream = io.BytesIO()
    to_parquet(batch, stream)
    stream.seek(0)
    return from_parquet(stream)


def batch_of(samples: pd.DataFrame, bands: int = 3) -> SpectralBatch:
    spectra = np.arange(len(samples) * bands, dtype=np.float32).reshape(len(samples), bands)
    return SpectralBatch(samples, spectra, Axis(np.array([0.1, 0.2, 1 / 3]), "nm"), "absorbance")


def test_real_batch_comes_back_bit_for_bit(tmp_path: Path) -> None:
    batch = limesoda("NRW.115")
    to_parquet(batch, tmp_path / "batch.parquet")
    back = from_parquet(tmp_path / "batch.parquet")
    pd.testing.assert_frame_equal(back.samples, batch.samples)
    assert back.spectra.tobytes() == batch.spectra.tobytes()
    assert back.axis == batch.axis
    assert (back.quantity, back.scale, dict(back.origin)) == (batch.quantity, batch.scale, dict(batch.origin))
    assert back.content_hash() == batch.content_hash()


def test_column_types_and_missing_values_survive() -> None:
    samples = pd.DataFrame(
        {
            "sample_id": ["a", None, "ü/ 7"],
            "text_nan": ["x", np.nan, "y"],
            "count": np.array([1, 2, 3], dtype=np.int16),
            "maybe": pd.array([1, None, 3], dtype="Int64"),
            "value": [1.5, np.nan, np.inf],
            "flag": [True, False, True],
            "kind": pd.Categorical(["b", "a", None], categories=["b", "a"], ordered=True),
            "when": pd.to_datetime(["2024-05-01 10:00", None, "2024-05-02 11:30"]).tz_localize("UTC"),
            "empty": pd.array([None, None, None], dtype=object),
        }
    )
    back = stored(batch_of(samples)).samples
    pd.testing.assert_frame_equal(back, samples)
    assert back["sample_id"][1] is None
    assert isinstance(back["text_nan"][1], float)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    spectra=hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 5), st.integers(2, 9)),
        elements=st.floats(width=32, allow_nan=True),
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_matrix_and_axis_survive(spectra: np.ndarray, seed: int) -> None:
    positions = np.sort(np.random.default_rng(seed).uniform(1, 30_000, spectra.shape[1]))[::-1]
    samples = pd.DataFrame({"sample_id": pd.array([f"s{i}" for i in range(len(spectra))], dtype=object)})
    back = stored(SpectralBatch(samples, spectra, Axis(positions, "cm-1"), "reflectance", "percent"))
    assert back.spectra.tobytes() == spectra.tobytes()
    assert back.axis.values.tobytes() == positions.tobytes()
    assert (back.axis.unit, back.quantity, back.scale) == ("cm-1", "reflectance", "percent")


def test_the_matrix_is_not_copied_on_reading() -> None:
    back = stored(batch_of(pd.DataFrame({"sample_id": ["a", "b"]})))
    base = back.spectra
    while isinstance(base, np.ndarray):
        assert not base.flags.owndata
        base = base.base
    assert "arrow" in type(base).__module__


@pytest.mark.parametrize(
    ("samples", "column"),
    [
        (pd.DataFrame({"sample_id": ["a"], "spectrum": [1]}), "spectrum"),
        (pd.DataFrame([["a", 1, 2]], columns=["sample_id", "x", "x"]), "x"),
        (pd.DataFrame({"sample_id": ["a"], 7: [1]}), "7"),
    ],
)
def test_names_that_cannot_be_stored_are_refused(samples: pd.DataFrame, column: str) -> None:
    with pytest.raises(BadInput, match="cannot be stored") as error:
        stored(batch_of(samples))
    assert error.value.column is not None
    assert column in error.value.column


def test_mixed_types_are_refused_naming_the_column() -> None:
    with pytest.raises(BadInput, match="several types") as error:
        stored(batch_of(pd.DataFrame({"sample_id": ["a", "b"], "odd": ["text", 5]})))
    assert "odd" in str(error.value)


def test_foreign_damaged_and_missing_files_say_so(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(BadInput, match="not a stored batch"):
        from_parquet(tmp_path / "foreign.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(BadInput, match="not a readable Parquet file"):
        from_parquet(tmp_path / "broken.parquet")
    with pytest.raises(BadInput, match="no such file"):
        from_parquet(tmp_path / "none.parquet")


def test_a_flipped_bit_in_the_matrix_is_found() -> None:
    stream = io.BytesIO()
    to_parquet(limesoda("NRW.62"), stream)
    raw = bytearray(stream.getvalue())
    raw[len(raw) // 2] ^= 0x10  # far inside the packed matrix
    with pytest.raises(BadInput, match="not a readable Parquet file"):
        from_parquet(io.BytesIO(bytes(raw)))


@pytest.mark.parametrize(
    "damage", [b'"quantity": ', b'"values": [', b'"version": 1', b'"unit": "nm"', b"{", b"0."]
)
def test_damaged_facts_are_refused(damage: bytes) -> None:
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    to_parquet(batch_of(pd.DataFrame({"sample_id": ["a", "b"]})), stream)
    table = pq.read_table(io.BytesIO(stream.getvalue()))
    facts = table.schema.metadata[METADATA_KEY]
    assert damage in facts
    for other in (b"?" * len(damage), b"", b"[]", b"null"):
        broken = io.BytesIO()
        metadata = {**table.schema.metadata, METADATA_KEY: facts.replace(damage, other, 1)}
        pq.write_table(table.replace_schema_metadata(metadata), broken)
        with pytest.raises(BadInput):
            from_parquet(io.BytesIO(broken.getvalue()))


def test_a_url_is_read_like_a_path() -> None:
    import fsspec

    batch = batch_of(pd.DataFrame({"sample_id": ["a", "b"]}))
    with fsspec.open("memory://stored/batch.parquet", "wb") as stream:
        to_parquet(batch, stream)
    assert from_parquet("memory://stored/batch.parquet").content_hash() == batch.content_hash()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    target = tmp_path / "batch.parquet"
    batch = batch_of(pd.DataFrame({"sample_id": ["a"]}))
    to_parquet(batch, target)
    before = target.read_bytes()

    def full_disk(_table: object, stream: io.BufferedWriter, **_settings: object) -> None:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(OSError, match="No space left"):
        to_parquet(batch, target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["batch.parquet"]
