"""What the gate says about whole libraries that others measured: few words, and the true ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from soil_assets.quality.reference_figures import ReferenceFigures
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.harmonise import harmonise
from soil_assets_tests.quality.batches import judge, real
from soil_assets_tests.shared import DATA

pytestmark = pytest.mark.shared

KSSL = DATA / "kssl_mir_500/kssl_toy_mir.parquet"
AFSIS = DATA / "afsis_mir_113/afspec.parquet"
NIRSOIL = DATA / "nirsoil/nirsoil.parquet"
#: The range that all mid-infrared instruments here have in common.
MIR = Axis.regular(3796, 604, 4, "cm-1")


def wide(path: Path, unit: str, id_column: str) -> SpectralBatch:
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    table = pd.read_parquet(path)
    bands = [c for c in table.columns if c.replace(".", "", 1).isdigit()]
    samples = table.drop(columns=bands).rename(columns={id_column: "sample_id"}).astype({"sample_id": str})
    axis = Axis(np.array([float(b) for b in bands]), unit)
    return SpectralBatch(samples, table[bands].to_numpy(np.float32), axis, "absorbance")


def test_kssl_has_five_negative_spectra_and_five_zeros():
    result = judge(wide(KSSL, "cm-1", "id.layer_uuid_txt"), axis=MIR)
    told = result.findings["rule"].value_counts().to_dict()
    assert told == {"zero_value": 5, "negative_absorbance": 4, "intensity_unusual": 1}
    assert result.counts == {"landed": 500, "accepted": 500, "quarantined": 0}


def test_afsis_misses_its_last_band_and_a_gap_and_is_accepted():
    batch = wide(AFSIS, "cm-1", "sample_id")
    assert np.isnan(batch.spectra[:, -1]).sum() + np.isnan(batch.spectra[:, 0]).sum() > 90
    result = judge(batch, axis=MIR)
    assert result.counts["accepted"] == 113
    assert list(result.findings["rule"]) == ["axis_gap"]
    assert np.isfinite(result.accepted.spectra).all()


def test_nirsoil_is_accepted_whole():
    result = judge(wide(NIRSOIL, "nm", "sample_id"), axis=Axis.regular(1102, 2496, 2, "nm"))
    assert result.counts == {"landed": 825, "accepted": 825, "quarantined": 0}
    assert len(result.findings) < 0.02 * 825


@pytest.mark.parametrize("name", ["NRW.62", "NRW.42", "NRW.115"])
def test_another_instruments_reference_calls_no_good_scan_bad(name):
    reference = ReferenceFigures.of(harmonise(real("H.138"), MIR, "absorbance"))
    result = judge(real(name), axis=MIR, reference_figures=reference)
    assert result.counts["quarantined"] == 0
    assert len(result.findings) == 0
