"""Alerts: grouped, failures first, quiet for a while, and harmless whatever a sample is called."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soil_assets.reporting.alerts import NAMED, Alert, due, message


def gate(batch: str, summary: str = "p = 0.001", kind: str = "gate", link: str = "") -> Alert:
    return Alert(kind, "drift_reports.batch_drift", batch, summary, link)  # type: ignore[arg-type]


def test_the_same_alert_is_quiet_until_its_time_is_over() -> None:
    first, quiet, sent = due([gate("b1"), gate("b1"), gate("b2")], {}, now=1000.0, cooldown=60.0)
    assert [a.partition for a in first] == ["b1", "b2"]
    assert quiet == 1
    again, quiet, sent = due([gate("b1"), gate("b3")], sent, now=1059.0, cooldown=60.0)
    assert [a.partition for a in again] == ["b3"]
    assert quiet == 1
    later, quiet, sent = due([gate("b1")], sent, now=1060.0, cooldown=60.0)
    assert [a.partition for a in later] == ["b1"]
    assert quiet == 0
    assert set(sent) == {gate("b1").key, gate("b3").key}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1000)), max_size=30),
    st.floats(0, 500),
)
def test_every_alert_is_told_or_counted(events: list[tuple[str, float]], cooldown: float) -> None:
    sent: dict[str, float] = {}
    told = kept_quiet = 0
    for batch, at in sorted(events, key=lambda e: e[1]):
        tell, quiet, sent = due([gate(batch)], sent, at, cooldown)
        told += len(tell)
        kept_quiet += quiet
    assert told + kept_quiet == len(events)
    assert told >= len({batch for batch, _ in events})


def test_failures_stand_first_and_a_flood_is_one_heading() -> None:
    flood = [gate(f"b{i}") for i in range(NAMED + 3)]
    said = message([gate("odd", kind="warning"), *flood], quiet=2, deployment="production")
    assert said.urgent
    assert said.title == f"soil_assets (production): {NAMED + 3} failed, 1 to look at"
    assert said.body.index("Gate failed:") < said.body.index("Warning:")
    assert said.body.count("**Gate failed:") == 1
    assert "and 3 more" in said.body
    assert "2 repeated alerts not told again" in said.body


def test_warnings_alone_are_not_urgent() -> None:
    assert not message([gate("b", kind="warning")]).urgent


def test_hostile_names_stay_text() -> None:
    said = message(
        [gate("<img src=x>", "[click](javascript:alert(1)) @everyone", link="javascript:alert(1)")]
    )
    assert "<img" not in said.body
    assert r"\[click\](javascript" in said.body  # a bracket that is escaped starts no link
    assert "@everyone" not in said.body


def test_a_link_leads_to_the_place() -> None:
    said = message([gate("b1", link="https://soil.example/assets/drift_reports")])
    assert "[b1](https://soil.example/assets/drift_reports)" in said.body
