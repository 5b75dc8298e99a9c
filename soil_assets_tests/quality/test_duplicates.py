import gc
import weakref
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from soil_assets.errors import BadInput
from soil_assets.quality.duplicates import copies_within, landed_before
from soil_assets.quality.known import KnownSpectra, sample_keys, signatures
from soil_assets.quality.replicates import snv
from soil_assets.quality_policy import QualityPolicy
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.harmonise import harmonise
from soil_assets_tests.quality.batches import AXIS, judge, real

NEAR = QualityPolicy().near_copy_distance


def harmonised(name="NRW.115"):
    return harmonise(real(name), AXIS, "absorbance")


def distances(spectra):
    x = snv(spectra)
    return np.sqrt(((x[:, None, :] - x[None, :, :]) ** 2).mean(axis=2))


def test_the_projection_never_lengthens_a_distance():
    batch = harmonised()
    true = distances(batch.spectra)
    points = signatures(batch).astype(np.float64)
    projected = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert (projected <= true + 1e-5).all()
    off = ~np.eye(len(batch), dtype=bool)
    assert (
        np.median(projected[off] / true[off]) > 0.9
    )  # and keeps nearly all of it, so few candidates are left


@pytest.mark.parametrize("name", ["NRW.115", "NRW.62", "H.138", "SSP.460", "SL.125"])
def test_no_two_different_real_scans_are_called_copies(name):
    batch = real(name)
    low, high = np.ceil(batch.axis.low) + 1, np.floor(batch.axis.high) - 1
    axis = Axis.regular(low, high, 2 if batch.axis.unit == "nm" else 4, batch.axis.unit)
    found = copies_within(batch, harmonise(batch, axis, "absorbance"), np.arange(len(batch)), NEAR)
    assert found["copy_of"].notna().sum() == 0


def test_the_published_duplicate_of_sc93_is_found():
    batch = real("SC.93")
    axis = Axis.regular(360, 2490, 2, "nm")
    found = copies_within(batch, harmonise(batch, axis, "absorbance"), np.arange(len(batch)), NEAR)
    assert list(np.flatnonzero(found["copy_of"].notna())) == [80]
    assert "SC.93-080" in found["copy_of"][80]
    assert "SC.93-081" in found["copied_as"][79]


def changed(kind):
    batch = real("NRW.62")
    spectra = batch.spectra.astype(np.float64)
    absorbance = -np.log10(spectra)
    if kind == "rounded":
        return replace(batch, spectra=np.round(spectra, 4))
    if kind == "percent":
        return replace(batch, spectra=spectra * 100, scale="percent")
    if kind == "absorbance":
        return replace(batch, spectra=absorbance, quantity="absorbance")
    if kind == "offset and gain":
        return replace(batch, spectra=absorbance * 1.1 + 0.2, quantity="absorbance")
    if kind == "every second band":
        return replace(batch, spectra=spectra[:, ::2], axis=Axis(batch.axis.values[::2], "cm-1"))
    return replace(batch, spectra=spectra[:, ::-1], axis=Axis(batch.axis.values[::-1], "cm-1"))


@pytest.mark.parametrize(
    "kind", ["rounded", "percent", "absorbance", "offset and gain", "every second band", "reversed"]
)
def test_a_scan_exported_again_in_another_form_is_found(kind):
    axis = Axis.regular(3790, 556, 4, "cm-1")
    earlier = KnownSpectra.of(harmonise(real("NRW.62"), axis, "absorbance"))
    again = harmonise(changed(kind).take([3, 40]), axis, "absorbance")
    found = landed_before(again, np.array([0, 1]), earlier, 2, NEAR)
    assert "NRW.62-004" in found[0]
    assert "NRW.62-041" in found[1]


def test_what_brute_force_finds_is_found():
    batch = harmonised()
    rng = np.random.default_rng(5)
    spectra = np.concatenate([batch.spectra, batch.spectra[:40]])
    scale = snv(batch.spectra[:40]).std() * batch.spectra[:40].std(axis=1, keepdims=True)
    size = rng.uniform(0.2, 2.0, (40, 1)) * NEAR  # half of them beyond the limit
    spectra[-40:] += (size * scale * rng.normal(size=(40, batch.spectra.shape[1]))).astype(np.float32)
    samples = pd.concat([batch.samples, batch.samples[:40].assign(sample_id=[f"n{i}" for i in range(40)])])
    both = replace(batch, spectra=spectra, samples=samples.reset_index(drop=True))
    true = distances(both.spectra)
    near = {int(i) for i, j in zip(*np.nonzero(true <= NEAR), strict=True) if j < i}
    assert 5 < len(near) < 35
    found = copies_within(both, both, np.arange(len(both)), NEAR)
    assert set(np.flatnonzero(found["copy_of"].notna())) == near
    known = landed_before(both.take(np.arange(115, 155)), np.arange(40), KnownSpectra.of(batch), 40, NEAR)
    assert {i + 115 for i, text in enumerate(known) if text} == near


