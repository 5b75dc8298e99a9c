"""Grouped beside random validation, repeats where groups are few, and folds that survive a cancelled training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling import learners
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.train import train
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import BUILT_IN

CLAY = BUILT_IN["clay"]
SMALL = Recipe(folds=5, max_components=8, repeats=1)


def test_single_samples_have_no_gap_and_say_why(field: SpectralBatch) -> None:
    found = train(field.take(range(30)), CLAY, SMALL).training["random_validation"]
    assert not found["judged"]
    assert "group of its own" in found["why"]


def test_neighbours_make_random_folds_look_better(field: SpectralBatch) -> None:
    """Three scans of every sample with a little noise: random folds train on the very sample they predict."""
    few = field.take(np.repeat(np.arange(40), 3))
    noise = np.random.default_rng(0).normal(0, 2e-4, few.spectra.shape).astype(np.float32)
    batch = SpectralBatch(few.samples, few.spectra + noise, few.axis, few.quantity)
    training = train(batch, CLAY, SMALL, groups=np.repeat(np.arange(40), 3)).training
    found = training["random_validation"]
    assert found["judged"]
    assert found["rmse"] < training["cross_validation"]["rmse"]
    assert found["gap"] == pytest.approx(training["cross_validation"]["rmse"] / found["rmse"] - 1)
    assert found["gap"] > 0.2


def test_few_groups_are_repeated(field: SpectralBatch) -> None:
    training = train(field.take(range(30)), CLAY, Recipe(folds=5, max_components=8, repeats=3)).training
    found = training["repeated_validation"]
    assert len(found["rmse"]) == len(set(found["seeds"])) == 3
    assert found["rmse"][0] == training["cross_validation"]["rmse"]
    assert len(set(found["rmse"])) > 1
    assert "repeated_validation" not in train(field, CLAY, Recipe(folds=5, max_components=4)).training


class Cancelled(Exception):
    """As a person's Ctrl-C."""


def test_a_cancelled_training_goes_on_where_it_stopped(
    field: SpectralBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = field.take(range(40))
    whole = train(batch, CLAY, SMALL)

    def stop_after_three(what: str, done: int, total: int) -> None:
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        train(batch, CLAY, SMALL, progress=stop_after_three, keep=tmp_path)
    assert len(list(tmp_path.rglob("[0-9].json"))) == 3

    fits = []
    real = learners.learner

    def counted(name: str) -> object:
        fits.append(name)
        return real(name)

    monkeypatch.setattr("soil_assets.modeling.validation.learner", counted)
    again = train(batch, CLAY, SMALL, keep=tmp_path)
    assert len(fits) == 2  # five folds, three of them kept
    assert again.training == whole.training
    assert dict(again.half_widths) == dict(whole.half_widths)


def test_kept_folds_of_other_data_are_not_used(field: SpectralBatch, tmp_path: Path) -> None:
    train(field.take(range(40)), CLAY, SMALL, keep=tmp_path)
    other = field.take(range(20, 60))
    assert train(other, CLAY, SMALL, keep=tmp_path).training == train(other, CLAY, SMALL).training


def test_one_group_and_two_are_refused(field: SpectralBatch) -> None:
    for n_groups in (1, 2):
        with pytest.raises(BadInput, match="too few groups") as refusal:
            train(field.take(range(30)), CLAY, SMALL, groups=np.arange(30) % n_groups)
        assert refusal.value.expected == "at least three"
