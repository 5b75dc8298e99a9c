"""A landed folder: all of it becomes a scan of the batch, a lab row, a note, or an entry with its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soil_assets.benchmarks import instrument_files as made
from soil_assets.errors import BadInput
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.landed import Landed, read_landed
from soil_assets.spectra.parquet import to_parquet

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
        ("a: &a [x, x]\nb: &b [*a, *a]\n", None, "aliases are not read"),
        ("note: " + "[" * 3000 + "\n", None, "not valid YAML"),
        ("note: \x00\n", None, "not valid YAML"),
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


def test_stated_quantities_on_one_axis_are_united_and_said(tmp_path: Path) -> None:
    batch = made.real_batch()
    first, last = float(batch.axis.values[0]), float(batch.axis.values[-1])
    for number in range(3):
        (tmp_path / f"soil_{number}.0").write_bytes(made.opus(batch.spectra[number], first, last))
    reflectance = np.power(10.0, -batch.spectra[3]).astype(np.float32)
    (tmp_path / "soil_3.0").write_bytes(made.opus(reflectance, first, last, data=12))
    landed = land(tmp_path)
    assert landed.batch is not None
    assert (landed.landed, landed.unreadable) == (4, ())
    assert landed.batch.quantity == "absorbance"
    order = [list(landed.batch.sample_ids).index(f"soil_{n}") for n in range(4)]
    np.testing.assert_allclose(landed.batch.spectra[order], batch.spectra[:4], atol=1e-5)
    assert any("1 scans of soil_3.0" in note and "converted to absorbance" in note for note in landed.notes)


def test_formats_may_mix_when_they_share_an_axis(tmp_path: Path) -> None:
    batch = made.real_batch()
    first, last = float(batch.axis.values[0]), float(batch.axis.values[-1])
    (tmp_path / "a.0").write_bytes(made.opus(batch.spectra[0], first, last))
    (tmp_path / "b.spc").write_bytes(made.spc(batch.spectra[1:2], first, last))
    (tmp_path / "c.spa").write_bytes(made.omnic(batch.spectra[2:3], first, last))
    (tmp_path / "d.dx").write_bytes(made.jcamp(batch.spectra[3], batch.axis.values, "DIF"))
    landed = land(tmp_path)
    assert landed.batch is not None
    assert list(landed.batch.sample_ids) == ["a", "b", "c", "d"]
    np.testing.assert_allclose(landed.batch.spectra, batch.spectra[:4], atol=1e-5)


def test_an_options_key_of_the_manifest_reaches_the_readers(tmp_path: Path) -> None:
    wide(tmp_path / "spectra.csv", ["a", "b"], np.arange(600, 4001, 100.0))
    text = (tmp_path / "spectra.csv").read_text()
    (tmp_path / "spectra.csv").write_text(text.replace("sample_id", "box,tube", 1).replace("\na,", "\nx,1,", 1)
                                          .replace("\nb,", "\ny,2,", 1))  # fmt: skip
    (tmp_path / "batch.yaml").write_text("id_column: tube\ninstrument: Alpha\nsite: Bonn\n")
    landed = land(tmp_path)
    assert landed.batch is not None
    assert list(landed.batch.sample_ids) == ["1", "2"]
    assert (landed.batch.samples["site"] == "Bonn").all()
    assert landed.batch.origin["instrument"] == "Alpha"


def test_a_lab_table_that_cannot_be_joined_is_told_not_dropped(tmp_path: Path) -> None:
    wide(tmp_path / "spectra.csv", ["a", "b"], np.arange(600, 4001, 100.0))
    (tmp_path / "lab.csv").write_text("tube,clay\n1,20\n2,30\n")
    landed = land(tmp_path)
    assert (landed.landed, landed.lab_rows) == (2, 2)
    assert any(note.startswith("lab.csv is not joined") and "sample ids" in note for note in landed.notes)


def test_a_doubtful_statement_is_noted_first(tmp_path: Path) -> None:
    field = limesoda("NRW.62")
    table = pd.DataFrame(field.spectra, columns=[f"scan_mir.{p:g}_abs" for p in field.axis.values])
    table.insert(0, "sample_id", field.samples["sample_id"])
    table.to_csv(tmp_path / "spectra.csv", index=False)
    landed = land(tmp_path)
    assert landed.batch is not None
    assert landed.batch.quantity == "absorbance"
    assert landed.notes[0].endswith("reflectance?")


def test_a_column_of_a_name_the_batch_needs_is_kept_under_another(tmp_path: Path) -> None:
    wide(tmp_path / "spectra.csv", ["a", "b"], np.arange(600, 4001, 100.0))
    table = pd.read_csv(tmp_path / "spectra.csv")
    table["spectrum"], table["source_file"] = ["x", "y"], ["one", "two"]
    table.to_csv(tmp_path / "spectra.csv", index=False)
    landed = land(tmp_path)
    assert landed.batch is not None
    assert list(landed.batch.samples["spectrum_given"]) == ["x", "y"]
    assert list(landed.batch.samples["source_file_given"]) == ["one", "two"]
    to_parquet(landed.batch, tmp_path / "stored.parquet")


KINDS = ("scan", "table", "cut", "empty", "binary", "photo", "other axis", "lab")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.sampled_from(KINDS), max_size=9), seed=st.integers(0, 1000))
def test_whatever_lands_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("landed")
    batch = made.real_batch()
    first, last = float(batch.axis.values[0]), float(batch.axis.values[-1])
    rng = np.random.default_rng(seed)
    scans = unreadable = lab_rows = 0
    for number, kind in enumerate(kinds):
        whole = made.opus(batch.spectra[number], first, last)
        if kind == "scan":
            (folder / f"{number}.0").write_bytes(whole)
            scans += 1
        elif kind == "other axis":
            (folder / f"{number}.0").write_bytes(made.opus(batch.spectra[number], first, last + 200))
            scans += 1
        elif kind == "table":
            rows = int(rng.integers(1, 5))
            wide(
                folder / f"{number}.csv", [f"t{number}-{i}" for i in range(rows)], np.arange(600, 4001, 50.0)
            )
            scans += rows
        elif kind in ("cut", "empty", "binary"):
            content = {
                "cut": whole[: int(rng.integers(30, len(whole) - 8))],
                "empty": b"",
                "binary": b"\0\1\2" * 50,
            }
            (folder / f"{number}.0").write_bytes(content[kind])
            unreadable += 1
        elif kind == "photo":
            (folder / f"{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0" + rng.bytes(50))
        else:
            (folder / f"lab_{number}.csv").write_text("sample_id,clay\n1,20\n2,30\n")
            lab_rows += 2
    landed = land(folder)
    in_batch = 0 if landed.batch is None else len(landed.batch)
    assert landed.landed == in_batch + len(landed.unreadable) == scans + unreadable
    assert landed.lab_rows == lab_rows
    assert all(u.reason for u in landed.unreadable)
    if landed.batch is not None:
        places = landed.batch.samples[["source_file", "source_row"]]
        assert not places.duplicated().any()
