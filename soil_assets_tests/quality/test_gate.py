from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest

from soil_assets.quality.expectations import CHECKS
from soil_assets.quality_policy import QualityPolicy
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.harmonise import harmonise, to_quantity
from soil_assets.spectra.landed import read_landed
from soil_assets_tests.quality.batches import AXIS, damaged, judge, real


@dataclass(frozen=True)
class Unread:
    file: str
    reason: str
    expected: str | None = None
    mend: str | None = None


@dataclass(frozen=True)
class Landed:
    batch: SpectralBatch | None
    unreadable: tuple[Unread, ...] = ()
    notes: tuple[str, ...] = ()
    landed: int = field(default=-1)

    def __post_init__(self):
        if self.landed < 0:
            scans = len(self.batch) if self.batch is not None else 0
            object.__setattr__(self, "landed", scans + len(self.unreadable))


def test_each_planted_fault_is_quarantined_for_its_own_reason_and_the_rest_goes_on():
    result = judge(damaged())
    by_row = result.quarantine.set_index("row")
    assert by_row["rules"].to_dict() == {
        2: "scale", 4: "repeated_scan", 6: "missing_bands", 8: "impossible_value", 10: "id_missing",
    }  # fmt: skip
    assert by_row["checks"].to_dict() == {
        2: "units", 4: "duplicates", 6: "spectral_quality", 8: "ranges", 10: "schema",
    }  # fmt: skip
    assert "percent" in by_row.loc[2, "found"]
    assert "NRW.115-103" in by_row.loc[4, "found"]
    assert by_row.loc[6, "found"].startswith("1686 of 1686 bands")
    assert by_row.loc[8, "found"] == "clay 140 %"
    assert (by_row["mend"].str.len() > 10).all()
    assert (by_row["expected"].str.len() > 5).all()
    assert list(result.accepted.sample_ids) == [
        f"NRW.115-{i}" for i in (101, 103, 105, 107, 109, 111, 112, 113, 114, 115)
    ]
    assert result.counts == {"landed": 15, "accepted": 10, "quarantined": 5}
    assert not result.refused


def test_accepted_scans_are_on_the_models_axis_and_equal_a_plain_harmonisation():
    result = judge(damaged())
    assert result.accepted.axis == AXIS
    assert result.accepted.quantity == "absorbance"
    alone = harmonise(real("NRW.115").take([100, 102]), AXIS, "absorbance")
    np.testing.assert_allclose(result.accepted.spectra[:2], alone.spectra, atol=2e-6)


def test_quarantined_scans_are_kept_as_they_landed():
    batch = damaged()
    result = judge(batch)
    assert result.quarantined_batch.axis == batch.axis
    np.testing.assert_array_equal(result.quarantined_batch.spectra, batch.spectra[[1, 3, 5, 7, 9]])


def test_a_range_that_the_model_cannot_cover_refuses_the_batch_with_both_ranges():
    result = judge(real("O.32"))
    assert result.counts == {"landed": 32, "accepted": 0, "quarantined": 32}
    assert set(result.quarantine["found"]) == {"751.1 to 3800 cm-1"}
    assert result.quarantine["expected"].str.startswith("552 to 3796 cm-1").all()
    outcome = result.checks["spectral_quality"]
    assert (outcome.passed, outcome.severity) == (False, "critical")
    assert result.refused
    assert all(c.passed for name, c in result.checks.items() if name != "spectral_quality")


@pytest.mark.parametrize("name", ["NRW.115", "NRW.62", "NRW.42"])
def test_clean_real_batches_pass_whole(name):
    result = judge(real(name))
    assert result.counts["quarantined"] == 0
    assert all(c.passed for c in result.checks.values())
    assert "not judged" in result.checks["replicates"].summary
    assert len(result.findings) == 0
    assert len(result.quarantine) == 0


def test_every_check_is_reported_even_for_a_batch_without_scans():
    result = judge(real("NRW.62").take([]))
    assert tuple(result.checks) == CHECKS
    assert result.counts == {"landed": 0, "accepted": 0, "quarantined": 0}
    assert result.refused
    assert result.checks["schema"].severity == "critical"


