"""Tables as laboratories write them: dialects, names of columns, ids, cells that are no numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soil_assets.benchmarks.instrument_files import real_batch
from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.read import read, read_source
from soil_assets.spectra.readers.columns import band_runs, choose_run, quantity_in, unit_in
from soil_assets.spectra.readers.scans import ReadOptions
from soil_assets.spectra.readers.source import Source

BATCH = real_batch()
POSITIONS = BATCH.axis.values[::40]
SPECTRA = BATCH.spectra[:6, ::40]
IDS = [f"S-{i:02d}" for i in range(6)]


def table(names: list[str] | None = None, ids: list[str] | None = None) -> pd.DataFrame:
    frame = pd.DataFrame(SPECTRA, columns=names or [f"scan_mir.{p:g}_abs" for p in POSITIONS])
    frame.insert(0, "sample_id", ids or IDS)
    return frame


def read_text(tmp_path: Path, text: str | bytes, name: str = "spectra.csv", **options: str) -> SpectralBatch:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path, ReadOptions(**options))  # type: ignore[arg-type]


class TestColumnNames:
    @pytest.mark.parametrize(
        ("form", "unit", "quantity"),
        [
            ("scan_mir.{:g}_abs", "cm-1", "absorbance"),
            ("scan_visnir.{:g}_ref", "nm", "reflectance"),
            ("scan_nir.{:g}_ref", "nm", "reflectance"),
            ("wl_{:g}", "nm", None),
            ("wn_{:g}", "cm-1", None),
            ("X{:g}", None, None),
            ("{:g}", None, None),
            ("{:g} nm", "nm", None),
            ("{:g}cm-1", "cm-1", None),
            ("R0{:g}", None, "reflectance"),
            ("abs_{:g}", None, "absorbance"),
        ],
    )
    def test_states_what_it_states(self, form: str, unit: str | None, quantity: str | None) -> None:
        header = ["id", "clay", "pc1", "pc2", *[form.format(p) for p in np.arange(500.0, 900.5, 0.5)]]
        (run,) = band_runs(header)
        assert run.positions[[0, -1]].tolist() == [500.0, 900.0]
        assert run.indices[0] == 4
        assert (run.axis_unit, run.quantity) == (unit, quantity)

    def test_properties_with_numbers_are_no_spectrum(self) -> None:
        assert band_runs(["id", *[f"PC{i}" for i in range(1, 60)]]) == []
        assert band_runs(["clay.tot_usda.a334_w.pct", "oc_usda.c729_w.pct", "cec_usda.a723_cmolc.kg"]) == []
        assert band_runs(["id", "600", "602"]) == []
        assert band_runs(["plot", *[str(year) for year in range(2001, 2016)]]) == []

    def test_an_ossl_table_of_level_0_keeps_its_keys(self, tmp_path: Path) -> None:
        frame = table()
        facts = {
            "id.layer_uuid_txt": [f"u{i}" for i in range(6)],
            "id.scan_local_c": [f"{i}XS01" for i in range(6)],
            "scan.mir.date.begin_iso.8601_yyyy.mm.dd": ["2015-07-14"] * 6,
            "scan.mir.model.name_utf8_txt": ["Bruker Vertex 70"] * 6,
            "scan.mir.doi_idf_url": ["https://doi.org/10.1000/1"] * 6,
            "id.dataset.site_ascii_txt": ["x", "x", "y", "y", "z", "z"],
        }
        for place, (name, values) in enumerate(facts.items()):
            frame.insert(place, name, values)
        batch = read_text(tmp_path, frame.drop(columns="sample_id").to_csv(index=False))
        samples = batch.samples
        assert list(samples["sample_id"]) == facts["id.layer_uuid_txt"]
        assert list(samples["scan_id"]) == facts["id.scan_local_c"]
        assert set(samples["instrument"]) == {"Bruker Vertex 70"}
        assert set(samples["scan_date"]) == {"2015-07-14"}
        assert batch.groups().tolist() == [0, 0, 1, 1, 2, 2]

    def test_two_sets_of_spectra_need_a_choice(self) -> None:
        header = ["id", *[f"scan_mir.{p}_abs" for p in range(600, 700)]]
        header += [f"scan_visnir.{p}_ref" for p in range(350, 450)]
        with pytest.raises(BadInput, match="several sets") as error:
            choose_run(header, "both.csv", None)
        assert "scan_visnir" in str(error.value.found)
        chosen = choose_run(header, "both.csv", "scan_visnir")
        assert chosen is not None
        assert chosen.axis_unit == "nm"
        with pytest.raises(BadInput, match="no such set"):
            choose_run(header, "both.csv", "scan_nir")

    def test_words_state_units_only_as_words(self) -> None:
        assert unit_in("axis: wavelength (nm) / data: absorbance (a.u.)") == "nm"
        assert quantity_in("axis: wavelength (nm) / data: absorbance (a.u.)") == "absorbance"
        assert unit_in("sample name / normal") is None
        assert quantity_in("preferred / absent") is None


class TestDialects:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("decimal", [".", ","])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    @pytest.mark.parametrize("ending", ["\n", "\r\n"])
    def test_every_dialect_gives_the_same_batch(
        self, tmp_path: Path, separator: str, decimal: str, encoding: str, ending: str
    ) -> None:
        if separator == decimal:
            return
        frame = table(ids=["Léo", "Bö", "S", "naïve", "°C", "x"])
        text = frame.to_csv(
            index=False, sep=separator, decimal=decimal, float_format="%.5f", lineterminator=ending
        )
        batch = read_text(tmp_path, text.encode(encoding))
        np.testing.assert_allclose(batch.spectra, SPECTRA, atol=6e-6)
        assert list(batch.sample_ids) == ["Léo", "Bö", "S", "naïve", "°C", "x"]

    def test_old_mac_line_ends_blank_lines_and_comments(self, tmp_path: Path) -> None:
        text = table().to_csv(index=False, float_format="%.5f")
        rows = text.splitlines()
        noisy = ["# exported by the lab", "", rows[0], rows[1], "", ",,", *rows[2:], ""]
        for ending in ("\n", "\r"):
            batch = read_text(tmp_path, ending.join(noisy))
            assert list(batch.sample_ids) == IDS, repr(ending)

    def test_a_byte_that_is_not_utf8_far_down_is_read_as_windows(self, tmp_path: Path) -> None:
        frame = pd.concat([table(), table(ids=["a", "b", "c", "d", "e", "Müller"])], ignore_index=True)
        raw = frame.to_csv(index=False, float_format="%.5f").encode("cp1252")
        assert read_text(tmp_path, raw).sample_ids.iloc[-1] == "Müller"

    def test_quoted_cells_with_separators_and_line_ends(self, tmp_path: Path) -> None:
        frame = table(ids=["a,1", 'b"2"', "c\n3", "d", "e", "f"])
        batch = read_text(tmp_path, frame.to_csv(index=False, float_format="%.5f"))
        assert list(batch.sample_ids) == ["a,1", 'b"2"', "c\n3", "d", "e", "f"]
        np.testing.assert_allclose(batch.spectra, SPECTRA, atol=6e-6)

    @settings(max_examples=60, deadline=None)
    @given(
        ids=st.lists(
            st.text(
                st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12
            ).filter(lambda s: s.strip() == s and not s.startswith("#")),
            min_size=1,
            max_size=5,
        )
    )
    def test_any_id_survives_or_is_missing(self, ids: list[str]) -> None:
        frame = pd.DataFrame(SPECTRA[: len(ids)], columns=[f"{p:g}" for p in POSITIONS])
        frame.insert(0, "sample_id", ids)
        raw = frame.to_csv(index=False).encode()
        (part,) = read_source(Source.of_bytes(raw, "x.csv"), ReadOptions())
        found = part.samples["sample_id"]  # type: ignore[union-attr, call-overload]
        assert len(found) == len(ids)
        for kept, written in zip(found, ids, strict=True):
            assert kept == written or (kept is None and len(written) < 8)


class TestIds:
    @pytest.mark.parametrize("name", ["Sample ID", "sample_id", "ID", "lab_id", "Probe", "id.layer_uuid_txt"])
    def test_the_id_column_is_found_by_name(self, tmp_path: Path, name: str) -> None:
        frame = table().rename(columns={"sample_id": name})
        frame.insert(0, "country", "NZ")
        assert list(read_text(tmp_path, frame.to_csv(index=False)).sample_ids) == IDS

    def test_else_the_first_column_of_text(self, tmp_path: Path) -> None:
        frame = table().rename(columns={"sample_id": "Erdprobe Nr"})
        assert list(read_text(tmp_path, frame.to_csv(index=False)).sample_ids) == IDS

    def test_a_stated_column_wins_and_a_wrong_one_is_named(self, tmp_path: Path) -> None:
        frame = table()
        frame.insert(1, "bag", [f"bag {i}" for i in range(6)])
        text = frame.to_csv(index=False)
        assert read_text(tmp_path, text, id_column="bag").sample_ids[0] == "bag 0"
        with pytest.raises(BadInput, match="no such id column") as error:
            read_text(tmp_path, text, id_column="box")
        assert "bag" in str(error.value.found)

    def test_no_id_column_leaves_ids_missing(self, tmp_path: Path) -> None:
        batch = read_text(tmp_path, table().drop(columns="sample_id").to_csv(index=False))
        assert len(batch) == 6
        assert batch.sample_ids.isna().all()

    @pytest.mark.parametrize(
        "written", ["007", "1E5", "../../etc/passwd", "a/b\\c", "Ünï 7", "1.23E+12", "=1+1"]
    )
    def test_ids_are_never_changed(self, tmp_path: Path, written: str) -> None:
        batch = read_text(tmp_path, table(ids=[written, *IDS[1:]]).to_csv(index=False))
        assert batch.sample_ids[0] == written

    def test_other_columns_keep_their_kind(self, tmp_path: Path) -> None:
        frame = table()
        frame["clay"] = [10.5, 20, None, 7, 8, 9]
        frame["lod"] = ["<0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]
        frame["plot"] = ["01", "02", "03", "04", "05", "06"]
        samples = read_text(tmp_path, frame.to_csv(index=False)).samples
        assert samples["clay"].dtype == np.float64
        assert samples["lod"][0] == "<0.1"
        assert samples["plot"][0] == "01"


class TestCells:
    def test_missing_words_infinities_and_garbage(self, tmp_path: Path) -> None:
        lines = table().to_csv(index=False, float_format="%.5f").splitlines()

        def put(row: int, column: int, cell: str) -> None:
            cells = lines[row].split(",")
            cells[column] = cell
            lines[row] = ",".join(cells)

        for column, cell in enumerate(
            ("", "NA", "NaN", "#N/A", "n.d.", "masked", "--", "oops", "1.2.3"), start=1
        ):
            put(2, column, cell)
        put(3, 1, "inf")
        batch = read_text(tmp_path, "\n".join(lines))
        assert np.isnan(batch.spectra[1, :9]).all()
        assert np.isinf(batch.spectra[2, 0])
        assert np.isfinite(batch.spectra[3:]).all()
        assert "oops" in batch.origin["inferred"]
        assert "row 2" in batch.origin["inferred"]
        assert "masked" not in batch.origin["inferred"]

    def test_rows_of_the_wrong_length_are_kept_empty(self, tmp_path: Path) -> None:
        lines = table().to_csv(index=False, float_format="%.5f").splitlines()
        lines[2] = lines[2].rsplit(",", 3)[0]
        lines[4] += ",7,8"
        lines[5] += ",,"
        batch = read_text(tmp_path, "\n".join(lines))
        assert list(batch.sample_ids) == IDS
        assert np.isnan(batch.spectra).all(axis=1).tolist() == [False, True, False, True, False, False]
        assert "row 2" in batch.origin["inferred"]

    def test_a_table_cut_in_its_last_row_keeps_that_row(self, tmp_path: Path) -> None:
        text = table().to_csv(index=False, float_format="%.5f")
        batch = read_text(tmp_path, text[:-100])
        assert len(batch) == 6
        assert np.isnan(batch.spectra[-1]).all()

    def test_a_header_that_is_not_the_rows_is_refused(self, tmp_path: Path) -> None:
        lines = table().to_csv(index=False, float_format="%.5f").splitlines()
        text = "\n".join([lines[0], *[line.replace(",", ";") for line in lines[1:]]])
        with pytest.raises(BadInput, match="do not fit its header"):
            read_text(tmp_path, text)

    def test_numbers_without_header_are_refused(self, tmp_path: Path) -> None:
        text = table().drop(columns="sample_id").to_csv(index=False, header=False)
        with pytest.raises(BadInput, match="no header"):
            read_text(tmp_path, text)

    def test_a_header_alone_is_an_empty_batch(self, tmp_path: Path) -> None:
        batch = read_text(tmp_path, table().iloc[:0].to_csv(index=False))
        assert len(batch) == 0
        assert len(batch.axis) == POSITIONS.size

    @pytest.mark.parametrize("content", [b"", b"\n\n\n", b"# only a comment\n"])
    def test_nothing_is_said_to_be_nothing(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(BadInput, match=r"empty|no table"):
            read_text(tmp_path, content)

    def test_a_table_without_bands_has_no_spectra(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="no spectra") as error:
            read_text(tmp_path, "sample_id,clay\na,1\n")
        assert "spectra.csv" in str(error.value.found)

    def test_a_turning_axis_is_refused_where_it_turns(self, tmp_path: Path) -> None:
        names = [f"{p:g}" for p in POSITIONS]
        names[10], names[11] = names[11], names[10]
        with pytest.raises(BadInput, match="not monotone") as error:
            read_text(tmp_path, table(names).to_csv(index=False))
        assert error.value.file == "spectra.csv"


def test_quoted_decimal_commas_between_commas(tmp_path: Path) -> None:
    lines = table().to_csv(index=False, float_format="%.5f").splitlines()
    quoted = [",".join(f'"{cell.replace(".", ",")}"' if i else cell for i, cell in enumerate(row.split(",")))
              for row in lines[1:]]  # fmt: skip
    batch = read_text(tmp_path, "\n".join([lines[0], *quoted]))
    np.testing.assert_allclose(batch.spectra, SPECTRA, atol=6e-6)


def test_a_header_longer_than_the_sample_of_the_file(tmp_path: Path) -> None:
    positions = np.linspace(4000.0, 600.0, 30_000)
    rng = np.random.default_rng(0)
    values = rng.uniform(0.2, 0.9, (2, positions.size))
    header = "sample_id," + ",".join(f"scan_mir.{p:.6f}_abs" for p in positions)
    rows = [f"s{i}," + ",".join(f"{v:.4f}" for v in row) for i, row in enumerate(values)]
    batch = read_text(tmp_path, "\n".join([header, *rows]))
    assert batch.spectra.shape == (2, 30_000)
    np.testing.assert_allclose(batch.spectra, values, atol=6e-5)


def test_where_ids_come_from_is_said(tmp_path: Path) -> None:
    frame = table().rename(columns={"sample_id": "Lab ID"})
    assert "column Lab ID" in read_text(tmp_path, frame.to_csv(index=False)).origin["inferred"]
    assert "inferred" not in read_text(tmp_path, table().to_csv(index=False)).origin
