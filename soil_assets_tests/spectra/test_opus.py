"""Bruker OPUS: the block that is taken, its values by hand, and damage told before the decoder meets it."""

from __future__ import annotations

import struct
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
from soil_assets_tests.shared import DATA

pytestmark = pytest.mark.shared

BATCH = made.real_batch()
FIRST, LAST = float(BATCH.axis.values[0]), float(BATCH.axis.values[-1])
ONE = made.opus(BATCH.spectra[0], FIRST, LAST)


def batch_of(raw: bytes, name: str, options: ReadOptions | None = None) -> SpectralBatch:
    options = options or ReadOptions()
    parts = [p for p in read_source(Source.of_bytes(raw, name), options) if isinstance(p, Scans)]
    (group,) = assemble(parts, options)
    return group.batch


def patched(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]


def real_files() -> list[Path]:
    folders = [DATA / "instrument_files" / "opus", DATA / "yamsys_mir_opus" / "opus"]
    found = [p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir())[:30]]
    return [p for p in found if p.read_bytes()[:4] == b"\n\n\xfe\xfe"]


def by_hand(raw: bytes, kind: int) -> list[tuple[np.ndarray, float, float]]:
    """The result spectra of a kind with the ends of their axes, decoded with ``struct`` and nothing else."""
    start, _, count = struct.unpack_from("<3i", raw, 12)
    entries = [struct.unpack_from("<3i", raw, start + 12 * i) for i in range(count)]
    codes = {"data": 3 << 2 | kind << 10, "header": 3 << 2 | 1 << 4 | kind << 10}
    held = [(at, size * 4) for code, size, at in entries if code & 0x3FFFFC == codes["data"]]
    headers = [raw[at : at + size * 4] for code, size, at in entries if code & 0x3FFFFC == codes["header"]]

    def parameter(header: bytes, name: bytes, form: str) -> float:
        return struct.unpack_from(form, header, header.index(name + b"\0") + 8)[0]

    found = []
    for at, size in sorted(held, reverse=True):
        for header in headers:
            points = int(parameter(header, b"NPT", "<i"))
            if 4 * points > size:
                continue
            values = np.frombuffer(raw, "<f4", points, at) * np.float32(parameter(header, b"CSF", "<d"))
            if len(headers) == 1 or values.max() == np.float32(parameter(header, b"MXY", "<d")):
                found.append((values, parameter(header, b"FXV", "<d"), parameter(header, b"LXV", "<d")))
                break
    return found


@pytest.mark.parametrize("path", real_files(), ids=lambda p: p.name)
def test_values_of_real_files_are_those_decoded_by_hand(path: Path) -> None:
    batch = read(path)
    kind = {"a": 4, "r": 12}[batch.origin["block"]]
    values, first, last = by_hand(path.read_bytes(), kind)[0]
    np.testing.assert_array_equal(batch.spectra[0], values)
    np.testing.assert_allclose(batch.axis.values, np.linspace(first, last, values.size), rtol=1e-12)


@pytest.mark.parametrize("path", real_files(), ids=lambda p: p.name)
def test_of_a_whole_file_brukeropus_takes_the_same_block(path: Path) -> None:
    from brukeropus import read_opus

    batch, peer = read(path), read_opus(str(path))
    np.testing.assert_array_equal(batch.spectra[0], np.float32(getattr(peer, batch.origin["block"]).y))
    assert batch.samples["instrument"][0] == peer.params.ins


