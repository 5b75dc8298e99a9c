"""A batch of one scan, and a batch of none: judged, counted and said, like any other."""

from __future__ import annotations

import numpy as np

from soil_assets_tests.quality.batches import damaged, judge, real


def test_one_good_scan_is_accepted() -> None:
    result = judge(real("NRW.115").take([0]))
    assert result.counts == {"landed": 1, "accepted": 1, "quarantined": 0}
    assert not result.refused


def test_one_bad_scan_refuses_the_batch_and_is_kept() -> None:
    bad = damaged().take([5])
    assert np.isnan(bad.spectra).all()
    result = judge(bad)
    assert result.counts == {"landed": 1, "accepted": 0, "quarantined": 1}
    assert result.refused
    assert list(result.quarantine["rules"]) == ["missing_bands"]


def test_no_scan_at_all_refuses_the_batch_and_says_so() -> None:
    result = judge(real("NRW.115").take([]))
    assert result.counts == {"landed": 0, "accepted": 0, "quarantined": 0}
    assert result.refused
    assert "nothing landed" in " ".join(result.notes + tuple(c.summary for c in result.checks.values()))
