"""A landed folder: all of it becomes a scan of the batch, a lab row, a note, or an entry with its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from soil_assets.errors import BadInput
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.landed import Landed, read_landed

CATALOGUE = built_in_catalogue()


def wide(
    path: Path, ids: list[str], positions: np.ndarray, prefix: str = "scan_mir.", suffix: str = "_abs"
) -> None:
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        rng.uniform(0.2, 1.5, (len(ids), positions.size)),
        columns=[f"{prefix}{p:g}{suffix}" for p in positions],
    )
    table.insert(0, "sample_id", ids)
    table.to_csv(path, index=False, float_format="%.5f")


def land(folder: Path) -> Landed:
    return read_landed(folder, CATALOGUE)


def test_real_spectra_with_lab_table_and_manifest(tmp_path: Path) -> None:
    field = limesoda("NRW.62")
    table = pd.DataFrame(field.spectra, columns=[f"wn_{p:g}" for p in field.axis.values])
    table.insert(0, "sample_id", field.samples["sample_id"])
    table.to_csv(tmp_path / "spectra.csv", index=False, float_format="%.6f")
    lab = field.samples[["sample_id", "clay", "soc"]].assign(soc=field.samples["soc"] * 10)
    lab.to_csv(tmp_path / "lab.csv", index=False)
    (tmp_path / "batch.yaml").write_text(
        "quantity: reflectance\nscale: fraction\nunits: {soc: g/kg}\nlab: Bonn\n"
    )
    (tmp_path / "_SUCCESS").write_bytes(b"")
    landed = land(tmp_path)
    assert landed.batch is not None
    assert (landed.landed, landed.lab_rows, landed.unreadable) == (62, 62, ())
    np.testing.assert_allclose(landed.batch.spectra, field.spectra, atol=1e-6)
    np.testing.assert_allclose(landed.batch.property_values("soc"), field.samples["soc"], rtol=1e-9)
    assert landed.batch.axis.unit == "cm-1"
    assert landed.batch.origin["lab"] == "Bonn"
    assert (landed.batch.samples["lab"] == "Bonn").all()
    assert list(landed.batch.samples["source_row"][:3]) == [1, 2, 3]


def test_an_unreadable_file_is_one_landed_scan_with_its_reason(tmp_path: Path) -> None:
    wide(tmp_path / "good.csv", ["a", "b", "c"], np.arange(600, 4001, 100.0))
    (tmp_path / "empty.csv").write_bytes(b"")
    landed = land(tmp_path)
    assert landed.landed == 4
    assert [u.file for u in landed.unreadable] == ["empty.csv"]
    assert "empty" in landed.unreadable[0].reason
    assert landed.unreadable[0].mend


def test_mixed_axes_keep_the_majority_and_name_both_ranges(tmp_path: Path) -> None:
    wide(tmp_path / "full.csv", ["a", "b", "c"], np.arange(600, 4001, 100.0))
    wide(tmp_path / "short.csv", ["d", "e"], np.arange(800, 4001, 100.0))
    landed = land(tmp_path)
    assert landed.batch is not None
    assert list(landed.batch.sample_ids) == ["a", "b", "c"]
    assert landed.landed == 5
    assert len(landed.unreadable) == 2
    assert "800 to 4000" in landed.unreadable[0].reason
    assert "600 to 4000" in str(landed.unreadable[0].expected)


def test_a_missing_id_and_a_garbage_cell_stay(tmp_path: Path) -> None:
    wide(tmp_path / "spectra.csv", ["a", "", "c"], np.arange(600, 4001, 100.0))
    text = (tmp_path / "spectra.csv").read_text().splitlines()
    cells = text[3].split(",")
    cells[5] = "oops"
    text[3] = ",".join(cells)
    (tmp_path / "spectra.csv").write_text("\n".join(text))
    landed = land(tmp_path)
    assert landed.batch is not None
    assert landed.landed == len(landed.batch) == 3
    assert landed.batch.sample_ids.isna().tolist() == [False, True, False]
    assert np.isnan(landed.batch.spectra).sum() == 1
    assert np.isnan(landed.batch.spectra[2, 4])
    assert any("oops" in note for note in landed.notes)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("quantity: transmission\n", "quantity", "absorbance or reflectance"),
        ("colour: red\n", "colour", "unknown"),
        ("units: many\n", "units", "malformed"),
        ("- just\n- a list\n", None, "mapping"),
        ("quantity: [\n", None, "not valid YAML"),
    ],
)
def test_a_manifest_that_cannot_be_understood_is_refused(
    tmp_path: Path, text: str, column: str | None, message: str
) -> None:
    (tmp_path / "batch.yaml").write_text(text)
    with pytest.raises(BadInput, match=message) as error:
        land(tmp_path)
    assert error.value.column == column
    assert error.value.file == "batch.yaml"


def test_a_manifest_that_contradicts_a_file_makes_the_file_unreadable(tmp_path: Path) -> None:
    wide(tmp_path / "spectra.csv", ["a"], np.arange(600, 4001, 100.0))
    (tmp_path / "batch.yaml").write_text("quantity: reflectance\n")
    landed = land(tmp_path)
    assert landed.batch is None
    assert landed.landed == 1
    assert "absorbance in the file" in landed.unreadable[0].reason


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert land(tmp_path) == Landed(None, (), 0, 0, ("the batch holds no spectra",))
