"""One call for every format: ``read(path_or_url)``.

Belongs here: which reader a file needs, told by its content. Does not belong here: the formats
(``readers``), and folders with lab tables and manifests (``spectra.landed``).
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

import numpy as np

from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.readers.assemble import Group, assemble
from soil_assets.spectra.readers.container import open_sources
from soil_assets.spectra.readers.names import Template, apply
from soil_assets.spectra.readers.scans import ReadOptions, Scans
from soil_assets.spectra.readers.sniff import NotSpectraError, format_of
from soil_assets.spectra.readers.source import HEAD_BYTES, Source
from soil_assets.spectra.readers.table import PlainTable

#: A sample of a table shows its header and a few rows; a header may take megabytes.
_FEWEST_LINES, _LONGEST_HEADER = 4, 32 << 20


def read(path_or_url: str | os.PathLike[str], options: ReadOptions | None = None) -> SpectralBatch:
    """Read a file, folder or archive of spectra into one batch.

    Parameters
    ----------
    path_or_url : str or path
        A local path, or any URL that fsspec knows (``s3://``, ``gs://``, ``abfs://``, ``memory://`` ...).
    options : ReadOptions, optional
        What the caller knows better than the file.

    Returns
    -------
    SpectralBatch
        ``origin["inferred"]`` says in words whatever the files did not tell and the reader had to choose.

    Raises
    ------
    BadInput
        When anything in it cannot be read, or not all of it lies on one axis. (``read_landed`` keeps what
        can be read and lists the rest.)
    """
    options = options or ReadOptions()
    parts: list[Scans] = []
    without: list[str] = []
    with open_sources(path_or_url, options.limits) as found:
        for source in found:
            try:
                pieces = read_source(source, options)
            except NotSpectraError:
                if len(found) == 1:
                    raise
                continue
            parts += [p for p in pieces if isinstance(p, Scans)]
            without += [p.file for p in pieces if isinstance(p, PlainTable)]
    if not parts:
        raise BadInput(
            "no spectra in it",
            file=str(path_or_url),
            found=f"tables without spectral columns: {', '.join(without[:5])}" if without else "no files",
            expected="columns named by wavelength or wavenumber, such as scan_mir.600_abs, 350, wn_4000",
        )
    groups = assemble(parts, options)
    if len(groups) > 1:
        raise _several(groups, str(path_or_url))
    return groups[0].batch


def read_source(source: Source, options: ReadOptions) -> list[Scans | PlainTable]:
    """Read one file by its content.

    Raises
    ------
    BadInput
        With the reason why the file cannot be read.
    """
    # Damaged numbers become infinite or NaN, which quality sees; they are no news here.
    with np.errstate(all="ignore"):
        pieces = _read_by_content(source, options)
    if options.file_names is not None:
        template = Template.parse(options.file_names)
        pieces = [apply(template, p, source) if isinstance(p, Scans) else p for p in pieces]
    return pieces


def _read_by_content(source: Source, options: ReadOptions) -> list[Scans | PlainTable]:
    head, whole = source.head()
    kind = format_of(head, source.name)
    if kind == "parquet":
        from soil_assets.spectra.readers.columnar import read_columnar

        return [read_columnar(source, options)]
    if kind == "text":
        return [_read_text(source, head, options)]
    raw = head if whole else source.read(options.limits.file_bytes)
    if kind == "opus":
        from soil_assets.spectra.readers.opus import read_opus

        return [read_opus(source, raw, options)]
    if kind == "asd":
        from soil_assets.spectra.readers.asd import read_asd

        return [read_asd(source, raw, options)]
    if kind == "spc":
        from soil_assets.spectra.readers.spc import read_spc

        return [*read_spc(source, raw, options)]
    if kind == "omnic":
        from soil_assets.spectra.readers.spa import read_omnic

        return [*read_omnic(source, raw, options)]
    if kind == "jcamp":
        from soil_assets.spectra.readers.jcamp import read_jcamp

        return [*read_jcamp(source, raw, options)]
    if kind == "perkin":
        from soil_assets.spectra.readers.perkin import read_perkin

        return [read_perkin(source, raw, options)]
    if kind == "sed":
        from soil_assets.spectra.readers.pairs import read_sed

        return [read_sed(source, raw, options)]
    from soil_assets.spectra.readers.workbook import read_workbook

    return read_workbook(source, raw, options)


def _read_text(source: Source, head: bytes, options: ReadOptions) -> Scans | PlainTable:
    from soil_assets.spectra.readers.pairs import looks_like_pairs, read_pairs
    from soil_assets.spectra.readers.table import read_text_table
    from soil_assets.spectra.readers.text import dialect_of, first_rows

    if len(head) == HEAD_BYTES and head.count(b"\n") < _FEWEST_LINES:
        head, _ = source.head(_LONGEST_HEADER)  # a header of very many bands does not fit the usual sample
    dialect = dialect_of(head, source.name)
    if looks_like_pairs(*first_rows(head, dialect)):
        return read_pairs(source, source.read(options.limits.file_bytes), dialect, options)
    return read_text_table(source, options, head, dialect)


def _several(groups: list[Group], name: str) -> BadInput:
    groups = sorted(groups, key=lambda g: -len(g.batch))
    main, other = groups[0], groups[1]
    return BadInput(
        "the spectra do not lie on one axis and quantity",
        file=other.files[0] if other.files else name,
        found=repr(other.batch),
        expected=f"{main.batch!r}, as in {main.files[0]}",
        mend="read them one setting at a time",
    )


class _CallableModule(ModuleType):
    """This module takes the function's place in the package once it is imported: so it answers as one."""

    def __call__(
        self, path_or_url: str | os.PathLike[str], options: ReadOptions | None = None
    ) -> SpectralBatch:
        return read(path_or_url, options)


sys.modules[__name__].__class__ = _CallableModule
