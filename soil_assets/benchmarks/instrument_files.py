"""Instrument files made from real spectra: what the fuzz bench and the readers' tests start from.

Belongs here: small writers, one a format, that put a given spectrum into the layout the readers expect.
Does not belong here: anything a user needs. The layouts are those of the readers' docstrings; that the
readers understand files of real instruments is tested against such files, where they are at hand.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from soil_assets.spectra.batch import SpectralBatch

Spectrum = npt.NDArray[np.float32]


def real_batch() -> SpectralBatch:
    """Return twelve real soils as absorbance: LimeSoDa NRW.115, FT-MIR."""
    from soil_assets.spectra.embedded import limesoda
    from soil_assets.spectra.harmonise import to_quantity

    return to_quantity(limesoda("NRW.115").take(range(12)), "absorbance")


def all_formats(batch: SpectralBatch | None = None) -> dict[str, bytes]:
    """Return one file for every format and variant, by file name."""
    batch = real_batch() if batch is None else batch
    y, x = batch.spectra[0], batch.axis.values
    files = {
        "soil_1.0": opus(y, float(x[0]), float(x[-1])),
        "soil_2.asd": asd(np.power(10.0, -y.astype(np.float64)), version=8),
        "soil_3.asd.sco": asd(np.power(10.0, -y.astype(np.float64)), version=1),
        "soil_4.spc": spc(batch.spectra[:1], float(x[0]), float(x[-1])),
        "soil_5.spc": spc(batch.spectra[:3], float(x[0]), float(x[-1]), form="integer"),
        "soil_6.spc": spc(batch.spectra[:1], float(x[0]), float(x[-1]), order=">"),
        "soil_7.spc": spc_old(y, float(x[0]), float(x[-1])),
        "soil_8.spa": omnic(batch.spectra[:1], float(x[0]), float(x[-1])),
        "soil_9.spg": omnic(batch.spectra[:3], float(x[0]), float(x[-1])),
        "soil_10.sp": perkin_members(y, float(x[0]), float(x[-1])),
        "soil_11.sp": perkin_text(y, float(x[0]), float(x[-1])),
        "soil.sed": sed(np.power(10.0, -y.astype(np.float64))),
        "soil.dpt": b"".join(b"%.5f,%.5f\r\n" % (p, v) for p, v in zip(x, y, strict=True)),
    }
    for form in ("AFFN", "PAC", "SQZ", "DIF", "DUP"):
        files[f"soil_{form.lower()}.dx"] = jcamp(y, x, form)
    files |= tables(batch)
    return files


def tables(batch: SpectralBatch) -> dict[str, bytes]:
    """Return the batch as tables: CSV in several dialects, Parquet (wide and stored), workbook, archive."""
    import pandas as pd

    from soil_assets.spectra.parquet import to_parquet

    wide = pd.DataFrame(batch.spectra, columns=[f"scan_mir.{p:g}_abs" for p in batch.axis.values])
    wide.insert(0, "sample_id", batch.samples["sample_id"])
    csv = wide.to_csv(index=False, float_format="%.5f").encode()
    stored, columnar, book = io.BytesIO(), io.BytesIO(), io.BytesIO()
    to_parquet(batch, stored)
    wide.to_parquet(columnar, index=False)
    wide.iloc[:4, :200].to_excel(book, index=False)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("spectra/one.csv", wide.iloc[:7].to_csv(index=False, float_format="%.5f"))
        pack.writestr("spectra/two.csv", wide.iloc[7:].to_csv(index=False, float_format="%.5f"))
    german = wide.iloc[:4].to_csv(index=False, sep=";", decimal=",", float_format="%.5f")
    return {
        "spectra.csv": csv,
        "spectra_german.csv": b"\xef\xbb\xbf" + german.encode(),
        "spectra.tsv": wide.iloc[:4].to_csv(index=False, sep="\t", float_format="%.5f").encode("utf-16"),
        "spectra.csv.gz": gzip.compress(csv, mtime=0),
        "stored.parquet": stored.getvalue(),
        "wide.parquet": columnar.getvalue(),
        "spectra.xlsx": book.getvalue(),
        "spectra.zip": archive.getvalue(),
    }


def opus(
    y: Spectrum, first: float, last: float, data: int = 4, uncompensated: Spectrum | None = None
) -> bytes:
    """Return a Bruker OPUS file with one result block of kind ``data`` (4 absorbance, 12 reflectance).

    ``uncompensated`` adds a second block of the same kind, written before the first.
    """
    spectra = [y] if uncompensated is None else [uncompensated, y]
    blocks = [
        (_opus_type(0, 2), _opus_parameters({"INS": "Alpha", "SRN": "2 00639"})),
        (_opus_type(0, 10), _opus_parameters({"SNM": "soil", "CNM": "Default"})),
    ]
    for values in spectra:
        values = np.asarray(values, dtype="<f4")
        status: dict[str, int | float | str] = {
            "DPF": 1, "NPT": values.size, "FXV": first, "LXV": last, "CSF": 1.0, "MXY": float(values.max()),
            "MNY": float(values.min()), "DXU": "WN", "DAT": "06/11/2015", "TIM": "14:34:10.160 (GMT+1)",
        }  # fmt: skip
        blocks += [
            (_opus_type(3, 1, data), _opus_parameters(status)),
            (_opus_type(3, 0, data), values.tobytes()),
        ]
    directory_at, room = 24, 40
    at = directory_at + 12 * room
    entries = [(_opus_type(0, 0, 13), 12 * room // 4, directory_at)]
    body = b""
    for code, content in blocks:
        content += b"\0" * (-len(content) % 4)
        entries.append((code, len(content) // 4, at + len(body)))
        body += content
    directory = b"".join(struct.pack("<3i", *entry) for entry in entries).ljust(12 * room, b"\0")
    return (
        b"\n\n\xfe\xfe" + struct.pack("<d3i", 920622.0, directory_at, room, len(entries)) + directory + body
    )


def _opus_type(role: int, kind: int, data: int = 0) -> int:
    return 3 | role << 2 | kind << 4 | data << 10


def _opus_parameters(values: Mapping[str, int | float | str]) -> bytes:
    packed = b""
    for name, value in values.items():
        if isinstance(value, int):
            kind, content = 0, struct.pack("<i", value)
        elif isinstance(value, float):
            kind, content = 1, struct.pack("<d", value)
        else:
            kind, content = 2, value.encode("latin-1") + b"\0"
            content += b"\0" * (len(content) % 2)
        packed += name.encode() + b"\0" + struct.pack("<2h", kind, len(content) // 2) + content
    return packed + b"END\0" + struct.pack("<2h", 0, 0)


def asd(reflectance: npt.NDArray[np.float64], version: int) -> bytes:
    """Return an ASD file from 350 nm on at 1 nm: counts and a white reference, or (version 1) their ratio."""
    header = bytearray(484)
    header[:3] = b"ASD" if version == 1 else b"as%d" % version
    header[160:178] = struct.pack("<9h", 31, 4, 10, 20, 5, 117, 2, 170, 0)
    header[186] = 1  # reflectance
    struct.pack_into("<2f", header, 191, 350.0, 1.0)
    header[199] = 0 if version == 1 else 2
    struct.pack_into("<H", header, 204, reflectance.size)
    struct.pack_into("<H", header, 400, 16453)
    header[431] = 4
    struct.pack_into("<2f", header, 444, 1000.0, 1830.0)
    if version == 1:
        return bytes(header) + reflectance.astype("<f4").tobytes()
    white = 20_000.0 + 5_000.0 * np.sin(np.linspace(0.0, 6.0, reflectance.size))
    reference = struct.pack("<h2dh", -1, 0.0, 0.0, 0)
    return (
        bytes(header)
        + (reflectance * white).astype("<f8").tobytes()
        + reference
        + white.astype("<f8").tobytes()
    )


def spc(
    spectra: npt.NDArray[np.float32], first: float, last: float, form: str = "float", order: str = "<"
) -> bytes:
    """Return an SPC file of the current format, ordinates as float or as 32-bit integer with an exponent."""
    several = len(spectra) > 1
    power = -128 if form == "float" else int(np.ceil(np.log2(np.abs(spectra).max()))) + 1
    head = struct.pack(
        f"{order}BBBbIddI4BI", 4 if several else 0, 0x4B if order == "<" else 0x4C, 0, power,
        spectra.shape[1], first, last, len(spectra), 1, 2, 0, 0, 2015 << 20 | 11 << 16 | 6 << 11 | 14 << 6,
    ).ljust(512, b"\0")  # fmt: skip
    body = b""
    for number, values in enumerate(spectra):
        body += struct.pack(f"{order}BbH6f", 0, power, number, 0, 0, 0, 0, 0, 0).ljust(32, b"\0")
        if form == "float":
            body += values.astype(f"{order}f4").tobytes()
        else:
            body += np.round(values.astype(np.float64) * 2.0 ** (32 - power)).astype(f"{order}i4").tobytes()
    return head + body


def spc_old(y: Spectrum, first: float, last: float) -> bytes:
    """Return an SPC file of the old format: integers with their 16-bit words swapped."""
    power = int(np.ceil(np.log2(np.abs(y).max()))) + 1
    head = struct.pack("<BBhfffBBHBBBB", 0, 0x4D, power, y.size, first, last, 1, 2, 1992, 5, 14, 20, 19)
    whole = np.round(y.astype(np.float64) * 2.0 ** (32 - power)).astype("<i4").view("<u2").reshape(-1, 2)
    return head.ljust(224, b"\0") + bytes(32) + whole[:, ::-1].tobytes()


def omnic(spectra: npt.NDArray[np.float32], first: float, last: float) -> bytes:
    """Return an OMNIC file: SPA with one spectrum, SPG with several."""
    keys: list[tuple[int, int, int]] = []
    at = 304 + 16 * 3 * len(spectra)
    body = b""
    for number, values in enumerate(spectra):
        header = struct.pack("<4xIB3xB3x2f", values.size, 1, 17, first, last).ljust(140, b"\0")
        title = f"soil_{number}.spa, Tue May 15 2018".encode().ljust(264, b"\0")
        content = values.astype("<f4").tobytes()
        for kind, piece in ((2, header), (107, title), (3, content)):
            keys.append((kind, at + len(body), len(piece)))
            body += piece
    head = bytearray(304)
    head[:20] = b"Spectral Data File\r\n"
    head[30:34] = b"soil"
    struct.pack_into("<HI", head, 294, len(keys), 3735420502)
    table = b"".join(struct.pack("<HII6x", *key) for key in keys)
    return bytes(head) + table + body


def perkin_members(y: Spectrum, first: float, last: float) -> bytes:
    """Return a PerkinElmer file of the member format."""

    def member(kind: int, content: bytes) -> bytes:
        return struct.pack("<Hi", kind, len(content)) + content

    def text(words: str) -> bytes:
        return struct.pack("<HH", 0x7523, len(words)) + words.encode()

    values = y.astype("<f8")
    spectrum = b"".join(
        (
            member(0x8B72, struct.pack("<H2d", 0x751D, first, last)),
            member(0x8B73, struct.pack("<H2d", 0x751D, values.min(), values.max())),
            member(0x8B75, struct.pack("<Hi", 0x752B, values.size)),
            member(0x8B77, text("cm-1")),
            member(0x8B78, text("A")),
            member(0x8B81, text("soil")),
            member(0x8B7C, struct.pack("<Hi", 0x7516, values.nbytes) + values.tobytes()),
        )
    )
    return b"PEPE2D constant interval DataSet file".ljust(44, b"\0") + member(120, spectrum)


def perkin_text(y: Spectrum, first: float, last: float) -> bytes:
    """Return a PerkinElmer file of the older format: a header of lines, whole numbers."""
    scale = 2.0**-23
    whole = np.round(y.astype(np.float64) / scale).astype("<i4")
    values = whole * scale
    head = ["PE IR                   SPECTRUM    BINARY      PEDS        1.60        ", "  -1", "SOIL.SP"]
    head += ["21/07/01", "14:20:18.00"] * 2 + [
        "ADMIN",
        *[""] * 12,
        "SPECTRUM ONE,CPU32 MAIN",
        "#HDR",
        "-1",
        "-1",
        "#GR",
    ]
    step = (last - first) / (y.size - 1)
    head += ["CM-1", "A", f"{scale!r}", "0.0", f"{first!r}", f"{step!r}", f"{y.size}", "8"]
    head += [f"{values.max():.6f}", f"{values.min():.6f}", "#DATA", ""]
    return "\r\n".join(head).encode() + whole.tobytes()


def sed(reflectance: npt.NDArray[np.float64]) -> bytes:
    """Return a Spectral Evolution file over 350 nm and up."""
    lines = [
        "Comment: ", "Version: 2.2", "Instrument: PSR+3500_SN15B6069 [3]",
        "Measurement: REFLECTANCE", "Date: 09/20/2024,09/20/2024",
        f"Channels: {reflectance.size}", "Columns [2]:", "Data:", "Wvl\tReflect. %",
    ]  # fmt: skip
    lines += [f" {350 + i:.1f}\t{100 * value:10.4f}" for i, value in enumerate(reflectance)]
    return "\r\n".join(lines).encode() + b"\r\n"


def jcamp(y: Spectrum, x: npt.NDArray[np.float64], form: str) -> bytes:
    """Return a JCAMP-DX file with its ordinates in one of the five forms of the format."""
    factor = 1e-5
    whole = np.round(y.astype(np.float64) / factor).astype(int).tolist()
    encode: Callable[[list[int]], str] = {
        "AFFN": lambda v: " ".join(map(str, v)),
        "PAC": lambda v: "".join(f"{n:+d}" for n in v),
        "SQZ": lambda v: "".join(map(_squeezed, v)),
        "DIF": lambda v: _squeezed(v[0]) + "".join(_difference(b - a) for a, b in pairwise(v)),
        "DUP": _duplicated,
    }[form]
    lines = [
        "##TITLE=soil", "##JCAMP-DX=4.24", "##DATA TYPE=INFRARED SPECTRUM", "##ORIGIN=", "##OWNER=",
        "##XUNITS=1/CM", "##YUNITS=ABSORBANCE", "##XFACTOR=1", f"##YFACTOR={factor}",
        f"##FIRSTX={float(x[0])!r}", f"##LASTX={float(x[-1])!r}",
        f"##NPOINTS={len(whole)}", f"##FIRSTY={whole[0] * factor!r}", "##XYDATA=(X++(Y..Y))",
    ]  # fmt: skip
    length = 8
    for start in range(0, len(whole), length):
        # In difference form a line ends with the next line's first ordinate as its check.
        stop = start + length + (form == "DIF")
        gap = "" if form in ("PAC", "SQZ", "DIF") else " "
        lines.append(f"{np.linspace(x[0], x[-1], len(whole))[start]:.3f}{gap}{encode(whole[start:stop])}")
    return "\r\n".join([*lines, "##END="]).encode() + b"\r\n"


def _squeezed(value: int) -> str:
    digits = str(abs(value))
    return ("@ABCDEFGHI" if value >= 0 else "@abcdefghi")[int(digits[0])] + digits[1:]


def _difference(value: int) -> str:
    digits = str(abs(value))
    return ("%JKLMNOPQR" if value >= 0 else "%jklmnopqr")[int(digits[0])] + digits[1:]


def _duplicated(values: list[int]) -> str:
    text, at = "", 0
    while at < len(values):
        count = 1
        while at + count < len(values) and values[at + count] == values[at] and count < 9:
            count += 1
        text += _squeezed(values[at]) + (" STUVWXYZs"[count] if count > 1 else "")
        at += count
    return text