def test_unreadable_files_are_landed_and_quarantined():
    files = (
        Unread("a.0", "the file is empty", "an OPUS file", "export it again"),
        Unread("Thumbs.db", "no spectra"),
    )
    result = judge(Landed(real("NRW.62"), files, ("read as OPUS",)))
    assert result.counts == {"landed": 64, "accepted": 62, "quarantined": 2}
    assert list(result.quarantine["source_file"]) == ["a.0", "Thumbs.db"]
    assert set(result.quarantine["rules"]) == {"unreadable_file"}
    assert not result.checks["schema"].passed
    assert result.checks["schema"].severity == "warning"
    assert "read as OPUS" in result.notes
    assert len(result.quarantined_batch) == 0


def test_a_batch_of_unreadable_files_only_is_refused():
    result = judge(Landed(None, (Unread("a.0", "wrong magic"),)))
    assert result.counts == {"landed": 1, "accepted": 0, "quarantined": 1}
    assert result.checks["schema"].severity == "critical"
    assert result.quarantined_batch is None


def test_landing_that_miscounts_is_an_error_never_a_result():
    with pytest.raises(RuntimeError, match="lost or doubled"):
        judge(Landed(real("NRW.62"), (), (), landed=63))


def test_the_policy_decides_how_many_quarantined_scans_refuse_the_batch():
    strict = judge(damaged(), policy=QualityPolicy(max_quarantined_share=0.3))
    assert strict.refused
    assert {n for n, c in strict.checks.items() if c.severity == "critical"} == {
        "schema", "units", "ranges", "spectral_quality", "duplicates",
    }  # fmt: skip
    assert judge(damaged(), policy=QualityPolicy(min_accepted=11)).refused
    assert not judge(damaged(), policy=QualityPolicy(min_accepted=10)).refused


def test_scans_that_landed_before_are_quarantined_and_new_ones_are_not():
    earlier = judge(real("NRW.62").take(np.arange(0, 40))).accepted
    result = judge(real("NRW.62").take(np.arange(30, 62)), known=earlier)
    assert result.counts == {"landed": 32, "accepted": 22, "quarantined": 10}
    assert set(result.quarantine["rules"]) == {"landed_before"}
    assert "NRW.62-031" in result.quarantine["found"].iloc[0]


def test_a_ragged_end_outside_the_models_range_does_no_harm():
    batch = real("NRW.62")
    spectra = batch.spectra.copy()
    spectra[::3, -1] = np.nan  # 549.6 cm-1, beyond the model's 552
    result = judge(replace(batch, spectra=spectra), axis=Axis.regular(3796, 556, 4, "cm-1"))
    assert result.counts["quarantined"] == 0
    whole = harmonise(batch, Axis.regular(3796, 556, 4, "cm-1"), "absorbance")
    np.testing.assert_allclose(result.accepted.spectra, whole.spectra, atol=1e-4)
    spectra[4, -6:] = np.nan  # inside the model's range: the scan no longer covers it
    result = judge(replace(batch, spectra=spectra), axis=Axis.regular(3796, 556, 4, "cm-1"))
    assert list(result.quarantine["rules"]) == ["covers_model_range"]


def test_values_are_converted_and_missing_values_are_no_fault():
    batch = real("NRW.62")
    samples = batch.samples.rename(columns={"soc": "SOC (g/kg)"}).assign(clay=np.nan)
    samples["SOC (g/kg)"] *= 10
    result = judge(batch.with_samples(samples))
    np.testing.assert_allclose(result.accepted.property_values("soc"), batch.property_values("soc"))
    assert result.counts["quarantined"] == 0
    assert any("g/kg" in note for note in result.notes)


def test_unreadable_cells_are_said_and_the_scan_goes_on():
    batch = real("NRW.62")
    samples = batch.samples.astype({"ph": object})
    samples.loc[3, "ph"] = "6.x"
    result = judge(batch.with_samples(samples))
    assert result.counts["accepted"] == 62
    finding = result.findings.iloc[0]
    assert (finding["rule"], finding["severity"], finding["row"]) == ("value_unread", "warning", 4)
    assert "6.x" in finding["found"]
    assert np.isnan(result.accepted.property_values("ph")[3])