def test_thousands_of_near_copies_cost_no_comparison_of_all_pairs():
    one = harmonised().take([0] * 3000)
    rng = np.random.default_rng(1)
    noise = rng.normal(scale=1e-6, size=one.spectra.shape).astype(np.float32)
    samples = one.samples.assign(sample_id=[f"s{i}" for i in range(3000)])
    batch = replace(one, spectra=one.spectra + noise, samples=samples)
    found = copies_within(batch, batch, np.arange(3000), NEAR)
    assert found["copy_of"].notna().sum() == 2999
    assert found["copy_of"][0] is None


def test_a_batch_is_not_compared_with_its_own_older_version():
    accepted = judge(real("NRW.62")).accepted
    library = KnownSpectra.of(
        accepted.with_samples(accepted.samples.assign(batch=["old"] * 30 + ["mine"] * 32))
    )
    assert judge(real("NRW.62"), known=library).counts["quarantined"] == 62
    assert judge(real("NRW.62"), known=library.without_batch("mine")).counts["quarantined"] == 30
    found = judge(real("NRW.62"), known=library.without_batch("mine")).quarantine["found"]
    assert found.str.contains("batch old").all()


def test_indexes_of_several_batches_are_searched_as_one():
    parts = [KnownSpectra.of(harmonised(name)) for name in ("NRW.62", "NRW.42", "NRW.115")]
    library = KnownSpectra.joined(parts)
    assert len(library) == 62 + 42 + 115
    mine = harmonised("NRW.42").take([3, 41])
    found = landed_before(mine, np.array([0, 1]), library, 2, NEAR)
    assert "NRW.42-004" in found[0]
    assert "NRW.42-042" in found[1]
    rows = np.array([200, 0, 61, 62, 104])
    np.testing.assert_array_equal(
        library.spectra(rows),
        np.stack([parts[2].spectra(np.array([96]))[0], parts[0].spectra(np.array([0]))[0],
                  parts[0].spectra(np.array([61]))[0], parts[1].spectra(np.array([0]))[0],
                  parts[2].spectra(np.array([0]))[0]]),
    )  # fmt: skip
    with pytest.raises(BadInput, match="no index"):
        KnownSpectra.joined([])


def test_an_index_made_of_others_does_not_keep_them():
    """Else a backfill that judges a thousand batches again keeps as many copies of its index."""
    batch = harmonised("NRW.62").labelled("batch", "old")
    part = KnownSpectra(batch.axis, signatures(batch), batch.samples, sample_keys(batch.samples), np.array)
    joined = KnownSpectra.joined([part])
    library = joined.without_batch("other")
    gone = [weakref.ref(part), weakref.ref(joined)]
    del part, joined
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    assert len(library) == len(batch)


def test_an_index_kept_as_a_table_finds_the_same():
    batch = harmonised("NRW.62")
    index = KnownSpectra.of(batch)
    back = KnownSpectra.from_table(index.to_table(), batch.axis, index.spectra)
    np.testing.assert_array_equal(back.signatures, index.signatures)
    pd.testing.assert_frame_equal(back.samples, batch.samples)
    mine = batch.take([7])
    assert landed_before(mine, np.array([0]), back, 1, NEAR) == landed_before(
        mine, np.array([0]), index, 1, NEAR
    )
    with pytest.raises(BadInput, match="signatures"):
        KnownSpectra.from_table(batch.samples, batch.axis, index.spectra)


def test_an_id_that_came_before_with_other_results_is_doubted():
    earlier = judge(real("NRW.62")).accepted
    samples = real("NRW.42").samples.assign(sample_id=real("NRW.62").sample_ids[:42])
    samples.loc[:20, "clay"] = real("NRW.62").samples.loc[:20, "clay"] * 2
    samples.loc[21:, ["clay", "soc", "ph"]] = real("NRW.62").samples.loc[21:41, ["clay", "soc", "ph"]]
    samples.loc[:20, ["soc", "ph"]] = np.nan
    result = judge(real("NRW.42").with_samples(samples), known=earlier)
    finding = result.findings[result.findings["rule"] == "id_reused"].iloc[0]
    assert finding["found"].startswith("21 of 42 ids")
    assert not result.checks["replicates"].passed
    assert result.counts["quarantined"] == 0
    same = judge(real("NRW.42"), known=earlier)
    assert "id_reused" not in set(same.findings["rule"])


def test_a_library_on_another_axis_is_refused():
    known = KnownSpectra.of(harmonise(real("NRW.62"), Axis.regular(3700, 600, 4, "cm-1"), "absorbance"))
    with pytest.raises(BadInput, match="another axis"):
        judge(real("NRW.62"), known=known)


def test_spectra_are_fetched_for_candidates_only():
    batch = harmonised("NRW.62")
    asked = []

    def fetch(rows):
        asked.extend(rows.tolist())
        return batch.spectra[rows]

    known = KnownSpectra(batch.axis, signatures(batch), batch.samples, sample_keys(batch.samples), fetch)
    landed_before(harmonised("NRW.115"), np.arange(115), known, 115, NEAR)
    assert asked == []
    landed_before(batch.take([7]), np.array([0]), known, 1, NEAR)
    assert asked == [7]
