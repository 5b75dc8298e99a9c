"""What files do not say, guessed from the numbers: right on every real spectrum at hand, and silent on bad evidence."""

from __future__ import annotations

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.embedded import limesoda, spectral_sets
from soil_assets.spectra.harmonise import to_quantity
from soil_assets.spectra.readers.infer import infer_quantity, infer_unit, percent_suspected, suspicions

SETS = spectral_sets()
MIR = limesoda("NRW.62")


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("quantity", ["absorbance", "reflectance"])
def test_quantity_and_unit_of_every_real_set(name: str, quantity: str) -> None:
    batch = to_quantity(limesoda(name), quantity)  # type: ignore[arg-type]
    assert infer_quantity(batch.spectra, batch.axis)[0] == quantity
    assert infer_unit(batch.axis.values)[0] == batch.axis.unit
    single = [
        infer_quantity(row[None, :], batch.axis)[0] for row in batch.spectra[:: max(1, len(batch) // 25)]
    ]
    assert set(single) == {quantity}


@pytest.mark.parametrize("name", SETS)
def test_scale_of_every_real_set(name: str) -> None:
    batch = limesoda(name)
    assert not percent_suspected(batch.spectra)[0]
    assert percent_suspected(batch.spectra * 100)[0]
    assert infer_quantity(batch.spectra * 100, batch.axis)[0] == "reflectance"


def test_one_percent_scan_does_not_turn_a_batch() -> None:
    spectra = MIR.spectra.copy()
    spectra[3] *= 100
    assert not percent_suspected(spectra)[0]


def test_counts_are_neither() -> None:
    with pytest.raises(BadInput, match="neither absorbance nor reflectance"):
        infer_quantity(MIR.spectra * 20_000, MIR.axis)


@pytest.mark.parametrize("unit", ["nm", "cm-1"])
def test_without_evidence_the_usual_is_said_to_be_a_guess(unit: str) -> None:
    axis = Axis(np.linspace(600, 690, 10), unit)  # type: ignore[arg-type]
    quantity, reason = infer_quantity(np.full((3, 10), 0.4, np.float32), axis)
    assert quantity == ("reflectance" if unit == "nm" else "absorbance")
    assert "no absorption band in range" in reason


def test_a_coarse_axis_is_no_evidence() -> None:
    _, reason = infer_quantity(MIR.spectra[:, ::60], Axis(MIR.axis.values[::60], "cm-1"))
    assert "no absorption band" in reason


def test_missing_rows_do_not_disturb() -> None:
    spectra = MIR.spectra.copy()
    spectra[::2] = np.nan
    assert infer_quantity(spectra, MIR.axis)[0] == "reflectance"
    assert infer_quantity(np.full((2, len(MIR.axis)), np.nan, np.float32), MIR.axis)[0] == "absorbance"
    assert infer_quantity(np.empty((0, len(MIR.axis)), np.float32), MIR.axis)[0] == "absorbance"


class TestSuspicions:
    def test_true_statements_raise_none(self) -> None:
        for name in SETS:
            batch = limesoda(name)
            assert suspicions(batch.spectra, batch.axis, "reflectance", "fraction", True) == []

    def test_absorbance_called_reflectance_and_the_reverse(self) -> None:
        absorbance = to_quantity(MIR, "absorbance")
        (doubt,) = suspicions(absorbance.spectra, MIR.axis, "reflectance", "fraction", True)
        assert doubt.endswith("absorbance?")
        (doubt,) = suspicions(MIR.spectra, MIR.axis, "absorbance", "fraction", True)
        assert doubt.endswith("reflectance?")

    def test_percent_called_fraction_and_the_reverse(self) -> None:
        (doubt,) = suspicions(MIR.spectra * 100, MIR.axis, "reflectance", "fraction", True)
        assert "percent?" in doubt
        (doubt,) = suspicions(MIR.spectra, MIR.axis, "reflectance", "percent", True)
        assert "fraction?" in doubt

    def test_nm_called_wavenumbers_and_the_reverse(self) -> None:
        flat = np.full((2, 2151), 0.3, np.float32)
        wavelengths = np.arange(350.0, 2501.0)
        assert "nm?" in suspicions(flat, Axis(wavelengths, "cm-1"), "reflectance", "fraction", True)[0]
        assert suspicions(flat, Axis(wavelengths, "nm"), "reflectance", "fraction", True) == []
        wavenumbers = np.linspace(4000.0, 600.0, 2151)
        assert "cm-1?" in suspicions(flat, Axis(wavenumbers, "nm"), "reflectance", "fraction", True)[0]
        assert suspicions(flat, Axis(wavenumbers, "cm-1"), "reflectance", "fraction", True) == []