class TestOpus:
    def test_the_compensated_block_is_taken_and_said(self) -> None:
        other = BATCH.spectra[0] + np.float32(0.01)
        raw = made.opus(BATCH.spectra[0], FIRST, LAST, uncompensated=other)
        batch = batch_of(raw, "a.0")
        np.testing.assert_array_equal(batch.spectra[0], BATCH.spectra[0])
        assert "compensated" in batch.origin["inferred"]
        named = batch_of(raw, "a.0", ReadOptions(spectra="a_2"))
        np.testing.assert_array_equal(named.spectra[0], other)

    def test_reflectance_only_stays_reflectance_and_says_the_conversion(self) -> None:
        reflectance = np.power(10.0, -BATCH.spectra[0]).astype(np.float32)
        batch = batch_of(made.opus(reflectance, FIRST, LAST, data=12), "a.0")
        assert (batch.quantity, batch.scale) == ("reflectance", "fraction")
        np.testing.assert_array_equal(batch.spectra[0], reflectance)
        assert "log10(1/R)" in batch.origin["inferred"]

    def test_what_the_header_tells_is_kept(self) -> None:
        row = batch_of(made.opus(BATCH.spectra[0], FIRST, LAST), "BF_lo_01.2").samples.iloc[0]
        assert row["sample_id"] == "BF_lo_01"
        assert row["replicate"] == "2"
        assert row["instrument"] == "Alpha"
        assert row["scan_date"] == "2015-11-06T14:34:10+01:00"

    def test_single_channels_only_are_refused_by_name(self) -> None:
        raw = made.opus(BATCH.spectra[0], FIRST, LAST, data=2)
        with pytest.raises(BadInput, match="no result spectrum") as error:
            batch_of(raw, "a.0")
        assert error.value.found == "result interferogram"
        assert "AB" in str(error.value.mend)

    def test_a_block_that_is_not_there_is_named(self) -> None:
        with pytest.raises(BadInput, match="no such block") as error:
            batch_of(ONE, "a.0", ReadOptions(spectra="r"))
        assert error.value.found == "a"

    def test_a_parameter_of_negative_size_is_refused_at_once(self) -> None:
        # On such a file the reference reader never returns.
        at = ONE.index(b"INS\0") + 6
        raw = ONE[:at] + b"\xfc\xff" + ONE[at + 2 :]
        with pytest.raises(BadInput, match="a parameter"):
            batch_of(raw, "a.0")

    def test_a_point_count_beyond_the_block_is_refused(self) -> None:
        at = ONE.index(b"NPT\0") + 8
        raw = ONE[:at] + b"\xff\xff\xff\x7f" + ONE[at + 4 :]
        with pytest.raises(BadInput, match="point count") as error:
            batch_of(raw, "a.0")
        assert "2147483647" in str(error.value.found)

    def test_a_block_of_whole_numbers_is_read_as_such(self) -> None:
        counts = np.arange(BATCH.spectra.shape[1], dtype="<i4") + 7
        raw = made.opus(counts.view("<f4"), FIRST, LAST)
        raw = patched(raw, raw.index(b"DPF\0") + 8, struct.pack("<i", 2))
        raw = patched(raw, raw.index(b"CSF\0") + 8, struct.pack("<d", 0.001))
        np.testing.assert_allclose(batch_of(raw, "a.0").spectra[0], counts * 0.001, rtol=1e-6)

    def test_two_blocks_of_the_same_extremes_are_both_found(self) -> None:
        # Compensation changes the bands of water vapour and CO2, which need not hold minimum or maximum.
        other = BATCH.spectra[0].copy()
        inner = np.setdiff1d(np.arange(other.size), [other.argmin(), other.argmax()])[100:200]
        other[inner] = other[inner][::-1]
        raw = made.opus(BATCH.spectra[0], FIRST, LAST, uncompensated=other)
        np.testing.assert_array_equal(batch_of(raw, "a.0").spectra[0], BATCH.spectra[0])
        np.testing.assert_array_equal(batch_of(raw, "a.0", ReadOptions(spectra="a_2")).spectra[0], other)

    def test_two_headers_that_cannot_be_told_apart_are_refused_when_they_differ(self) -> None:
        raw = made.opus(BATCH.spectra[0], FIRST, LAST, uncompensated=BATCH.spectra[0])
        raw = patched(raw, raw.index(b"FXV\0") + 8, struct.pack("<d", FIRST - 100))
        with pytest.raises(BadInput, match="result blocks"):
            batch_of(raw, "a.0")

    def test_one_header_of_two_blocks_serves_both(self) -> None:
        raw = made.opus(BATCH.spectra[0], FIRST, LAST, uncompensated=BATCH.spectra[1])
        # The header of the first block becomes one of a kind that is not looked at.
        at = raw.index(struct.pack("<i", 3 | 3 << 2 | 1 << 4 | 4 << 10))
        raw = patched(raw, at, struct.pack("<i", 3 | 1 << 2 | 3 << 4))
        np.testing.assert_array_equal(batch_of(raw, "a.0").spectra[0], BATCH.spectra[0])

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            (b"NPT", struct.pack("<i", -1), "point count"),
            (b"FXV", struct.pack("<d", float("nan")), "axis"),
            (b"LXV", struct.pack("<d", float("inf")), "axis"),
            (b"DPF", struct.pack("<i", 9), "number format"),
            (b"DXU", b"PN\0\0", "neither wavenumber nor wavelength"),
        ],
    )  # fmt: skip
    def test_a_header_that_cannot_be_true_is_refused(self, name: bytes, value: bytes, words: str) -> None:
        with pytest.raises(BadInput, match=words):
            batch_of(patched(ONE, ONE.index(name + b"\0") + 8, value), "a.0")

    def test_a_header_without_its_factor_is_refused(self) -> None:
        with pytest.raises(BadInput, match="header"):
            batch_of(ONE.replace(b"CSF\0", b"CSX\0"), "a.0")

    def test_blocks_that_share_their_bytes_are_refused(self) -> None:
        # Each would be copied: ten thousand entries of one large block ask for any amount of memory.
        start, _, count = struct.unpack_from("<3i", ONE, 12)
        entry = ONE[start + 12 * (count - 1) : start + 12 * count]
        raw = patched(ONE, start + 12 * count, entry)
        with pytest.raises(BadInput, match="directory") as error:
            batch_of(patched(raw, 20, struct.pack("<i", count + 1)), "a.0")
        assert error.value.expected == "blocks side by side"

    def test_more_result_blocks_than_opus_writes_are_refused(self) -> None:
        # Every spectrum is compared with every header of its kind.
        entries, room = 5_000, 10_000
        directory = b"".join(
            struct.pack("<3i", 3 | 3 << 2 | 4 << 10, 1, 24 + 12 * room + 4 * i) for i in range(entries)
        ).ljust(12 * room, b"\0")
        raw = b"\n\n\xfe\xfe" + struct.pack("<d3i", 1.0, 24, room, entries) + directory + bytes(4 * entries)
        with pytest.raises(BadInput, match="directory") as error:
            batch_of(raw, "a.0")
        assert "5000 result blocks" in str(error.value.found)

    def test_a_damaged_block_that_is_not_needed_does_no_harm(self) -> None:
        # A series of spectra that announces two thousand million of them.
        start, _, count = struct.unpack_from("<3i", ONE, 12)
        series = struct.pack("<6i", 0, 2_000_000_000, 24, 2_000_000_000, 0, 0)
        raw = patched(
            ONE, start + 12 * count, struct.pack("<3i", 3 | 1 << 2 | 4 << 10 | 2 << 19, 6, len(ONE))
        )
        raw = patched(raw, 20, struct.pack("<i", count + 1)) + series
        np.testing.assert_array_equal(batch_of(raw, "a.0").spectra[0], BATCH.spectra[0])
