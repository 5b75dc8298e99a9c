"""What a reader gets and hands over.

Belongs here: the readers' common currency (:class:`Scans`), reading options and limits.
Does not belong here: any file format, and making batches of scans (``readers.assemble``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.spectra.axis import AxisUnit
from soil_assets.spectra.batch import Quantity, Scale


@dataclass(frozen=True)
class Limits:
    """Bounds on what is read, so that a hostile or broken archive cannot exhaust the machine.

    Parameters
    ----------
    file_bytes : int
        Largest single file that is taken into memory whole (tables are streamed and not bound by it).
    total_bytes : int
        Most bytes that one folder or archive may hold, unpacked.
    files : int
        Most files in one folder or archive.
    depth : int
        Deepest nesting of folders and of archives in archives.
    """

    file_bytes: int = 256 * 2**20
    total_bytes: int = 8 * 2**30
    files: int = 100_000
    depth: int = 8


@dataclass(frozen=True)
class ReadOptions:
    """What the caller knows better than the file.

    Parameters
    ----------
    quantity, scale, axis_unit : str or None
        Stated by the caller; a file that states something else is refused, a file that is silent takes them.
    id_column : str or None
        Column of a table that names the sample.
    spectra : str or None
        Which of several sets of spectra in one file: the prefix of a table's columns (``scan_mir``), a
        block of an OPUS file (``a``, ``r``).
    sheet : str or None
        Sheet of a workbook.
    file_names : str or None
        Template of the names of one-scan files, such as ``{site}_{sample_id}_{replicate}``.
    limits : Limits
        Bounds on size, count and depth.
    """

    quantity: Quantity | None = None
    scale: Scale | None = None
    axis_unit: AxisUnit | None = None
    id_column: str | None = None
    spectra: str | None = None
    sheet: str | None = None
    file_names: str | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, eq=False)
class Scans:
    """Scans of one file on one axis, before anything is guessed.

    Parameters
    ----------
    file : str
        The file's name as messages show it.
    samples : DataFrame or list of dict
        One row a scan, ``sample_id`` included.
    spectra : ndarray of float32, shape (n_scans, n_bands)
        Intensities.
    positions : ndarray of float64, shape (n_bands,)
        Band positions.
    axis_unit, quantity, scale : str or None
        What the file states; None where it is silent.
    origin : dict
        ``format`` and whatever else the file tells of the whole.
    said : tuple of str
        What the reader chose or converted, in words.
    """

    file: str
    samples: pd.DataFrame | list[dict[str, Any]]
    spectra: npt.NDArray[np.float32]
    positions: npt.NDArray[np.float64]
    axis_unit: AxisUnit | None = None
    quantity: Quantity | None = None
    scale: Scale | None = None
    origin: dict[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.spectra.shape[0])
