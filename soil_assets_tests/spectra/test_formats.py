"""Every format from files made of real spectra: values come back, damage is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soil_assets.benchmarks import instrument_files as made
from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.read import read, read_source
from soil_assets.spectra.readers.assemble import assemble
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source

BATCH = made.real_batch()
FILES = made.all_formats(BATCH)
#: Formats of one scan or more whose every byte is spoken for by a header.
BINARY = ("soil_1.0", "soil_2.asd", "soil_3.asd.sco", "soil_4.spc", "soil_5.spc", "soil_6.spc",
          "soil_7.spc", "soil_10.sp", "soil_11.sp",
          "soil_8.spa", "soil_9.spg", "stored.parquet", "wide.parquet", "spectra.xlsx",
          "spectra.csv.gz")  # fmt: skip
FIRST, LAST = float(BATCH.axis.values[0]), float(BATCH.axis.values[-1])


def batch_of(raw: bytes, name: str, options: ReadOptions | None = None) -> SpectralBatch:
    options = options or ReadOptions()
    parts = [p for p in read_source(Source.of_bytes(raw, name), options) if isinstance(p, Scans)]
    (group,) = assemble(parts, options)
    return group.batch


def absorbance(batch: SpectralBatch) -> np.ndarray:
    if batch.quantity == "absorbance":
        return batch.spectra
    return -np.log10(batch.spectra / (100.0 if batch.scale == "percent" else 1.0))


@pytest.mark.parametrize("name", FILES)
def test_the_spectra_come_back(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    batch = read(tmp_path / name)
    expected = BATCH.spectra[: len(batch), : batch.spectra.shape[1]]
    # Text keeps five decimals.
    np.testing.assert_allclose(absorbance(batch), expected, atol=2e-5)
    assert batch.samples["source_file"].notna().all()
    assert (batch.samples["source_row"] >= 1).all()
    if batch.axis.unit == "cm-1":
        assert batch.axis.values[0] == pytest.approx(FIRST, abs=1e-3)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("sixteenth", range(16))
def test_a_file_cut_at_any_sixteenth_is_refused(name: str, sixteenth: int) -> None:
    raw = FILES[name][: len(FILES[name]) * sixteenth // 16]
    with pytest.raises(BadInput) as error:
        batch_of(raw, name)
    assert error.value.file is not None
    assert error.value.file.startswith(name)
    assert error.value.found or error.value.expected


@pytest.mark.parametrize("name", [n for n in FILES if n.endswith((".dx", ".sed"))])
@pytest.mark.parametrize("sixteenth", range(1, 16))
def test_text_that_states_its_point_count_is_refused_when_cut(name: str, sixteenth: int) -> None:
    with pytest.raises(BadInput) as error:
        batch_of(FILES[name][: len(FILES[name]) * sixteenth // 16], name)
    assert error.value.file == name


@pytest.mark.parametrize("name", [n for n in FILES if n not in ("spectra.zip",)])
def test_the_name_does_not_decide_the_format(name: str) -> None:
    honest = batch_of(FILES[name], name)
    disguised = batch_of(FILES[name], "anything.bin")
    np.testing.assert_array_equal(honest.spectra, disguised.spectra)


@pytest.mark.parametrize("name", ["soil_1.0", "soil_2.asd", "soil_dif.dx", "spectra.csv"])
def test_a_gzipped_file_in_several_members_is_one_file(name: str) -> None:
    import gzip

    middle = len(FILES[name]) // 2
    packed = gzip.compress(FILES[name][:middle]) + gzip.compress(FILES[name][middle:])
    batch = batch_of(packed, f"{name}.gz")
    np.testing.assert_array_equal(batch.spectra, batch_of(FILES[name], name).spectra)


def test_wrong_magic_is_named_not_guessed() -> None:
    raw = b"\n\n\xfe\xff" + FILES["soil_1.0"][4:]
    with pytest.raises(BadInput, match="known format") as error:
        batch_of(raw, "soil.0")
    assert "0a 0a fe ff" in str(error.value.found)


class TestAsd:
    REFLECTANCE = np.power(10.0, -BATCH.spectra[0].astype(np.float64))

    def test_counts_are_divided_by_the_white_reference(self) -> None:
        batch = batch_of(made.asd(self.REFLECTANCE, 8), "a.asd")
        np.testing.assert_allclose(batch.spectra[0], self.REFLECTANCE, rtol=1e-6)
        assert "white reference" in batch.origin["inferred"]

    @pytest.mark.parametrize("version", [2, 3, 4, 5, 6, 7, 8])
    def test_every_version_reads_alike(self, version: int) -> None:
        batch = batch_of(made.asd(self.REFLECTANCE, version), "a.asd")
        assert batch.origin["format"] == f"ASD version {version}"
        np.testing.assert_allclose(batch.spectra[0], self.REFLECTANCE, rtol=1e-6)

    def test_the_joins_are_told(self) -> None:
        assert batch_of(made.asd(self.REFLECTANCE, 7), "a.asd").origin["joins"] == "1000, 1830 nm"

    def test_a_splice_corrected_file_holds_the_ratio(self) -> None:
        batch = batch_of(made.asd(self.REFLECTANCE, 1), "a.asd.sco")
        np.testing.assert_array_equal(batch.spectra[0], self.REFLECTANCE.astype(np.float32))
        assert batch.samples["sample_id"][0] == "a"

    def test_counts_without_a_reference_are_refused(self) -> None:
        raw = made.asd(self.REFLECTANCE, 8)
        end = 484 + self.REFLECTANCE.size * 8
        with pytest.raises(BadInput, match="without a white reference"):
            batch_of(raw[:end], "a.asd")

    @pytest.mark.parametrize(("code", "name"), [(2, "radiance"), (4, "irradiance"), (5, "quality index")])
    def test_other_quantities_are_refused_by_name(self, code: int, name: str) -> None:
        raw = bytearray(made.asd(self.REFLECTANCE, 8))
        raw[186] = code
        with pytest.raises(BadInput) as error:
            batch_of(bytes(raw), "a.asd")
        assert error.value.found == name


class TestSpc:
    @pytest.mark.parametrize(("code", "name"), [(13, "Raman shift"), (5, "minutes"), (10, "ppm")])
    def test_other_axes_are_refused_by_name(self, code: int, name: str) -> None:
        raw = bytearray(FILES["soil_4.spc"])
        raw[28] = code
        with pytest.raises(BadInput) as error:
            batch_of(bytes(raw), "a.spc")
        assert error.value.found == name

    def test_an_arbitrary_axis_needs_a_statement(self) -> None:
        raw = bytearray(FILES["soil_4.spc"])
        raw[28] = 0
        with pytest.raises(BadInput, match="wavelength or wavenumber") as error:
            batch_of(bytes(raw), "a.spc")
        assert "axis_unit" in str(error.value.mend)
        assert batch_of(bytes(raw), "a.spc", ReadOptions(axis_unit="cm-1")).axis.unit == "cm-1"

    def test_transmittance_is_converted_and_said(self) -> None:
        percent = (100.0 * np.power(10.0, -BATCH.spectra[:1])).astype(np.float32)
        raw = bytearray(made.spc(percent, FIRST, LAST))
        raw[29] = 128
        batch = batch_of(bytes(raw), "a.spc")
        np.testing.assert_allclose(batch.spectra, BATCH.spectra[:1], atol=1e-5)
        assert "log10(1/T)" in batch.origin["inferred"]

    def test_kubelka_munk_is_converted_and_said(self) -> None:
        reflectance = np.power(10.0, -BATCH.spectra[:1].astype(np.float64))
        raw = bytearray(
            made.spc(((1 - reflectance) ** 2 / (2 * reflectance)).astype(np.float32), FIRST, LAST)
        )
        raw[29] = 3
        batch = batch_of(bytes(raw), "a.spc")
        assert batch.quantity == "reflectance"
        np.testing.assert_allclose(batch.spectra, reflectance, rtol=1e-4)

    def test_values_are_those_of_spc_io(self) -> None:
        import io

        from spc_io import SPC

        for name in ("soil_4.spc", "soil_5.spc"):
            peer = [np.asarray(s.yarray) for s in SPC.from_bytes_io(io.BytesIO(FILES[name]))]
            np.testing.assert_allclose(batch_of(FILES[name], name).spectra, np.stack(peer), rtol=1e-6)


class TestOmnic:
    def test_a_group_keeps_every_spectrum_with_its_title(self) -> None:
        batch = batch_of(FILES["soil_9.spg"], "run.spg")
        assert list(batch.sample_ids) == ["soil_0", "soil_1", "soil_2"]
        assert batch.samples["scan_id"].is_unique

    def test_an_interferogram_is_refused(self) -> None:
        raw = bytearray(FILES["soil_8.spa"])
        header = 304 + 48
        raw[header + 12] = 22
        with pytest.raises(BadInput) as error:
            batch_of(bytes(raw), "a.spa")
        assert error.value.found == "detector signal"


class TestPerkin:
    @pytest.mark.parametrize("name", ["soil_10.sp", "soil_11.sp"])
    def test_ordinates_beyond_the_stated_extremes_are_damage(self, name: str) -> None:
        raw = bytearray(FILES[name])
        raw[-4:] = b"\xff\xff\xff\x3f"
        with pytest.raises(BadInput, match="its ordinates") as error:
            batch_of(bytes(raw), name)
        assert "header states" in str(error.value.expected)

    def test_percent_transmittance_is_converted(self) -> None:
        percent = (100 * np.power(10.0, -BATCH.spectra[0])).astype(np.float32)
        raw = made.perkin_members(percent, FIRST, LAST).replace(b"#u\x01\0A", b"#u\x02\0%T")
        at = raw.index(b"#u\x02\0%T") - 4
        raw = raw[:at] + (6).to_bytes(4, "little") + raw[at + 4 :]
        raw = raw[:46] + (len(raw) - 50).to_bytes(4, "little") + raw[50:]
        np.testing.assert_allclose(batch_of(raw, "a.sp").spectra[0], BATCH.spectra[0], atol=1e-5)

    def test_the_header_tells_instrument_and_operator(self) -> None:
        row = batch_of(FILES["soil_11.sp"], "soil.sp").samples.iloc[0]
        assert (row["instrument"], row["operator"], row["sample_id"]) == ("Spectrum One", "ADMIN", "soil")

    def test_another_axis_is_refused_by_name(self) -> None:
        with pytest.raises(BadInput, match="neither wavenumber nor wavelength") as error:
            batch_of(FILES["soil_11.sp"].replace(b"CM-1", b"SEC1"), "a.sp")
        assert error.value.found == "SEC1"
