"""A proposed policy on a real past: batches through the real gates again, decisions from their stored predictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from soil_assets.config import DriftPolicy, ModelPolicy, Policy, QualityPolicy
from soil_assets.defs.build import assets_of, blocking_of
from soil_assets.defs.evidence import decision_inputs
from soil_assets.defs.rejudge import batch_judge, benchmark_of, past_decisions
from soil_assets.demo.batches import DEMO_BATCHES, land
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.test_pipeline import QUICK, each

# Runs import dagster-mlflow and mlflow, whose own deprecations are not ours to mend.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    made = make_platform(tmp_path_factory.mktemp("past"), **QUICK)
    for batch in DEMO_BATCHES:
        if batch.name in ("other-field", "damaged"):
            land(batch, made.landing)
    steps = each(made, "decision_report")
    assert [e for s in steps for e in s.outcome.errors] == []
    assert steps[-1].what == "decision_report"
    return made


def again(platform: Platform, policy: Policy) -> dict[str, bool]:
    checks = blocking_of(assets_of(platform.settings))
    judge = batch_judge(platform.instance, platform.soil, checks, policy)
    facts = decision_inputs(platform.instance, platform.soil, checks)
    return {b.name: judge(b).held for b in facts.batches}


def test_the_policy_in_force_gives_the_same_fates(platform: Platform) -> None:
    assert again(platform, platform.settings.policy) == {"damaged": False, "other-field": True}


def test_a_looser_or_stricter_policy_gives_others(platform: Platform) -> None:
    drift = DriftPolicy(permutations=199, when_drift="warn")
    quality = QualityPolicy(max_quarantined_share=0.01)
    assert again(platform, Policy(drift=drift)) == {"damaged": False, "other-field": False}
    assert again(platform, Policy(drift=drift, quality=quality))["damaged"] is True


def test_past_decisions_are_found_with_their_facts(platform: Platform) -> None:
    [(label, facts)] = past_decisions(platform.instance, platform.soil)
    assert len(label.split()) == 2
    assert facts.policy.model == ModelPolicy(**QUICK["policy"]["model"])  # type: ignore[arg-type]
    assert set(benchmark_of(platform.soil)["clay"]) == {
        r["sample_id"] for r in (facts.properties[0].candidate or {})["predictions"]
    }


def test_the_command_tells_what_would_have_changed(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import json
    from contextlib import contextmanager

    from soil_assets.cli import policy as commands
    from soil_assets.cli.console import GateFailed
    from soil_assets.defs import run

    @contextmanager
    def this_instance() -> object:  # type: ignore[misc]
        yield platform.instance

    proposed = tmp_path / "proposed.yaml"
    proposed.write_text(
        "policy: {drift: {permutations: 199, when_drift: warn}, model: {bootstrap: 200}}\n"
        "recipe: {max_components: 3, folds: 3}\n"
    )
    monkeypatch.setattr(run, "open_instance", this_instance)
    monkeypatch.setattr(commands, "load_settings", _settings_of(platform))
    with pytest.raises(GateFailed):
        commands.policy_try(proposed, out=tmp_path / "trial.html", strict=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["differences"] == ["drift.when_drift: hold -> warn (looser)"]
    assert [(c["subject"], c["before"], c["after"]) for c in told["changed"]] == [
        ("batch other-field", "held", "passed on")
    ]
    assert "other-field" in (tmp_path / "trial.html").read_text(encoding="utf-8")


def _settings_of(platform: Platform) -> object:
    from soil_assets.config import load_settings

    return lambda path=None, env=None: platform.settings if path is None else load_settings(path, env)
