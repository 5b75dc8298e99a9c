"""soil.yaml: defaults, and errors that name the key and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from soil_assets.config import Settings, deployment_from_environment, load_settings
from soil_assets.errors import BadInput

OWN = "catalogue: {iron: {label: Iron, unit: 'g/kg', %s}}"


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
        (OWN % "typical: [5, 1]", "catalogue.iron.typical", "the lower first"),
        (OWN % "hard: [5, 1]", "catalogue.iron.hard", "a low and a high end"),
        (OWN % "warning: [5]", "catalogue.iron.warning.1", "required"),
        (OWN % "element: U", "catalogue.iron.element", "Fe"),
        (OWN % "equivalent: 20", "catalogue.iron", "cmolc/kg"),
        (OWN % "equivalent: -1", "catalogue.iron.equivalent", "greater than 0"),
        (OWN % "zero: missing", "catalogue.iron.zero", "'possible' or 'suspicious'"),
        (OWN % "typcal: [1, 5]", "catalogue.iron.typcal", "typical"),
        ("catalogue: {'Fe 2+': {label: Iron, unit: '%'}}", "catalogue.Fe 2+.[key]", "letters, digits"),
        ("policy: {quality: {unused_impossible: ignore}}", "policy.quality.unused_impossible", "'set_aside'"),
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


def test_a_property_of_ones_own_says_all_that_a_built_in_one_can(tmp_path: Path) -> None:
    from dataclasses import fields

    from soil_assets.defs.resources import Soil
    from soil_assets.property_settings import PropertySettings
    from soil_assets.spectra.properties import Property

    assert {f.name for f in fields(Property)} - {"name"} == set(PropertySettings.model_fields)
    text = """catalogue:
  k_citrate:
    {label: Potassium, unit: cmol/kg, element: K, equivalent: 39.0983, typical: [0.1, 3], zero: suspicious,
     hard: [0, null], aliases: [kcit]}
"""
    catalogue = Soil.of(load(tmp_path, text)).catalogue
    assert catalogue["k_citrate"].unit == "cmolc/kg"
    assert catalogue.factor("k_citrate", "mg/kg") == pytest.approx(1 / 390.983)
    assert catalogue.resolve("kcit (mg/kg)") == ("k_citrate", "mg/kg")
    oxide = catalogue.oxide("K2O_citrate")
    assert oxide is not None
    assert oxide[0] == "K2O"
    assert catalogue["k_citrate"].typical == (0.1, 3)
    assert catalogue["k_citrate"].zero == "suspicious"
    assert catalogue["k_citrate"].hard == catalogue["k_citrate"].warning == (0, float("inf"))


def test_an_alias_of_another_property_is_refused(tmp_path: Path) -> None:
    from soil_assets.defs.resources import Soil

    with pytest.raises(BadInput, match="means another property") as caught:
        _ = Soil.of(load(tmp_path, OWN % "aliases: [Ton, TOC]")).catalogue
    assert (caught.value.column, caught.value.found) == ("catalogue.iron.aliases", "TOC")
    assert "soc" in str(caught.value.mend)


def test_recipe_keys_under_policy_are_moved_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(
        FutureWarning, match=r"move policy\.model\.learner, policy\.model\.seed to the section recipe"
    ):
        settings = load(tmp_path, "policy: {model: {learner: svr, seed: 7, margin: 0.2}}")
    assert (settings.recipe.learner, settings.recipe.seed) == ("svr", 7)
    assert (settings.policy.model.margin, settings.policy.model.bootstrap_seed) == (0.2, 7)
    with pytest.raises(BadInput, match="two sections"):
        load(tmp_path, "recipe: {learner: pls}\npolicy: {model: {learner: svr}}")


def test_a_change_proposes_its_recipe_and_nothing_that_judges(tmp_path: Path) -> None:
    main = tmp_path / "baseline"
    main.mkdir()
    (main / "soil.yaml").write_text(
        "categories: [lab]\npolicy: {model: {margin: 0.05}}\nrecipe: {learner: pls}\n"
        "catalogue: {humus: {label: Humus, unit: '%', hard: [0, 60]}}\n",
        encoding="utf-8",
    )
    own = tmp_path / "soil.yaml"
    own.write_text(
        "categories: []\npolicy: {model: {margin: 5}, drift: {when_drift: warn}}\nrecipe: {learner: svr}\n"
        "properties: [clay, humus, iron]\ncatalogue:\n"
        "  clay: {label: Clay, unit: '%', hard: [0, 1000], warning: [0, 1000]}\n"
        "  humus: {label: Humus, unit: '%', hard: [0, 1000]}\n"
        "  iron: {label: Iron, unit: '%', hard: [0, 30]}\n",
        encoding="utf-8",
    )
    settings = load_settings(own, {"SOIL_BASELINE": str(main)})
    assert (settings.recipe.learner, settings.properties) == ("svr", ("clay", "humus", "iron"))
    assert (settings.policy.model.margin, settings.policy.drift.when_drift) == (0.05, "hold")
    assert settings.categories == ("lab",)
    hard = {name: settings.catalogue[name].hard for name in settings.properties}
    assert hard == {"clay": (0.0, 100.0), "humus": (0.0, 60.0), "iron": (0.0, 30.0)}


def test_every_quality_key_is_explained_in_the_shipped_file_and_in_a_proposal(tmp_path: Path) -> None:
    from soil_assets.quality_policy import quality_section

    shipped = (Path(__file__).resolve().parent.parent / "soil.yaml").read_text(encoding="utf-8")
    section = quality_section(Settings().policy.quality)
    assert section.removeprefix("policy:\n") in shipped
    assert "None" not in section
    changed = section.replace("min_accepted: 1 ", "min_accepted: 7 ")
    assert load(tmp_path, changed).policy.quality.min_accepted == 7


def test_the_example_of_a_property_in_the_shipped_file_is_valid(tmp_path: Path) -> None:
    shipped = (Path(__file__).resolve().parent.parent / "soil.yaml").read_text(encoding="utf-8")
    lines = shipped[shipped.index("# catalogue:") :].split("\n\n", 1)[0].splitlines()
    settings = load(tmp_path, "\n".join(line.removeprefix("# ") for line in lines))
    assert settings.catalogue["k_citrate"].equivalent == pytest.approx(39.0983)
