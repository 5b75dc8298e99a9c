"""The official benchmarks' data, ready to be scored: spectra, targets, folds, groups, sensors.

Belongs here: reading a benchmark's files into arrays by its definition. Does not belong here: definitions and their
checksums (``official``), scoring (``accuracy``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from soil_assets.benchmarks.official import data_file, definition

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ScoredSet:
    """One set with its split.

    Parameters
    ----------
    name : str
    spectra : ndarray of float64, shape (n, n_bands)
        Absorbance.
    targets : mapping of str to ndarray, shape (n,)
        On the scale on which errors are scored; NaN where there is no value.
    fold : ndarray of int64, shape (n,)
        Samples of a fold are predicted by a model of the others; -1 is never predicted.
    groups : ndarray of int64, shape (n,)
        Kept together inside the training folds.
    sensors : ndarray, shape (n, n_sensors), or None
    """

    name: str
    spectra: FloatArray
    targets: Mapping[str, FloatArray]
    fold: IntArray
    groups: IntArray
    sensors: FloatArray | None = None


def limesoda_names() -> list[str]:
    """Return the names of LimeSoDa's spectral sets."""
    from soil_assets.spectra.embedded import spectral_sets

    return list(spectral_sets())


def limesoda_set(name: str) -> ScoredSet:
    """Return a LimeSoDa set on its published folds, with its sensor columns where it has some."""
    from soil_assets.spectra.embedded import limesoda
    from soil_assets.spectra.harmonise import to_quantity

    batch = to_quantity(limesoda(name), "absorbance")
    properties = [p for p in ("soc", "som", "ph", "clay") if p in batch.samples.columns]
    known = {"sample_id", "fold", *properties}
    extra = [c for c in batch.samples.columns if c not in known]
    return ScoredSet(
        name,
        batch.spectra.astype(np.float64),
        {p: batch.property_values(p) for p in properties},
        batch.samples["fold"].to_numpy(dtype=np.int64),
        np.arange(len(batch), dtype=np.int64),
        np.column_stack([batch.property_values(c) for c in extra]) if extra else None,
    )


def kssl_set() -> ScoredSet:
    """Return KSSL-500; carbon and CEC on ln(1 + value), clay in %.

    The official folds keep ten neighbours in the order of layer ids together, which come from the same campaigns;
    the same tens stay together inside the training folds.
    """
    frozen = definition("kssl500")
    table = pd.read_parquet(data_file(frozen.source, frozen.sha256))
    tens = (table["kssl_layer_id"].rank(method="first").astype(int).to_numpy() - 1) // 10
    targets = {}
    for p, transform in frozen.targets.items():
        values = table[p].to_numpy(dtype=np.float64)
        targets[p] = np.log1p(values) if transform == "log1p" else values
    return ScoredSet("kssl500", bands_of(table), targets, (tens % 10).astype(np.int64), tens.astype(np.int64))


def yamsys_set(seed: int) -> tuple[ScoredSet, pd.DataFrame, npt.NDArray[np.str_]]:
    """Return the 26 properties that the authors modelled, scans of a soil averaged, in ten seeded folds by soil.

    Returns
    -------
    ScoredSet
    DataFrame
        The authors' own figures, in the order of the targets.
    ndarray of str, shape (n,)
        Country and site of each soil.
    """
    from soil_assets.modeling.splits import grouped_folds

    frozen = definition("yamsys")
    scans = pd.read_parquet(data_file(frozen.source, frozen.sha256))
    soil, ids = pd.factorize(scans["sample_id"])
    spectra = np.zeros((len(ids), bands_of(scans).shape[1]))
    np.add.at(spectra, soil, bands_of(scans))
    spectra /= np.bincount(soil)[:, None]
    laboratory = pd.read_csv(data_file(frozen.laboratory.path, frozen.laboratory.sha256))  # type: ignore[union-attr]
    laboratory = laboratory.set_index("sample_ID").reindex(ids)
    published = pd.read_csv(data_file(frozen.published.path, frozen.published.sha256))  # type: ignore[union-attr]
    targets = {}
    for response in published["response"]:
        logged = response.startswith("log(")
        values = laboratory[response[4:-1] if logged else response].to_numpy(dtype=np.float64)
        targets[response] = np.log(values) if logged else values
    everyone = np.arange(len(ids), dtype=np.int64)
    # The first two parts of a sample's id are country and site, also where the field metadata are missing.
    site = np.array(["_".join(str(i).split("_")[:2]) for i in ids])
    fold = grouped_folds(everyone, 10, seed)
    return ScoredSet("yamsys", spectra, targets, fold, everyone), published, site


def nirsoil_set() -> ScoredSet:
    """Return NIRsoil: the official split's test part is fold 0, its training part is never predicted."""
    frozen = definition("nirsoil")
    table = pd.read_parquet(data_file(frozen.source, frozen.sha256))
    targets = {p: table[p].to_numpy(dtype=np.float64) for p in frozen.targets}
    fold = np.where(table["split"] != "train", 0, -1).astype(np.int64)
    return ScoredSet("nirsoil", bands_of(table), targets, fold, np.arange(len(table), dtype=np.int64))


def bands_of(table: pd.DataFrame) -> FloatArray:
    """Return the columns that are named by a wavelength or wavenumber."""
    columns = [c for c in table.columns if str(c).replace(".", "", 1).isdigit()]
    return table[columns].to_numpy(dtype=np.float64)
