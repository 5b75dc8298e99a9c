"""soil.yaml: defaults, and errors that name the key and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from soil_assets.config import Settings, deployment_from_environment, load_settings
from soil_assets.errors import BadInput


def load(tmp_path: Path, text: str, **env: str) -> Settings:
    file = tmp_path / "soil.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file, env)


def test_every_key_has_a_default(tmp_path: Path) -> None:
    assert load(tmp_path, "").policy == Settings().policy


def test_the_shipped_file_is_valid_and_says_the_defaults() -> None:
    shipped = load_settings(Path(__file__).resolve().parent.parent / "soil.yaml", {})
    assert shipped.model_dump(exclude={"home"}) == Settings().model_dump(exclude={"home"})


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("policy: {drift: {false_alarm_rate: 2}}", "policy.drift.false_alarm_rate", "less than 0.5"),
        ("policy: {drift: {when_drift: explode}}", "policy.drift.when_drift", "'hold' or 'warn'"),
        ("policy: {model: {marign: 0.1}}", "policy.model.marign", "margin"),
        ("properties: []", "properties", "at least 1 item"),
        ("axis: {start: 600, stop: 604, step: 4}", "axis", "two steps apart"),
        ("axis: {unit: um}", "axis.unit", "'cm-1' or 'nm'"),
        ("color: red", "color", "properties"),
        ("catalogue: {iron: {unit: '%'}}", "catalogue.iron.label", "required"),
    ],
)
def test_an_error_names_file_key_and_mend(tmp_path: Path, text: str, key: str, expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(tmp_path, text)
    error = caught.value
    assert error.column == key
    assert expected in (error.expected or "")
    assert error.file == str(tmp_path / "soil.yaml")
    assert error.mend


@pytest.mark.parametrize("text", ["a: [", "- just\n- a list", "\ttab: 1"])
def test_what_is_not_yaml_is_said_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"soil\.yaml"):
        load(tmp_path, text)


def test_a_named_file_that_is_missing_is_an_error() -> None:
    with pytest.raises(BadInput, match="no such configuration file"):
        load_settings("nowhere.yaml", {})


def test_the_home_comes_from_the_environment_and_is_absolute(tmp_path: Path) -> None:
    settings = load(tmp_path, "home: elsewhere", SOIL_HOME=str(tmp_path / "h"))
    assert settings.url("landing") == f"{tmp_path}/h/landing"
    assert Path(load(tmp_path, "home: elsewhere").home).is_absolute()


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "local"),
        ({"SOIL_DEPLOYMENT": "staging", "DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT": "1"}, "staging"),
        ({"DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT": "1"}, "branch"),
        ({"DAGSTER_CLOUD_DEPLOYMENT_NAME": "prod"}, "production"),
    ],
)
def test_the_deployment_is_told_from_the_environment(env: dict[str, str], expected: str) -> None:
    assert deployment_from_environment(env) == expected


def test_an_unknown_deployment_is_refused() -> None:
    with pytest.raises(BadInput, match="SOIL_DEPLOYMENT"):
        deployment_from_environment({"SOIL_DEPLOYMENT": "prod"})
