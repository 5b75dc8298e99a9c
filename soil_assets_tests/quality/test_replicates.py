from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from soil_assets.quality.replicates import average_replicates, contradicting_results, replicate_figures
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.harmonise import harmonise, to_quantity
from soil_assets.spectra.lab import join_lab
from soil_assets_tests.quality.batches import AXIS, judge, real
from soil_assets_tests.shared import DATA, needs

YAMSYS = DATA / "yamsys_mir_opus/yamsys_replicates.parquet"


def replicated(times=3, samples=20, noise=0.003):
    """Real scans, each several times with noise of a real size: replicates whose spread is known."""
    one = to_quantity(real("NRW.115").take(np.arange(samples)), "absorbance")
    batch = one.take(np.repeat(np.arange(samples), times))
    added = np.random.default_rng(3).normal(scale=noise, size=batch.spectra.shape)
    return replace(batch, spectra=batch.spectra + added.astype(np.float32))


def test_replicates_are_counted_and_their_spread_is_measured():
    batch = harmonise(replicated(), AXIS, "absorbance")
    figures, summary = replicate_figures(batch, np.arange(60), 60, 5.0)
    assert (summary.samples, summary.replicated, summary.scans_per_sample) == (20, 20, {3: 20})
    scale = batch.spectra.std(axis=1)
    np.testing.assert_allclose(figures["replicate_distance"], 0.003 / scale, rtol=0.15)
    assert summary.between > 3 * summary.within
    assert "20 with 3" in summary.describe()


@pytest.mark.parametrize("times", [2, 3, 6])
def test_the_distance_does_not_depend_on_how_many_replicates_there_are(times):
    batch = harmonise(replicated(times), AXIS, "absorbance")
    _, summary = replicate_figures(batch, np.arange(len(batch)), len(batch), 5.0)
    assert summary.within == pytest.approx(0.003 / np.median(batch.spectra.std(axis=1)), rel=0.1)


def test_a_scan_under_the_wrong_id_is_quarantined_and_good_replicates_are_not():
    batch = replicated()
    spectra = batch.spectra.copy()
    spectra[10] = spectra[50]
    spectra[10] += np.random.default_rng(0).normal(scale=0.003, size=spectra.shape[1])
    result = judge(replace(batch, spectra=spectra))
    assert 11 in set(result.quarantine["row"])
    assert set(result.quarantine["row"]) <= {10, 11, 12}  # its sample's other scans may be called odd as well
    assert set(result.quarantine["checks"]) == {"replicates"}
    clean = judge(batch)
    assert clean.checks["replicates"].passed
    assert clean.checks["duplicates"].passed


def test_results_that_contradict_each_other_under_one_id():
    samples = pd.DataFrame(
        {
            "sample_id": ["a", "a", "b", "b", "c", None, None],
            "clay": [10, 30, 20, 21, 5, 1, 90.0],
            "ph": [6.0] * 7,
        }
    )
    found = contradicting_results(samples, built_in_catalogue())
    assert list(found["results_conflict"].notna()) == [True, True] + [False] * 5
    assert list(found["results_differ"].notna()) == [False, False, True, True] + [False] * 3
    assert found["results_conflict"][0] == "clay from 10 to 30"
    assert contradicting_results(samples.iloc[4:], built_in_catalogue()).empty


def test_contradicting_results_quarantine_both_rows():
    batch = replicated()
    samples = batch.samples.copy()
    samples.loc[4, "clay"] *= 3
    result = judge(batch.with_samples(samples))
    assert list(result.quarantine["row"]) == [4, 5, 6]
    assert set(result.quarantine["rules"]) == {"results_conflict"}


def test_a_lab_table_with_two_results_for_a_sample_is_told():
    batch = real("NRW.62")
    bare = batch.with_samples(batch.samples[["sample_id"]])
    lab = pd.concat([batch.samples, batch.samples[3:4].assign(clay=99.0)], ignore_index=True)
    joined, _ = join_lab(bare, lab, built_in_catalogue(), {})
    result = judge(joined)
    finding = result.findings.iloc[0]
    assert (finding["rule"], finding["row"], finding["severity"]) == ("lab_rows_differ", 4, "warning")
    assert finding["found"].endswith("and 99; left missing")
    assert np.isnan(result.accepted.property_values("clay")[3])
    assert len(result.findings) == 1


def test_averaging_keeps_one_scan_a_sample_and_says_how_many_are_behind_it():
    batch = replicated()
    samples = batch.samples.astype({"sample_id": object}).assign(
        scan_id=[f"s{i}" for i in range(60)], lab="x"
    )
    samples.loc[59, "sample_id"] = None
    mean = average_replicates(batch.with_samples(samples))
    assert len(mean) == 21
    assert list(mean.samples["n_scans"]) == [3] * 19 + [2, 1]
    np.testing.assert_allclose(mean.spectra[0], batch.spectra[:3].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(mean.property_values("clay")[:19], batch.property_values("clay")[:57:3])
    assert "scan_id" not in mean.samples
    assert mean.samples["lab"].iloc[0] == "x"


def test_averaging_without_replicates_changes_no_spectrum():
    batch = real("NRW.62")
    mean = average_replicates(batch)
    np.testing.assert_array_equal(mean.spectra, batch.spectra)
    assert average_replicates(batch.take([])).samples.empty


@pytest.mark.shared
@needs(YAMSYS)
def test_the_2_and_6_fold_replicates_of_yamsys_are_told_and_its_barium_ph_is_doubted():
    table = pd.read_parquet(YAMSYS)
    bands = [c for c in table.columns if c.replace(".", "").isdigit()]
    samples = table.drop(columns=bands).astype({"sample_id": str})
    axis = Axis(np.array([float(b) for b in bands]), "cm-1")
    batch = SpectralBatch(samples, table[bands].to_numpy(np.float32), axis, "absorbance")
    result = judge(batch)
    assert any("1 with 2, 92 with 3, 1 with 6 scans" in note for note in result.notes)
    assert result.counts == {"landed": 284, "accepted": 284, "quarantined": 0}
    assert set(result.findings.loc[result.findings["column"] == "ph_bacl2", "rule"]) == {
        "ph_salt",
        "unusual_value",
    }