@pytest.mark.parametrize("fine", ["Léo 01", "A-7.b", "土 12", "12345", "x" * 300])
def test_ids_of_any_script_with_blanks_are_fine(fine):
    batch = real("NRW.62")
    samples = batch.samples.astype({"sample_id": object})
    samples.loc[0, "sample_id"] = fine
    assert len(judge(batch.with_samples(samples)).findings) == 0


@pytest.mark.parametrize("odd", ["2021/17", "a\\b", "../x"])
def test_path_separators_in_ids_are_told(odd):
    batch = real("NRW.62")
    samples = batch.samples.astype({"sample_id": object})
    samples.loc[0, "sample_id"] = odd
    result = judge(batch.with_samples(samples))
    assert list(result.findings["rule"]) == ["id_separator"]
    assert result.counts["quarantined"] == 0


@pytest.mark.parametrize(
    ("bad", "rule"),
    [("..", "id_unsafe"), ("a\nb", "id_unsafe"), ("a\x00", "id_unsafe"), ("   ", "id_missing")],
)
def test_ids_that_are_no_names_are_quarantined(bad, rule):
    batch = real("NRW.62")
    samples = batch.samples.astype({"sample_id": object})
    samples.loc[0, "sample_id"] = bad
    result = judge(batch.with_samples(samples))
    assert list(result.quarantine["rules"]) == [rule]


def test_an_id_that_a_spreadsheet_rounded_is_told():
    batch = real("NRW.62")
    samples = batch.samples.astype({"sample_id": object})
    samples.loc[0, "sample_id"] = "1.23E+05"
    result = judge(batch.with_samples(samples))
    assert list(result.findings["rule"]) == ["id_rounded"]
    assert result.counts["quarantined"] == 0


def test_findings_carry_file_and_row_of_the_source():
    batch = damaged()
    samples = batch.samples.assign(source_file="scans.csv", source_row=np.arange(15) + 7)
    result = judge(batch.with_samples(samples))
    assert set(result.findings["source_file"]) == {"scans.csv"}
    assert list(result.quarantine["source_row"]) == [8, 10, 12, 14, 16]
    assert pd.notna(result.findings["column"]).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"clipped_share": (0.0001, 0.0002)}, {"noise_ratio": (0.1, 0.2)}, {"shift_steps": (1e-6, 1e-5)},
        {"water_spreads": 0.01}, {"co2_height": 1e-6}, {"replicate_ratio": 0.1}, {"texture_sum_off": (1e-3, 0.01)},
        {"near_copy_distance": 1e-9}, {"reflectance_usual": (0.0, 0.1)}, {"reflectance_possible": (0.0, 0.1)},
        {"spike": (1e-4, 1e-3)},
        {"join_step": (1e-6, 1e-5)}, {"absorbance_usual": (0.0, 0.1)}, {"absorbance_possible": (0.0, 0.1)},
        {"max_quarantined_share": 0.0}, {"min_accepted": 100},
    ],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_every_key_of_the_policy_changes_what_the_gate_says(changed):
    if "join_step" in changed:
        batch, axis = real("CV.98").take(np.arange(20)), Axis.regular(352, 2498, 2, "nm")
    else:
        batch, axis = damaged().take(np.arange(15)), AXIS
        rounded = replace(
            batch, spectra=np.round(batch.spectra, 4), samples=batch.samples.assign(sample_id="r")
        )
        twice = np.concatenate([batch.spectra, rounded.spectra[12:13], batch.spectra[11:15]])
        samples = pd.concat([batch.samples, rounded.samples[12:13], batch.samples[11:15]], ignore_index=True)
        noise = np.random.default_rng(0).normal(scale=2e-3, size=twice[-4:].shape)
        twice[-4:] += noise.astype(np.float32)
        twice[0, :20] = twice[0].max()
        samples = samples.assign(silt=40.0, sand=60.005 - samples["clay"])
        batch = replace(batch, spectra=twice, samples=samples)
        if any("absorbance" in key for key in changed):
            batch = to_quantity(batch, "absorbance")
        if "replicate_ratio" in changed:
            batch = batch.take([*range(10, 15), *range(16, 20), 10])
            batch = batch.with_samples(batch.samples.assign(sample_id=[*"abcdebcdea"]))
    usual = judge(batch, axis=axis)
    other = judge(batch, axis=axis, policy=QualityPolicy(**changed))
    said = [(r.findings["rule"].tolist(), r.findings["row"].tolist(), r.refused) for r in (usual, other)]
    assert said[0] != said[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise_ratio": (5, 2)},
        {"noise_ratio": (0, 2)},
        {"reflectance_usual": (1, 1)},
        {"near_copy_distance": 0.1},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="validation error"):
        QualityPolicy(**wrong)


