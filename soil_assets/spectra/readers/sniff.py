"""Which format a file has, told by its first bytes.

Belongs here: signatures, and the reasons why files that are no spectra are refused.
Does not belong here: names as evidence of a format (only of what desktops and programs leave lying about).
"""

from __future__ import annotations

import re

from soil_assets.errors import BadInput
from soil_assets.spectra.readers import opus, perkin, spa, spc


class NotSpectraError(BadInput):
    """A file that holds no spectra and cannot: a document, a picture, what a desktop leaves behind.

    Beside spectra it is passed over with a note; asked for alone it is refused like any bad input.
    """


#: Formats with a reader.
FORMATS = ("opus", "asd", "spc", "omnic", "jcamp", "perkin", "sed", "parquet", "zip", "text")

_EXPORT = "export the spectra as CSV or JCAMP-DX"
_ASIDE = "leave it out of the batch"
#: Signature and name of files that hold no spectra and cannot.
_DOCUMENTS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"{\\rtf", "a rich-text document"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
#: Signature, what it is, what to do: files that may hold spectra but cannot be read as they are.
_REFUSED: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer, not the file itself",
        "run git lfs pull",
    ),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (OLE)", "save a workbook as .xlsx or CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it, or pack it as .zip"),
    (b"Rar!", "a RAR archive", "unpack it, or pack it as .zip"),
    (b"BZh", "a bzip2 file", "unpack it, or pack it as .zip or .gz"),
    (b"\xfd7zXZ", "an xz file", "unpack it, or pack it as .zip or .gz"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file", "unpack it, or pack it as .zip or .gz"),
    (b"\x89HDF", "an HDF5 file", _EXPORT),
    (b"SQLite format 3", "an SQLite database", _EXPORT),
    (b"RDX", "an R data file", _EXPORT),
    (b"X\n\0\0\0", "an R data file", _EXPORT),
    (b"NIRCAL Project File", "a Buchi NIRCal project, which has no reader here", _EXPORT),
    (b"MATLAB 5.0", "a MATLAB file", _EXPORT),
    (b"Spectral Exte File", "an OMNIC library file, which has no reader here", _EXPORT),
)
_MARKUP = re.compile(rb"\s*(<!doctype|<html|<\?xml|<svg)", re.IGNORECASE)
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")

_NOISE = (
    (r"thumbs\.db", "the picture cache of Windows"),
    (r"desktop\.ini", "folder settings of Windows"),
    (r"\.ds_store", "folder settings of macOS"),
    (r"\._.*", "a macOS resource fork"),
    (r"\.~lock\..*#", "the lock file of an open LibreOffice document"),
    (r"~\$.*", "the lock file of an open Office document"),
    (r"\.git(ignore|attributes|keep)", "a file of Git"),
    (r".*\.(dvc|dvcignore)", "a DVC pointer"),
    (r"_success|_manifest|sha256sums(\.txt)?|md5sums(\.txt)?", "a marker of a whole batch"),
    (r".*\.(tmp|part|partial|crdownload|swp)", "an unfinished download or a temporary file"),
    (r"\..*", "a hidden file"),
)


def noise(name: str) -> str | None:
    """Return what a file is that desktops and programs leave beside data, or None."""
    parts = name.replace("\\", "/").split("/")
    if "__MACOSX" in parts:
        return "a macOS resource fork"
    for pattern, what in _NOISE:
        if re.fullmatch(pattern, parts[-1], re.IGNORECASE):
            return what
    return None


def format_of(head: bytes, file: str) -> str:
    """Return which of :data:`FORMATS` a file has.

    Parameters
    ----------
    head : bytes
        Its first bytes (unpacked, when gzipped).
    file : str
        Its name, for messages.

    Raises
    ------
    BadInput
        With what the file is instead, and what to do about it.
    """
    what = noise(file)
    # A pointer under a desktop file's name is still a pointer.
    if what is not None and not head.startswith(_REFUSED[0][0]):
        raise NotSpectraError("not a spectra file", file=file, found=what, mend=_ASIDE)
    if not head:
        raise BadInput("the file is empty", file=file, found="0 bytes", mend="export or copy it again")
    for signature, what in _DOCUMENTS:
        if head.startswith(signature):
            raise NotSpectraError("not a spectra file", file=file, found=what, mend=_ASIDE)
    for signature, what, mend in _REFUSED:
        if head.startswith(signature):
            raise BadInput("not a spectra file", file=file, found=what, mend=mend)
    if head.startswith(opus.MAGIC):
        return "opus"
    if head.startswith(spa.MAGIC):
        return "omnic"
    if head.startswith((perkin.MEMBER_MAGIC, perkin.TEXT_MAGIC)):
        return "perkin"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    marked = head.startswith(_BYTE_ORDER_MARKS)
    binary = b"\0" in head[:4096] and not marked
    if binary and re.match(rb"ASD|as[2-8]", head):
        return "asd"
    if binary and len(head) > 1 and head[1] in (spc.NEW_LITTLE, spc.NEW_BIG, spc.OLD):
        return "spc"
    if binary or (not marked and _unprintable(head[:4096]) > 0.1):
        raise BadInput(
            "not a spectra file of a known format",
            file=file,
            found=f"binary data beginning with {head[:8].hex(' ')}",
            expected="Bruker OPUS, ASD, SPC, SPA, SPG, JCAMP-DX, Parquet, xlsx, CSV or a zip of these",
            mend=_EXPORT,
        )
    if _MARKUP.match(head):
        if re.search(r"\.(x?html?|xml|svg|kml)$", file, re.IGNORECASE):
            raise NotSpectraError("not a spectra file", file=file, found="a web page or XML", mend=_ASIDE)
        raise BadInput(
            "a web page under the name of data",
            file=file,
            found="HTML or XML",
            mend="download the file again: this is what the server said instead",
        )
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"{", b"[")):
        raise NotSpectraError("not a spectra file", file=file, found="a JSON document", mend=_ASIDE)
    if re.match(rb"(\$\$[^\n]*\n\s*)*##\s*(TITLE|JCAMP)", text, re.IGNORECASE):
        return "jcamp"
    if re.search(rb"^Data:\s*$", head[:8192], re.MULTILINE) and re.search(
        rb"^Instrument:", head[:8192], re.MULTILINE
    ):
        return "sed"
    return "text"


def _unprintable(head: bytes) -> float:
    strange = sum(byte < 9 or 13 < byte < 32 for byte in head)
    return strange / max(1, len(head))
