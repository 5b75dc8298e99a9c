"""One call for every format: ``read(path_or_url)``.

Belongs here: which reader a file needs, told by its content. Does not belong here: the formats
(``readers``), and folders with lab tables and manifests (``spectra.landed``).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.readers.scans import ReadOptions, Scans, assemble
from soil_assets.spectra.readers.source import Source
from soil_assets.spectra.readers.table import PlainTable


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
    for source in sources(path_or_url, options):
        found = read_source(source, options)
        parts += [p for p in found if isinstance(p, Scans)]
        if isinstance(found, PlainTable) or not found:
            raise BadInput(
                "a table without spectra",
                file=source.name,
                expected="columns named by wavelength or wavenumber, such as scan_mir.600_abs, 350, wn_4000",
            )
    groups = assemble(parts, options)
    if len(groups) != 1:
        raise _several(groups, str(path_or_url))
    return groups[0].batch


def sources(path_or_url: str | os.PathLike[str], options: ReadOptions) -> list[Source]:
    """Return the files that a path or URL names."""
    path = Path(path_or_url)
    if path.is_dir():
        return [
            Source.of_file(p, p.relative_to(path).as_posix()) for p in sorted(path.rglob("*")) if p.is_file()
        ]
    return [Source.of_file(path)]


def read_source(source: Source, options: ReadOptions) -> list[Scans | PlainTable]:
    """Read one file by its content.

    Raises
    ------
    BadInput
        With the reason why the file cannot be read.
    """
    from soil_assets.spectra.readers.columnar import read_columnar
    from soil_assets.spectra.readers.table import read_text_table

    head = source.head()
    if not head:
        raise BadInput("the file is empty", file=source.name, found="0 bytes", mend="export or copy it again")
    if head.startswith(b"PAR1"):
        return [read_columnar(source, options)]
    return [read_text_table(source, options, head)]


def _several(groups: list, name: str) -> BadInput:  # type: ignore[type-arg]
    return BadInput("spectra on several axes", file=name, found="; ".join(repr(g.batch) for g in groups))


class _CallableModule(ModuleType):
    """This module takes the function's place in the package once it is imported: so it answers as one."""

    def __call__(
        self, path_or_url: str | os.PathLike[str], options: ReadOptions | None = None
    ) -> SpectralBatch:
        return read(path_or_url, options)


sys.modules[__name__].__class__ = _CallableModule