class TestImpossibleValuesOfUnusedProperties:
    """Silt of 256 %, as the OSSL's own tables hold it: in a project that models clay and one that models silt."""

    @staticmethod
    def batch() -> SpectralBatch:
        whole = real("NRW.115").take(np.arange(100, 112))
        samples = whole.samples.assign(silt_usda=30.0, sand_usda=70.0 - whole.samples["clay"])
        samples.loc[2, "silt_usda"] = 256.0
        samples.loc[5, ["clay", "sand_usda"]] = 140.0, np.nan
        return replace(whole, samples=samples)

    def test_by_default_only_a_used_property_quarantines(self):
        result = judge(self.batch(), used=("clay", "ph"))
        assert dict(zip(result.quarantine["row"], result.quarantine["rules"], strict=True)) == {
            6: "impossible_value"
        }
        told = result.findings[result.findings["rule"] == "value_set_aside"]
        assert (list(told["row"]), list(told["column"]), list(told["severity"])) == (
            [3],
            ["silt_usda"],
            ["warning"],
        )
        assert told["found"].iloc[0] == "silt_usda 256 %"
        row = list(result.accepted.sample_ids).index("NRW.115-103")
        assert np.isnan(result.accepted.property_values("silt_usda")[row])
        assert np.isfinite(result.accepted.property_values("clay")[row])
        assert any("silt_usda: 1" in note for note in result.notes)

    @pytest.mark.parametrize(("used", "rule", "severity"), [
        (("silt_usda",), "impossible_value", "critical"), (("clay",), "value_set_aside", "warning"),
    ])  # fmt: skip
    def test_a_table_in_the_layout_of_the_ossl(self, tmp_path, used, rule, severity):
        field = to_quantity(real("NRW.115").take(np.arange(100, 112)), "absorbance")
        table = pd.DataFrame(field.spectra, columns=[f"scan_mir.{p:g}_abs" for p in field.axis.values])
        table.insert(0, "id.layer_uuid_txt", [f"layer-{i}" for i in range(len(field))])
        table["silt.tot_usda.c62_w.pct"] = [30.0, 256.0] * 6
        table["caco3_usda.a54_w.pct"] = 101.4
        table.to_csv(tmp_path / "ossl_all_l0.csv.gz", index=False)
        result = judge(read_landed(tmp_path, built_in_catalogue()), used=used)
        found = result.findings[result.findings["rule"] == rule]
        assert set(found["column"]) == {"silt_usda"}
        assert set(found["severity"]) == {severity}
        assert list(found["found"]) == ["silt_usda 256 %"] * 6
        assert result.counts["quarantined"] == (6 if severity == "critical" else 0)
        assert result.counts["landed"] == 12

    def test_a_modelled_property_and_the_policy_quarantine(self):
        for options in (
            {"used": ("silt_usda",)}, {}, {"used": ("ph",), "policy": QualityPolicy(unused_impossible="quarantine")}
        ):  # fmt: skip
            held = judge(self.batch(), **options).quarantine
            assert "impossible_value" in str(held.set_index("row").loc[3, "rules"])

    def test_what_is_quarantined_keeps_the_value_as_it_landed(self):
        samples = self.batch().samples
        samples.loc[2, "clay"] = 140.0
        result = judge(replace(self.batch(), samples=samples), used=("clay",))
        held = result.quarantined_batch
        assert held is not None
        assert held.property_values("silt_usda")[list(held.sample_ids).index("NRW.115-103")] == 256.0

    def test_a_set_aside_value_is_in_no_sum(self):
        # Clay, 256 % silt and 30 % sand would be far from 100 %, and that would quarantine the scan.
        result = judge(self.batch(), used=("clay",))
        sums = result.findings[result.findings["rule"].str.startswith("texture_sum")]
        assert 3 not in set(sums["row"])
