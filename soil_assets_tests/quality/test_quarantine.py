import datetime
import io

import openpyxl
import pandas as pd
import pytest

from soil_assets.errors import BadInput
from soil_assets.quality.lab_return import LAB_COLUMNS, lab_table_with_mends, workbook_bytes
from soil_assets.quality.quarantine import list_quarantines, show_quarantine
from soil_assets.quality.releases import release, scan_keys
from soil_assets_tests.quality.batches import damaged, judge, real
from soil_assets_tests.quality.test_gate import Landed, Unread

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def let_go(result, *samples, why="measured again, the value stands"):
    return release(result.quarantine, samples=samples, who="A. Chemist", why=why, when=NOW)


def test_list_counts_scans_files_and_rules():
    result = judge(Landed(damaged(), (Unread("x.0", "empty"),)))
    listed = list_quarantines({"a": result.quarantine, "b": judge(real("NRW.62")).quarantine})
    assert len(listed) == 1
    assert (listed["batch"][0], listed["scans"][0], listed["files"][0]) == ("a", 5, 1)
    assert "impossible_value 1" in listed["rules"][0]


def test_show_finds_samples_and_rules_and_refuses_what_is_not_there():
    table = judge(damaged()).quarantine
    assert list(show_quarantine(table, samples=["nrw.115 108"])["rules"]) == ["impossible_value"]
    assert list(show_quarantine(table, rules=["scale", "id_missing"])["row"]) == [2, 10]
    assert len(show_quarantine(table)) == 5
    with pytest.raises(BadInput, match="no such sample"):
        show_quarantine(table, samples=["NRW.115-101"])
    with pytest.raises(BadInput, match="no such rule"):
        show_quarantine(table, rules=["rain"])


def test_a_release_lets_exactly_that_scan_go_on_and_is_told():
    first = judge(damaged())
    releases = let_go(first, "NRW.115-108")
    again = judge(damaged(), releases=releases)
    assert again.counts == {"landed": 15, "accepted": 11, "quarantined": 4}
    assert "NRW.115-108" in set(again.accepted.sample_ids)
    told = again.findings[again.findings["rule"] == "impossible_value"].iloc[0]
    assert told["severity"] == "warning"
    assert "released by A. Chemist: measured again" in told["found"]
    assert not again.checks["ranges"].passed
    assert any("1 scans go on" in note for note in again.notes)


def test_a_release_does_not_cover_another_rule_or_other_content():
    batch = damaged()
    releases = let_go(judge(batch), "NRW.115-108")
    samples = batch.samples.copy()
    samples.loc[7, "ph"] = 90.0
    worse = judge(batch.with_samples(samples), releases=releases)
    assert list(worse.quarantine.loc[worse.quarantine["row"] == 8, "rules"]) == ["impossible_value"]
    samples = batch.samples.copy()
    samples.loc[7, "soc"] = -5.0
    both = judge(batch.with_samples(samples), releases=let_go(judge(batch), "NRW.115-108"))
    assert both.counts["quarantined"] in (4, 5)
    renamed = batch.samples.copy()
    renamed.loc[7, "sample_id"] = "other"
    assert judge(batch.with_samples(renamed), releases=releases).counts["quarantined"] == 5


@pytest.mark.parametrize(("who", "why"), [("", "because"), ("A", " "), ("", "")])
def test_a_release_needs_who_and_why(who, why):
    with pytest.raises(BadInput, match="who and why"):
        release(judge(damaged()).quarantine, samples=["NRW.115-108"], who=who, why=why, when=NOW)


def test_what_cannot_be_placed_on_the_axis_is_never_released():
    with pytest.raises(BadInput, match="cannot be released"):
        let_go(judge(damaged()), "NRW.115-106")
    with pytest.raises(BadInput, match="no such sample"):
        let_go(judge(damaged()), "NRW.115-101")
    with pytest.raises(ValueError, match="time zone"):
        release(
            judge(damaged()).quarantine,
            samples=["NRW.115-108"],
            who="A",
            why="B",
            when=datetime.datetime(2026, 1, 1),
        )


def test_scan_keys_name_content():
    batch = damaged()
    keys = scan_keys(batch)
    assert keys == scan_keys(damaged())
    assert len(set(keys)) == len(keys)  # the copied spectrum has another id
    assert list(judge(batch).quarantine["scan_key"]) == [keys[i] for i in (1, 3, 5, 7, 9)]


def test_the_lab_gets_its_own_table_back_with_what_to_mend():
    lab = pd.DataFrame(
        {
            "Sample ID": ["NRW.115-101", "nrw.115 108", "NRW.115-999"],
            "clay": [20, 140, 30],
            "mend": ["", "", "old note"],
        }
    )
    result = judge(Landed(damaged(), (Unread("x.0", "empty"),)))
    back = lab_table_with_mends(lab, result.findings, result.accepted.sample_ids)
    assert list(back.columns) == [
        "Sample ID",
        "clay",
        "mend",
        "gate",
        "rules",
        "found",
        "expected",
        "mend (quality gate)",
    ]
    pd.testing.assert_frame_equal(
        back[["Sample ID", "clay", "mend"]].iloc[:3].astype(object), lab.astype(object)
    )
    assert list(back["gate"][:3]) == ["accepted", "quarantined", "no scan"]
    assert back["found"][1] == "clay 140 %"
    assert (
        len(back) == 3 + len(result.findings) - 1
    )  # every finding that has no row of the lab's stands below
    assert "x.0: empty" in set(back["found"])
    assert set(LAB_COLUMNS[:4]) <= set(back.columns)


def test_the_workbook_holds_text_and_never_a_formula():
    hostile = pd.DataFrame(
        {
            "id": ['=HYPERLINK("http://x","y")', "+1+1", "@SUM(A1)", "-2", "a\x0bb"],
            "n": [1, 2.5, None, 4, 5],
            "t": [None] * 5,
        }
    )
    sheet = openpyxl.load_workbook(io.BytesIO(workbook_bytes(hostile))).active
    assert [c.value for c in sheet["A"]] == [
        "id",
        '=HYPERLINK("http://x","y")',
        "+1+1",
        "@SUM(A1)",
        "-2",
        "a\ufffdb",
    ]
    assert {c.data_type for c in sheet["A"]} == {"s"}
    assert [c.value for c in sheet["B"]] == ["n", 1, 2.5, None, 4, 5]
