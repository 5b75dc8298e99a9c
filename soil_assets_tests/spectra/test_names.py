"""Templates of file names: linear, exact, refused when they cannot mean one thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soil_assets.benchmarks.instrument_files import asd, opus, real_batch
from soil_assets.errors import BadInput
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.landed import read_landed
from soil_assets.spectra.readers.names import Template

BATCH = real_batch()


@pytest.mark.parametrize(
    ("template", "name", "fields"),
    [
        ("{sample_id}_{replicate}", "BF_lo_01_2", {"sample_id": "BF_lo_01", "replicate": "2"}),
        ("{site}-{sample_id}", "Bonn-A-7", {"site": "Bonn-A", "sample_id": "7"}),
        ("soil {sample_id} ({replicate})", "soil 12 (3)", {"sample_id": "12", "replicate": "3"}),
        ("{_}__{sample_id}.{_}", "day 1__x y.asd", {"sample_id": "x y"}),
        ("{sample_id}", "anything at all", {"sample_id": "anything at all"}),
        ("{sample_id}_{replicate}", "no divider", None),
        ("{sample_id}_{replicate}", "empty_", None),
        ("{sample_id}_{replicate}", "_2", None),
        ("soil{sample_id}", "sand7", None),
    ],
)
def test_fields_of_a_name(template: str, name: str, fields: dict[str, str] | None) -> None:
    assert Template.parse(template).match(name) == fields


@pytest.mark.parametrize(
    "template",
    [
        "",
        "{replicate}",
        "{sample_id}{replicate}",
        "{sample_id}_{colour}",
        "{sample_id}_{sample_id}",
        "{sample_id}_{",
    ],
)
def test_what_cannot_mean_one_thing_is_refused(template: str) -> None:
    with pytest.raises(BadInput, match="not a template") as error:
        Template.parse(template)
    assert error.value.column == "file_names"


part = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)


@given(site=part, sample=part, replicate=part, divider=st.sampled_from(["_", "-", "__", " "]))
def test_a_name_made_by_a_template_gives_its_fields_back(
    site: str, sample: str, replicate: str, divider: str
) -> None:
    template = Template.parse(divider.join(("{site}", "{sample_id}", "{replicate}")))
    fields = {"site": site, "sample_id": sample, "replicate": replicate}
    assert template.match(divider.join(fields.values())) == fields


def test_a_manifest_may_state_it(tmp_path: Path) -> None:
    (tmp_path / "batch.yaml").write_text('file_names: "{sample_id}_{replicate}"\n')
    reflectance = 10.0 ** -BATCH.spectra[0].astype(float)
    for number in range(3):
        (tmp_path / f"plot_7_{number:05d}.asd").write_bytes(asd(reflectance, 8))
    (tmp_path / "odd.asd").write_bytes(asd(reflectance, 8))
    landed = read_landed(tmp_path, built_in_catalogue())
    assert landed.batch is not None
    assert list(landed.batch.sample_ids) == ["odd", "plot_7", "plot_7", "plot_7"]
    assert list(landed.batch.samples["replicate"][1:]) == ["00000", "00001", "00002"]
    assert any("odd.asd does not follow" in note for note in landed.notes)


def test_a_bad_one_in_a_manifest_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "batch.yaml").write_text('file_names: "{sample}"\n')
    (tmp_path / "a.0").write_bytes(opus(BATCH.spectra[0], 3799.0, 549.6))
    with pytest.raises(BadInput) as error:
        read_landed(tmp_path, built_in_catalogue())
    assert error.value.column == "file_names"
