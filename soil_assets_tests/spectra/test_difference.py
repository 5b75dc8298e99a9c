"""What an altered batch under an old name tells of itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from soil_assets.spectra.axis import Axis
from soil_assets.spectra.difference import difference
from soil_assets.spectra.embedded import limesoda


def test_equal_versions_differ_in_nothing_whatever_the_order() -> None:
    batch = limesoda("NRW.42")
    turned = batch.take(np.arange(len(batch))[::-1])
    assert difference(batch, turned).nothing
    assert difference(batch, turned).in_words() == "the same scans and values as before"


def test_every_kind_of_change_is_told_with_its_samples() -> None:
    old = limesoda("NRW.42").take(np.arange(10))
    samples, spectra = old.samples.copy(), np.array(old.spectra)
    samples.loc[1, "clay"] += 1.0
    samples.loc[2, "ph"] = np.nan
    spectra[3, 7] += 0.001
    new = replace(old, samples=samples, spectra=spectra).take([*range(9)])
    told = difference(old, new)
    ids = old.samples["sample_id"]
    assert told.changed_values == {"clay": (ids[1],), "ph": (ids[2],)}
    assert told.changed_spectra == (ids[3],)
    assert told.removed == (ids[9],)
    assert told.added == ()
    back = difference(new, old)
    assert back.added == (ids[9],)
    for word in (ids[1], ids[2], ids[3], ids[9], "clay", "ph"):
        assert word in told.in_words()


def test_a_scan_more_of_a_sample_is_a_change() -> None:
    old = limesoda("NRW.42").take(np.arange(5))
    new = old.take([0, 0, 1, 2, 3, 4])
    assert difference(old, new).changed_spectra == (old.samples["sample_id"][0],)


def test_another_axis_is_said_once() -> None:
    old = limesoda("NRW.42").take(np.arange(5))
    new = replace(old, axis=Axis(old.axis.values + 1.0, "cm-1"))
    told = difference(old, new)
    assert "became" in told.axis
    assert told.changed_spectra == ()


def test_a_version_without_spectra() -> None:
    batch = limesoda("NRW.42").take(np.arange(3))
    assert difference(None, None).nothing
    assert len(difference(None, batch).added) == 3
    assert len(difference(batch, None).removed) == 3
