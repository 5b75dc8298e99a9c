"""The batch: its parts belong together, its hash is its content, stacking never resamples in silence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from soil_assets.errors import BadInput
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch, concatenate
from soil_assets.spectra.embedded import limesoda

AXIS = Axis(np.array([400.0, 500.0, 600.0]), "nm")


def batch(ids: list[str | None], **columns: list[object]) -> SpectralBatch:
    samples = pd.DataFrame({"sample_id": pd.array(ids, dtype=object), **columns})
    spectra = np.arange(3 * len(ids), dtype=np.float32).reshape(-1, 3) / 10
    return SpectralBatch(samples, spectra, AXIS, "reflectance")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": pd.DataFrame({"sample_id": ["a"]})}, "do not belong together"),
        ({"spectra": np.zeros((2, 4), np.float32)}, "do not belong together"),
        ({"spectra": np.zeros(6, np.float32)}, "one matrix"),
        ({"samples": pd.DataFrame({"id": ["a", "b"]})}, "no ids"),
        ({"quantity": "counts"}, "unknown quantity"),
        ({"scale": "permille"}, "unknown scale"),
        ({"quantity": "absorbance", "scale": "percent"}, "unknown scale"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        replace(batch(["a", "b"]), **change)  # type: ignore[arg-type]


def test_spectra_become_one_float32_matrix() -> None:
    wide = replace(batch(["a", "b"]), spectra=np.ones((2, 3)).T.T[:, ::-1])  # type: ignore[arg-type]
    assert wide.spectra.dtype == np.float32
    assert wide.spectra.flags.c_contiguous


def test_taking_rows_keeps_order_and_renumbers() -> None:
    taken = batch(["a", "b", "c"], clay=[1.0, 2.0, 3.0]).take([2, 0])
    assert list(taken.sample_ids) == ["c", "a"]
    assert taken.samples.index.tolist() == [0, 1]
    np.testing.assert_array_equal(taken.spectra[0], np.array([0.6, 0.7, 0.8], np.float32))
    masked = batch(["a", "b", "c"]).take([True, False, True])
    assert list(masked.sample_ids) == ["a", "c"]
    assert len(batch(["a"]).take([])) == 0


class TestHash:
    def test_equal_content_equal_hash(self) -> None:
        assert limesoda("O.32").content_hash() == limesoda("O.32").content_hash()

    def test_every_part_counts(self) -> None:
        first = batch(["a", "b"], clay=[1.0, 2.0])
        others = [
            batch(["a", "c"], clay=[1.0, 2.0]),
            batch(["a", "b"], clay=[1.0, 2.5]),
            batch(["a", "b"], clay=[1.0, None]),
            batch(["a", "b"], silt=[1.0, 2.0]),
            replace(first, spectra=first.spectra + np.float32(1e-6)),
            replace(first, axis=Axis(np.array([400.0, 500.0, 601.0]), "nm")),
            replace(first, axis=Axis(AXIS.values, "cm-1")),
            replace(first, scale="percent"),
            replace(first, quantity="absorbance"),
            first.take([1, 0]),
        ]
        hashes = {b.content_hash() for b in others}
        assert len(hashes) == len(others)
        assert first.content_hash() not in hashes

    def test_column_order_and_origin_do_not_count(self) -> None:
        first = batch(["a"], clay=[1.0], silt=[2.0])
        second = batch(["a"], silt=[2.0], clay=[1.0])
        assert replace(first, origin={"lab": "x"}).content_hash() == second.content_hash()


class TestStacking:
    def test_columns_are_united(self) -> None:
        both = concatenate([batch(["a"], clay=[1.0]), batch(["b"], silt=[2.0])])
        assert list(both.sample_ids) == ["a", "b"]
        np.testing.assert_array_equal(both.property_values("clay"), [1.0, np.nan])
        np.testing.assert_array_equal(both.property_values("silt"), [np.nan, 2.0])

    @pytest.mark.parametrize(
        "other",
        [
            replace(batch(["b"]), axis=Axis(np.array([400.0, 500.0, 601.0]), "nm")),
            replace(batch(["b"]), quantity="absorbance"),
            replace(batch(["b"]), scale="percent"),
        ],
    )
    def test_other_axes_quantities_and_scales_are_refused(self, other: SpectralBatch) -> None:
        with pytest.raises(BadInput, match="cannot be stacked") as error:
            concatenate([batch(["a"]), other])
        assert "harmonise" in str(error.value.mend)

    def test_nothing_to_stack(self) -> None:
        with pytest.raises(BadInput, match="no batch"):
            concatenate([])


def test_groups_keep_replicates_together() -> None:
    replicates = batch(["a", "a", "b"])
    assert replicates.groups().tolist() == [0, 0, 1]
    sites = batch(["a", "b", "c"], site=["x", "y", "x"])
    assert sites.groups().tolist() == [0, 1, 0]


def test_a_missing_property_is_missing_everywhere() -> None:
    assert np.isnan(batch(["a", "b"]).property_values("clay")).all()
    assert batch(["a", "b"], clay=["1.5", "oops"]).property_values("clay").tolist()[0] == 1.5
