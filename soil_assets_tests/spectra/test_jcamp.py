"""JCAMP-DX: the five forms of ordinates, the checks of the format, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soil_assets.benchmarks.instrument_files import jcamp, real_batch
from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.read import read_source
from soil_assets.spectra.readers.asdf import decode_table
from soil_assets.spectra.readers.assemble import assemble
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.source import Source

BATCH = real_batch()
FORMS = ("AFFN", "PAC", "SQZ", "DIF", "DUP")


def read(text: str | bytes) -> SpectralBatch:
    raw = text.encode("latin-1") if isinstance(text, str) else text
    parts = [p for p in read_source(Source.of_bytes(raw, "soil.dx"), ReadOptions()) if isinstance(p, Scans)]
    (group,) = assemble(parts, ReadOptions())
    return group.batch


def file_of(form: str) -> str:
    return jcamp(BATCH.spectra[0], BATCH.axis.values, form).decode()


@settings(max_examples=150, deadline=None)
@given(
    whole=st.lists(st.integers(-(10**7), 10**7), min_size=2, max_size=60),
    repeat=st.integers(1, 12),
    form=st.sampled_from(FORMS),
)
def test_any_ordinates_come_back_in_any_form(whole: list[int], repeat: int, form: str) -> None:
    values = [v for v in whole for _ in range(repeat)]
    positions = np.linspace(4000.0, 600.0, len(values))
    lines = jcamp(np.array(values, np.float64) * 1e-5, positions, form).decode().splitlines()
    start = lines.index("##XYDATA=(X++(Y..Y))") + 1
    table = decode_table(lines[start:-1], "soil.dx")
    np.testing.assert_array_equal(table.ordinates, values)
    table.check_abscissae(positions, "soil.dx")


@pytest.mark.parametrize("line", ["4000.0E00000e00001", "4000.0 E00000e00001"])
def test_squeezed_fives_are_no_exponents(line: str) -> None:
    assert decode_table([line], "soil.dx").ordinates.tolist() == [500000, -500001]


def test_the_worked_example_of_the_format() -> None:
    # McDonald & Wilks 1988, table IV: one line of ordinates in each of the five forms.
    expected = [1, 2, 3, 3, 2, 1, 0, -1, -2, -3]
    for line in (
        "599.860 1 2 3 3 2 1 0 -1 -2 -3",
        "599.860+1+2+3+3+2+1+0-1-2-3",
        "599.860ABCCBA@abc",
        "599.860AJJ%jjjjjj",
        "599.860AJT%jX",
    ):
        assert decode_table([line], "example").ordinates.tolist() == expected, line


def test_missing_ordinates_are_nan() -> None:
    table = decode_table(["1 A?C"], "x")
    assert table.ordinates[0] == 1
    assert np.isnan(table.ordinates[1])
    assert table.ordinates[2] == 3


def test_exponents_are_not_taken_for_squeezed_digits() -> None:
    assert decode_table(["4000.0 1.5E-3 -2.0e+2"], "x").ordinates.tolist() == [0.0015, -200.0]


def test_a_failing_ordinate_check_is_damage() -> None:
    with pytest.raises(BadInput, match="ordinate check") as error:
        decode_table(["1AJJ", "3DJJ", "5EJ"], "x")
    assert error.value.row == 2


def test_a_missing_line_fails_the_abscissa_check() -> None:
    lines = file_of("SQZ").splitlines()
    del lines[40]
    count = len(BATCH.axis) - 8
    text = "\r\n".join(lines).replace(f"##NPOINTS={len(BATCH.axis)}", f"##NPOINTS={count}")
    with pytest.raises(BadInput, match="abscissa check"):
        read(text)


def test_a_wrong_point_count_is_damage() -> None:
    with pytest.raises(BadInput, match="point count"):
        read(file_of("AFFN").replace(f"##NPOINTS={len(BATCH.axis)}", "##NPOINTS=17"))


@pytest.mark.parametrize("token", ["Z99999999999", "A Z9999999"])
def test_a_hostile_repetition_is_refused(token: str) -> None:
    with pytest.raises(BadInput):
        decode_table([f"1 {token}"], "x")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("INFRARED SPECTRUM", "NMR SPECTRUM", "not an infrared"),
        ("INFRARED SPECTRUM", "MASS SPECTRUM", "not an infrared"),
        ("##XUNITS=1/CM", "##XUNITS=SECONDS", "neither wavenumber nor wavelength"),
        ("##YUNITS=ABSORBANCE", "##YUNITS=COUNTS", "not a spectrum of absorbance"),
        ("##XYDATA=(X++(Y..Y))", "##PEAK TABLE=(XY..XY)", "another table"),
        ("##FIRSTX=", "##NOTX=", "where its points lie"),
    ],
)
def test_other_contents_are_refused_by_name(old: str, new: str, match: str) -> None:
    text = file_of("AFFN")
    assert old in text
    with pytest.raises(BadInput, match=match):
        read(text.replace(old, new))


def test_several_blocks_are_several_scans() -> None:
    one = file_of("DIF").replace("##TITLE=soil", "##TITLE=first")
    two = file_of("SQZ").replace("##TITLE=soil", "##TITLE=second")
    link = "##TITLE=both\r\n##JCAMP-DX=4.24\r\n##DATA TYPE=LINK\r\n##BLOCKS=2\r\n"
    batch = read(link + one + two + "##END=\r\n")
    assert list(batch.sample_ids) == ["first", "second"]
    np.testing.assert_allclose(batch.spectra[0], batch.spectra[1], atol=1e-7)


def test_pairs_and_micrometres() -> None:
    points = "\n".join(
        f"{1e4 / p:.6f}, {v:.5f}" for p, v in zip(BATCH.axis.values, BATCH.spectra[0], strict=True)
    )
    text = (
        "##TITLE=x\n##JCAMP-DX=5.0\n##DATA TYPE=INFRARED SPECTRUM\n"
        "##XUNITS=MICROMETERS\n##YUNITS=ABSORBANCE\n"
        f"##NPOINTS={len(BATCH.axis)}\n##XYPOINTS=(XY..XY)\n{points}\n##END=\n"
    )
    batch = read(text)
    assert batch.axis.unit == "nm"
    np.testing.assert_allclose(1e7 / batch.axis.values, BATCH.axis.values, rtol=1e-5)


@pytest.mark.parametrize("form", ["AFFN", "PAC", "SQZ", "DIF"])
def test_values_are_those_of_the_jcamp_package(form: str) -> None:
    # Its reader does not understand DUP without DIF, so that form has no peer here.
    import jcamp as peer

    ours = read(file_of(form))
    theirs = peer.read(file_of(form).splitlines())
    np.testing.assert_allclose(ours.spectra[0], theirs["y"], rtol=1e-6)
