"""Whole tables: what states their quantity, tables on their side, streaming, workbooks."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from soil_assets.errors import BadInput
from soil_assets.spectra.read import read, read_source
from soil_assets.spectra.readers.scans import ReadOptions
from soil_assets.spectra.readers.source import Source
from soil_assets.spectra.readers.table import PlainTable
from soil_assets_tests.spectra.test_tables import IDS, POSITIONS, SPECTRA, read_text, table


class TestStatements:
    def test_a_stated_quantity_against_the_columns_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="quantity") as error:
            read_text(tmp_path, table().to_csv(index=False), quantity="reflectance")
        assert (error.value.found, error.value.expected) == (
            "absorbance in the file",
            "reflectance as stated",
        )

    def test_nm_where_the_columns_say_wavenumbers_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="axis unit"):
            read_text(tmp_path, table().to_csv(index=False), axis_unit="nm")

    def test_what_no_one_states_is_inferred_and_said(self, tmp_path: Path) -> None:
        batch = read_text(tmp_path, table([f"{p:g}" for p in POSITIONS]).to_csv(index=False))
        assert (batch.axis.unit, batch.quantity) == ("cm-1", "absorbance")
        assert "cm-1 inferred" in batch.origin["inferred"]
        assert "absorbance inferred" in batch.origin["inferred"]

    def test_one_scan_in_percent_among_fractions_stays_as_it_is(self, tmp_path: Path) -> None:
        frame = pd.DataFrame(np.power(10.0, -SPECTRA), columns=[f"scan_mir.{p:g}_ref" for p in POSITIONS])
        frame.insert(0, "sample_id", IDS)
        frame.iloc[2, 1:] *= 100
        batch = read_text(tmp_path, frame.to_csv(index=False))
        assert batch.scale == "fraction"
        assert batch.spectra[2].max() > 10


class TestOnTheSide:
    WAVES = 10 * np.arange(60) + 400.0

    def sideways(self, first: str, names: list[str]) -> str:
        values = np.random.default_rng(0).uniform(0.1, 0.6, (60, len(names)))
        frame = pd.DataFrame(np.column_stack([self.WAVES, values]), columns=[first, *names])
        return frame.to_csv(index=False)

    def test_one_row_a_band_is_turned(self, tmp_path: Path) -> None:
        batch = read_text(tmp_path, self.sideways("wavelength", ["soil A", "soil B"]))
        assert list(batch.sample_ids) == ["soil A", "soil B"]
        assert batch.axis.unit == "nm"
        assert batch.spectra.shape == (2, 60)

    def test_samples_may_be_numbers_when_the_header_says_what_the_first_column_is(
        self, tmp_path: Path
    ) -> None:
        names = [str(1000 + i) for i in range(20)]
        batch = read_text(tmp_path, self.sideways("Wavenumber (cm-1)", names))
        assert list(batch.sample_ids) == names
        assert batch.axis.unit == "cm-1"

    def test_ids_that_count_up_like_an_axis_are_ids(self, tmp_path: Path) -> None:
        frame = pd.DataFrame(np.tile(SPECTRA, (3, 1)), columns=[f"{p:g}" for p in POSITIONS])
        frame.insert(0, "id", np.arange(1001, 1001 + len(frame)))
        batch = read_text(tmp_path, frame.to_csv(index=False))
        assert list(batch.sample_ids[:2]) == ["1001", "1002"]
        assert batch.spectra.shape == (18, POSITIONS.size)

    def test_raw_signals_beside_the_reflectance_are_left_out_and_said(self, tmp_path: Path) -> None:
        text = self.sideways("Wvl", ["Rad. (Target)", "Reflect. %"])
        batch = read_text(tmp_path, text)
        assert len(batch) == 1
        assert batch.quantity == "reflectance"
        assert "Rad. (Target)" in batch.origin["inferred"]

    def test_a_damaged_position_is_named(self, tmp_path: Path) -> None:
        lines = self.sideways("wavelength", ["soil A"]).splitlines()
        lines[3] = "4x0.0,0.3"
        with pytest.raises(BadInput, match="position is not a number") as error:
            read_text(tmp_path, "\n".join(lines))
        assert error.value.row == 3


class TestStreaming:
    def test_blocks_rows_and_order(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Blocks smaller than a line, of some lines, and larger than the file all give the same batch.
        from soil_assets.spectra.readers import stream

        frame = pd.concat([table(ids=[f"{k}-{i}" for i in range(6)]) for k in range(30)], ignore_index=True)
        raw = frame.to_csv(index=False, float_format="%.5f").encode()
        path = tmp_path / "spectra.csv"
        path.write_bytes(raw.rstrip(b"\n"))
        reference = read(path)
        assert list(reference.sample_ids) == list(frame["sample_id"])
        for size in (97, 1_000, 5_000, 1 << 20):
            monkeypatch.setattr(stream, "_BLOCK_BYTES", size)
            batch = read(path)
            assert batch.content_hash() == reference.content_hash(), size

    def test_a_block_that_is_not_clean_is_read_cell_by_cell(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from soil_assets.spectra.readers import stream
        from soil_assets.spectra.readers import table as table_module

        frame = pd.concat([table(ids=[f"{k}-{i}" for i in range(6)]) for k in range(30)], ignore_index=True)
        lines = frame.to_csv(index=False, float_format="%.5f").splitlines()
        cells = lines[100].split(",")
        cells[3] = "oops"
        lines[100] = ",".join(cells)
        lines[150] = lines[150].rsplit(",", 2)[0]
        (tmp_path / "spectra.csv").write_text("\n".join(lines))

        def never(*_: object) -> None:
            raise AssertionError("the whole file was read again")

        monkeypatch.setattr(table_module, "read_carefully", never)
        monkeypatch.setattr(stream, "_BLOCK_BYTES", 4_000)
        batch = read(tmp_path / "spectra.csv")
        assert list(batch.sample_ids) == list(frame["sample_id"])
        assert np.argwhere(np.isnan(batch.spectra[:149])).tolist() == [[99, 2]]
        assert np.isnan(batch.spectra[149]).all()
        assert np.isfinite(batch.spectra[150:]).all()
        assert "row 100, column" in batch.origin["inferred"]
        assert "row 150 has" in batch.origin["inferred"]

    def test_gzip_and_a_damaged_gzip(self, tmp_path: Path) -> None:
        packed = gzip.compress(table().to_csv(index=False, float_format="%.5f").encode())
        batch = read_text(tmp_path, packed, "spectra.csv.gz")
        np.testing.assert_allclose(batch.spectra, SPECTRA, atol=6e-6)
        with pytest.raises(BadInput, match="gzip"):
            read_text(tmp_path, packed[:-20], "spectra.csv.gz")

    def test_the_matrix_is_the_only_large_thing(self) -> None:
        from soil_assets.spectra.readers.matrix import GrowingMatrix

        matrix = GrowingMatrix(3)
        for i in range(100):
            matrix.append(np.full(3, i, np.float32))
        assert matrix.matrix().shape == (100, 3)
        assert matrix.matrix()[:, 0].tolist() == list(range(100))


class TestWorkbooks:
    def book(self, **sheets: pd.DataFrame) -> bytes:
        stream = io.BytesIO()
        with pd.ExcelWriter(stream) as writer:
            for name, frame in sheets.items():
                frame.to_excel(writer, sheet_name=name, index=False)
        return stream.getvalue()

    def test_numbers_stored_as_text_and_ids_stored_as_numbers(self, tmp_path: Path) -> None:
        frame = table([f"{p:g}" for p in POSITIONS]).astype(object)
        frame.iloc[0, 3] = "0,25"
        frame.iloc[1, 3] = "oops"
        frame["sample_id"] = [17, 18, 19, 20, 21, 22]
        batch = read_text(tmp_path, self.book(spectra=frame), "spectra.xlsx")
        assert list(batch.sample_ids[:2]) == ["17", "18"]
        assert batch.spectra[0, 2] == np.float32(0.25)
        assert np.isnan(batch.spectra[1, 2])
        assert "oops" in batch.origin["inferred"]

    def test_a_sheet_beside_the_spectra_is_a_table(self) -> None:
        raw = self.book(spectra=table(), lab=pd.DataFrame({"sample_id": IDS, "clay": range(6)}))
        scans, lab = read_source(Source.of_bytes(raw, "all.xlsx"), ReadOptions())
        assert isinstance(lab, PlainTable)
        assert lab.file == "all.xlsx#lab"
        assert len(scans.samples) == 6  # type: ignore[union-attr]

    def test_a_sheet_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="no such sheet") as error:
            read_text(tmp_path, self.book(spectra=table()), "a.xlsx", sheet="Sheet9")
        assert error.value.found == "spectra"

    def test_an_opendocument_table_and_a_letter_are_told_apart(self, tmp_path: Path) -> None:
        import zipfile

        from soil_assets.spectra.readers.sniff import NotSpectraError

        for name, member, kind in (
            ("t.ods", "content.xml", BadInput),
            ("t.docx", "word/document.xml", NotSpectraError),
        ):
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                archive.writestr("[Content_Types].xml" if name.endswith("docx") else "mimetype", "x")
                archive.writestr(member, "<x/>")
            with pytest.raises(BadInput) as error:
                read(tmp_path / name)
            assert type(error.value) is kind
