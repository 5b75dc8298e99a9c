from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from soil_assets.config import DriftPolicy
from soil_assets.drift.compare import compare
from soil_assets.drift.profile import MIN_REFERENCE, ReferenceProfile, fit_profile
from soil_assets.drift.profile_file import load, save
from soil_assets.errors import BadInput
from soil_assets.spectra.batch import SpectralBatch

Split = tuple[SpectralBatch, SpectralBatch]


def test_a_saved_profile_is_the_same_profile(
    profile: ReferenceProfile, split: Split, policy: DriftPolicy, tmp_path: Path
) -> None:
    file = save(profile, tmp_path / "deep" / "profile.zip")
    loaded = load(file)
    assert loaded.fingerprint == profile.fingerprint
    before, after = (compare(p, split[1], policy=policy).to_dict() for p in (profile, loaded))
    assert before == after
    assert save(loaded, tmp_path / "again.zip").read_bytes() == file.read_bytes()


def test_fitting_is_deterministic(profile: ReferenceProfile, split: Split) -> None:
    assert fit_profile(split[0], properties=("clay", "ph", "soc")).fingerprint == profile.fingerprint
    assert fit_profile(split[0], properties=("clay",)).fingerprint != profile.fingerprint


def test_too_small_or_flat_references_are_refused(split: Split) -> None:
    with pytest.raises(BadInput, match=f"at least {MIN_REFERENCE}"):
        fit_profile(split[0].take(np.arange(MIN_REFERENCE - 1)), properties=())
    same = split[0].take(np.zeros(30, dtype=int))
    same = same.with_samples(same.samples.assign(sample_id=[f"s{i}" for i in range(30)]))
    with pytest.raises(BadInput, match="all alike"):
        fit_profile(same, properties=())


def test_files_that_are_no_profile_are_refused(profile: ReferenceProfile, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such reference profile"):
        load(tmp_path / "absent.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(BadInput, match="not a reference profile"):
        load(tmp_path / "text.zip")
    file = save(profile, tmp_path / "profile.zip")
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    facts = json.loads(members["profile.json"])
    for version, said in ((99, "newer version"), (0, "older version")):
        members["profile.json"] = json.dumps(facts | {"schema_version": version}).encode()
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        with pytest.raises(BadInput, match=said):
            load(file)
    cut = save(profile, tmp_path / "cut.zip")
    cut.write_bytes(cut.read_bytes()[:-500])
    with pytest.raises(BadInput, match="not a reference profile"):
        load(cut)


def test_the_envelope_and_scores_describe_the_reference(profile: ReferenceProfile, split: Split) -> None:
    below = (split[0].spectra < profile.envelope[0]).mean()
    assert below == pytest.approx(0.05, abs=0.02)
    scores = profile.scores(profile.features)
    assert np.allclose(scores.mean(axis=0), 0, atol=1e-8)
    assert np.allclose((scores**2).mean(axis=0), 1, atol=1e-6)
