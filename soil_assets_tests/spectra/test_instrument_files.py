"""Files that real instruments wrote: each is read, or refused with its real reason; values against other
readers.

The files are not part of the project. They are looked for beside it, and the tests are skipped where they
are not.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.landed import read_landed
from soil_assets.spectra.read import read, read_source
from soil_assets.spectra.readers.asdf import decode_table
from soil_assets.spectra.readers.assemble import assemble
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source
from soil_assets_tests.shared import DATA, needs

FILES = DATA / "instrument_files"
pytestmark = [pytest.mark.shared, needs(FILES)]

#: Files that are no spectra of absorbance or reflectance, with the words that must be in the message.
REFUSED = {
    "asd/pyASDReader__v7sample00000.asd": "radiance",
    "jcamp/jcamp__coffhd.jdx": "GAS CHROMATOGRAPH",
    "jcamp/jcamp__sqzdec1.jdx": "NMR",
    "jcamp/nirs4all-formats__BRUKAFFN.DX": "NMR",
    "jcamp/nirs4all-formats__BRUKDIF.DX": "NMR",
    "jcamp/nirs4all-formats__BRUKPAC.DX": "NMR",
    "jcamp/nirs4all-formats__TESTSPEC.DX": "NMR",
    "jcamp/readJDX__isasspc1.dx": "NMR",
    "not_spectra/swiss-mid-ir-ssl_spectra_version1__.~lock.2018-09-19_BDM_metadata.ods#": "Git LFS pointer",
    "not_spectra/swiss-mid-ir-ssl_spectra_version1__Lucky_Bay_2_CSIRO-Stnd_C1.0": "Git LFS pointer",
    "not_spectra/swiss-mid-ir-ssl_spectra_version1__Thumbs.db": "Git LFS pointer",
    "other_text/nirs4all-formats__muestras-tejido-foliar_transfer.nir": "NIRCal",
    "other_text/soilspec.format__Unknown__example.csv": "empty",
    "spc/spc-parser__NDR0002.SPC": "Raman",
    "spc/spc__4d_map.spc": "ordinate of code 10",
    "spc/spc__BC408_5mmHorizontal.spc": "counts",
    "spc/spc__DOERNER.spc": "Raman",
    "spc/spc__HENE25.SPC": "arbitrary axis",
    "spc/spc__RAMAN.SPC": "Raman",
    "spc/spc__s_xy.spc": "minutes",
    "spc/spc__test_input.spc": "neither absorbance nor reflectance",
    "spc/spectrochempy_data__IG_SAMP.SPC": "interferogram",
}
#: Scans, bands, first and last position, quantity of the others; a selection is spelt out, all must be read.
READ = {
    "other_text/soilspec.format__PerkinElmerPEIR__example.sp": (1, 3676, 7800.0, 450.0, "absorbance"),
    "other_text/soilspec.format__PerkinElmerPEPE__example.sp": (1, 3676, 7800.0, 450.0, "absorbance"),
    "opus/opusreader2__test_spectra.0": (1, 4819, 7498.292, 599.921, "reflectance"),
    "opus/soilspec.format__test_refl.0": (1, 1708, 3997.597, 498.162, "reflectance"),
    "opus/soilspec.format__test_abs.0": (1, 4827, 7498.2, 598.998, "absorbance"),
    "opus/ossl-models__icr056141.0": (1, 1715, 3996.481, 499.815, "absorbance"),
    "opus/spectrochempy_data__not_opus.spa": (1, 5549, 5999.713, 649.921, "absorbance"),
    "asd/soilspec.format__example.asd.sco": (1, 2151, 350.0, 2500.0, "reflectance"),
    "asd/ossl-models__101453MD01.asd": (1, 2151, 350.0, 2500.0, "reflectance"),
    "spa/spectrochempy_data__wodger.spg": (2, 5549, 5999.556, 649.904, "absorbance"),
    "spc/soilspec.format__example.spc": (1, 3676, 7800.0, 450.0, "absorbance"),
    "spc/spc__m_evenz.spc": (32, 171, 200.0, 800.0, "absorbance"),
    "spc/spc__m_ordz.spc": (10, 857, 698.23, 4000.35, "absorbance"),
    "spc/spectrochempy_data__CONTOUR.SPC": (19, 179, 3132.39, 2789.06, "absorbance"),
    "jcamp/jcamp__compound.jdx": None,
    "jcamp/readJDX__SBO.jdx": (1, 1868, 399.212, 3999.838, "absorbance"),
    "other_text/nirs4all-formats__RS-1.dpt": (1, 3439, 800.445, 2500.135, "absorbance"),
    "other_text/nirs4all-formats__1566060_09506_working.sed": (1, 2151, 350.0, 2500.0, "reflectance"),
    "other_text/nirs4all-formats__micronir_forensic_K_avg.xlsx": (88, 125, 908.1, 1676.2, "absorbance"),
    "other_text/nirs4all-formats__neospectra_ossl_50samples_slice.csv": (25, 601, 1350.0, 2550.0, "reflectance"),
    "other_text/soilspec.format__HoneLabRed__example.hlr": (2, 513, 1350.0, 2550.0, "reflectance"),
    "other_text/soilspec.format__CSIROSCANS__example.scan": (1, 2151, 350.0, 2500.0, "reflectance"),
}  # fmt: skip


def everything() -> list[str]:
    if not FILES.is_dir():
        return []
    with (FILES / "MANIFEST.csv").open(newline="") as stream:
        return [row["file"] for row in csv.DictReader(stream)]


def batches_of(name: str) -> list[SpectralBatch]:
    parts = [p for p in read_source(Source.of_file(FILES / name), ReadOptions()) if isinstance(p, Scans)]
    return [group.batch for group in assemble(parts, ReadOptions())]


@pytest.mark.parametrize("name", everything())
def test_every_file_is_read_or_refused_with_its_reason(name: str) -> None:
    if name in REFUSED:
        with pytest.raises(BadInput) as error:
            batches_of(name)
        assert REFUSED[name] in str(error.value)
        return
    batches = batches_of(name)
    assert batches
    for batch in batches:
        assert len(batch) > 0
        assert np.isfinite(batch.spectra).mean() > 0.9
        assert batch.origin["format"]


@pytest.mark.parametrize("name", [n for n, facts in READ.items() if facts])
def test_what_was_read_is_what_the_file_holds(name: str) -> None:
    facts = READ[name]
    assert facts is not None
    (batch,) = batches_of(name)
    scans, bands, first, last, quantity = facts
    assert batch.spectra.shape == (scans, bands)
    assert batch.axis.values[[0, -1]] == pytest.approx([first, last], abs=6e-3)
    assert batch.quantity == quantity


@pytest.mark.parametrize("name", [n for n in everything() if n.startswith("asd/")])
def test_asd_reflectance_is_the_ratio_of_the_stored_spectra(name: str) -> None:
    if name in REFUSED:
        return
    raw = (FILES / name).read_bytes()
    (batch,) = batches_of(name)
    number = {0: "<f4", 2: "<f8"}[raw[199]]
    width = np.dtype(number).itemsize
    sample = np.frombuffer(raw, number, 2151, 484)
    if name.endswith(".sco"):
        expected = sample
    else:
        expected = sample / np.frombuffer(raw, number, 2151, 484 + 2151 * width + 20)
    np.testing.assert_allclose(batch.spectra[0], expected, rtol=1e-6)
    assert 0.0 < np.median(batch.spectra[0]) < 1.2


@pytest.mark.parametrize(
    "name",
    ["spc/spc__s_evenx.spc", "spc/spectrochempy_data__BENZENE.SPC", "spc/spectrochempy_data__XYTRACE.SPC",
     "spc/spc__m_evenz.spc", "spc/spectrochempy_data__SPECTRUM_WITH_BAD_BASELINE.SPC"],
)  # fmt: skip
def test_spc_values_are_those_of_spc_io(name: str) -> None:
    from spc_io import SPC

    peer = [
        np.asarray(s.yarray, np.float32) for s in SPC.from_bytes_io(io.BytesIO((FILES / name).read_bytes()))
    ]
    (batch,) = batches_of(name)
    np.testing.assert_allclose(batch.spectra, np.stack(peer), rtol=1e-6)


def test_sub_spectra_of_an_old_spc_file_follow_the_sine_its_comment_states() -> None:
    # 'Subfiles are the same portion of POLYS multiplied by a sine wave': a check that needs no second reader.
    (batch,) = batches_of("spc/spectrochempy_data__CONTOUR.SPC")
    assert "Sine Wave" in batch.samples["comment"][0]
    heights = batch.spectra[:, 60] - batch.spectra[:, 0]
    angle = np.linspace(0, np.pi, len(batch) + 2)[1:-1]
    assert np.corrcoef(heights, np.sin(angle))[0, 1] > 0.999


def table_lines(name: str) -> tuple[list[str], dict[str, float]]:
    text = (FILES / name).read_bytes().decode("latin-1")
    head, _, tail = re.split(r"(##XYDATA=.*?\n)", text, maxsplit=1)
    lines = [line.split("$$")[0].strip() for line in tail.split("##")[0].splitlines()]
    lines = [line for line in lines if line]
    factor = {k: float(v) for k, v in re.findall(r"##(YFACTOR|NPOINTS)=\s*([\d.eE+-]+)", head)}
    return lines, factor


def test_one_spectrum_in_four_forms_of_jcamp_is_one_spectrum() -> None:
    # The same NMR spectrum as AFFN, PAC, SQZ and DIF/DUP, by the format's authors: the forms check each other.
    decoded = []
    for name in ("nirs4all-formats__BRUKAFFN.DX", "nirs4all-formats__BRUKPAC.DX", "jcamp__sqzdec1.jdx",
                 "nirs4all-formats__BRUKDIF.DX"):  # fmt: skip
        lines, facts = table_lines(f"jcamp/{name}")
        decoded.append(decode_table(lines, name).ordinates)
        assert decoded[-1].size == facts["NPOINTS"] == 16384, name
    affn, pac, sqz, dif = decoded
    np.testing.assert_array_equal(pac, affn)
    # The SQZ file has an E (+5) where the others have a minus: a slip in the file, read as it stands.
    assert np.flatnonzero(sqz != affn).tolist() == [1]
    assert sqz[1] == -affn[1]
    # The DIF file was rounded to sixteen bits of the maximum before it was written.
    assert np.abs(dif - affn).max() <= 972_201_806 / 2**15 / 2 + 1


def test_jcamp_transmittance_keeps_the_stated_maximum() -> None:
    (batch,) = batches_of("jcamp/jcamp__ethanol.jdx")
    transmittance = np.power(10.0, -batch.spectra[0])
    assert transmittance.max() == pytest.approx(1.024, abs=1e-4)
    assert transmittance.min() == pytest.approx(0.142, abs=1e-3)


class TestYamsys:
    FOLDER = DATA / "yamsys_mir_opus"

    def test_the_folder_reads_into_one_batch(self) -> None:
        batch = read(self.FOLDER / "opus")
        assert batch.spectra.shape == (284, 1716)
        assert batch.sample_ids.nunique() == 94
        counts = batch.samples.groupby("sample_id").size().value_counts().to_dict()
        assert counts == {3: 92, 2: 1, 6: 1}
        assert "compensated" in batch.origin["inferred"]

    def test_values_are_those_of_the_table_made_from_the_same_files(self) -> None:
        opus, table = read(self.FOLDER / "opus"), read(self.FOLDER / "yamsys_replicates.parquet")
        assert (table.axis.unit, table.quantity) == ("cm-1", "absorbance")
        place = {name: i for i, name in enumerate(table.samples["file_name"])}
        rows = [place[name] for name in opus.samples["scan_id"]]
        np.testing.assert_allclose(opus.spectra, table.spectra[rows], atol=1e-6)
        np.testing.assert_allclose(opus.axis.values, table.axis.values, atol=1e-3)

    def test_landed_with_its_lab_tables(self, tmp_path: Path) -> None:
        for path in (self.FOLDER / "opus").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        for name in ("soilchem_yamsys.csv", "metadata-field-yamsys.csv", "metadata_soilchem_yamsys.txt"):
            (tmp_path / name).write_bytes((self.FOLDER / name).read_bytes())
        landed = read_landed(tmp_path, built_in_catalogue())
        assert landed.batch is not None
        assert (landed.landed, landed.unreadable, landed.lab_rows) == (284, (), 94 + 80)
        with (self.FOLDER / "soilchem_yamsys.csv").open(newline="") as stream:
            clay = {
                row["sample_ID"]: float(row["clay"].replace("NA", "nan")) for row in csv.DictReader(stream)
            }
        expected = [clay[i] for i in landed.batch.sample_ids]
        np.testing.assert_array_equal(landed.batch.property_values("clay"), expected)
        # The field table has 80 rows for the 94 soils, one of them under a name that no scan bears.
        without = landed.batch.samples.loc[landed.batch.samples["species"].isna(), "sample_id"]
        assert without.nunique() == 15


class TestOssl:
    def test_kssl_csv_and_parquet_are_the_same_spectra(self) -> None:
        folder = DATA / "kssl_mir_500"
        one, two = read(folder / "toy_kssl_mir.csv.gz"), read(folder / "kssl_toy_mir.parquet")
        assert one.axis == two.axis
        order = [list(two.sample_ids).index(i) for i in one.sample_ids]
        np.testing.assert_allclose(one.spectra, two.spectra[order], atol=1e-6)

    @pytest.mark.parametrize(
        ("name", "unit", "quantity", "scale"),
        [
            ("sample_mir_data.csv", "cm-1", "absorbance", "fraction"),
            ("sample_visnir_data.csv", "nm", "reflectance", "fraction"),
            ("sample_neospectra_data.csv", "nm", "reflectance", "percent"),
        ],
    )
    def test_ossl_samples(self, name: str, unit: str, quantity: str, scale: str) -> None:
        batch = read(DATA / "ossl_layout" / "sample-data" / name)
        assert (batch.axis.unit, batch.quantity, batch.scale) == (unit, quantity, scale)

    def test_the_asd_samples_are_in_the_range_of_the_visnir_table(self) -> None:
        folder = DATA / "ossl_layout" / "sample-data"
        table, scan = read(folder / "sample_visnir_data.csv"), read(folder / "101453MD01.asd")
        assert scan.axis == table.axis
        assert table.spectra.min() * 0.5 < scan.spectra[:, 100:].min()
        assert scan.spectra[:, 100:].max() < table.spectra.max() * 1.5


def test_nirsoil_and_afsis_are_absorbance() -> None:
    for name in ("nirsoil/nirsoil.parquet", "afsis_mir_113/afspec.parquet"):
        assert read(DATA / name).quantity == "absorbance"
