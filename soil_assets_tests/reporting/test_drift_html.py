from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.control_charts import check_chart
from soil_assets.drift.damage import measured_damage
from soil_assets.drift.history import successive
from soil_assets.drift.profile import ReferenceProfile, fit_profile
from soil_assets.drift.tables import compare_tables
from soil_assets.reporting.drift_html import page
from soil_assets.reporting.drift_plots import check_samples
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.embedded import limesoda
from soil_assets.spectra.harmonise import harmonise

POLICY = DriftPolicy(permutations=199)


@pytest.fixture(scope="module")
def case() -> tuple[ReferenceProfile, SpectralBatch, SpectralBatch]:
    axis = Axis.regular(3796, 552, 4, "cm-1")
    field, other = (harmonise(limesoda(name), axis, "absorbance") for name in ("NRW.115", "NRW.62"))
    order = np.random.default_rng(1).permutation(115)
    return fit_profile(field.take(order[:60]), properties=("clay",)), field.take(order[60:]), other


def test_a_page_stands_alone_and_says_what_moved(
    case: tuple[ReferenceProfile, SpectralBatch, SpectralBatch],
) -> None:
    profile, same, other = case
    report = compare(profile, other, policy=POLICY)
    rng = np.random.default_rng(0)
    harm = measured_damage("clay", np.zeros(20), rng.normal(0, 3, 20), rng.normal(0, 1, 50))
    history = successive(profile, [("first", same), ("second", other)])
    html = page(report, name="june", profile=profile, batch=other, damage=[harm], history=history)
    assert "The batch differs from the reference" in html
    assert "times the expected one" in html
    assert "a false alarm comes about every" in html
    assert html.count("data:image/png") == 4
    assert not re.search(r"(src|href)=[\"'](?!data:)", html)
    assert "<script" not in html
    assert html == page(report, name="june", profile=profile, batch=other, damage=[harm], history=history)
    passed = page(compare(profile, same, policy=POLICY), name="may", profile=profile, batch=same)
    assert "No difference from the reference was found" in passed
    assert "The batch differs" not in passed


def test_hostile_names_are_text(case: tuple[ReferenceProfile, SpectralBatch, SpectralBatch]) -> None:
    profile, same, _ = case
    report = replace(compare(profile, same, policy=POLICY), samples=(("<img src=x onerror=1>", 3.0),))
    html = page(report, name="<script>alert(1)</script>")
    assert "<script>" not in html
    assert "<img src=x" not in html


def test_tables_and_unjudged_batches_have_pages(
    case: tuple[ReferenceProfile, SpectralBatch, SpectralBatch],
) -> None:
    profile, same, _ = case
    few = page(compare(profile, same.take(np.arange(3)), policy=POLICY), name="few")
    assert "could not be judged" in few
    assert "No test was run" in few
    rng = np.random.default_rng(0)
    before, after = (pd.DataFrame({"ph": rng.normal(m, 1, 80)}) for m in (6, 9))
    assert "ph up" in page(compare_tables(before, after, policy=POLICY), name="table")


def test_a_check_chart_is_a_small_picture() -> None:
    picture = check_samples(check_chart(np.random.default_rng(0).normal(size=30)))
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 60_000
