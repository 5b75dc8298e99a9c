"""A card tells what the model and its evaluation say, to the digit, and owns up to what is not known."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from soil_assets.reporting import model_plots
from soil_assets.reporting.decision_inputs import BandImportance
from soil_assets.reporting.model_card import ModelCard, build
from soil_assets.reporting.model_card_facts import CardFacts
from soil_assets_tests.reporting.facts import evaluation
from soil_assets_tests.reporting.test_escaping import HOSTILE, _parsed


def _facts(**other: Any) -> CardFacts:
    facts: dict[str, Any] = {
        "name": "soil-clay",
        "version": "3",
        "property": "clay",
        "label": "Clay",
        "unit": "%",
        "method": "< 2 µm",
        "spectra": "absorbance, 3796 to 552 cm-1",
        "training": {
            "n": 56,
            "n_groups": 50,
            "n_left_out": 1,
            "folds": 10,
            "seed": 7,
            "range": [4.0, 41.5],
            "back_transform": "modelled in its own unit",
            "chosen": {"learner": "pls", "pretreatment": "snv", "components": 4},
            "curves": {"snv": [3.0, 2.1, 1.8, 1.5, 1.6], "none": [4.0, 3.0, 2.5, 2.2, 2.1]},
            "cross_validation": {"n": 56.0, "rmse": 1.61, "r2": 0.93},
        },
        "recipe": {"learner": "pls", "pretreatments": [{"name": "snv"}, {"name": "none"}]},
        "domain": {"limits": {"t2": 22.1, "q": 0.031, "distance": 1.9}, "rate": 0.02, "calibration_n": 56},
        "evaluation": evaluation(1.3),
        "benchmark": "26 soils of the same field",
        "data": ("LimeSoDa NRW.115, CC BY-SA 4.0",),
        "importance": BandImportance(positions=(3796.0, 2000.0, 552.0), unit="cm-1", vip=(0.4, 1.5, 0.9)),
        "versions": {"code": "c0ffee1"},
        "links": {"run": "https://h.example/1"},
    }
    return CardFacts(**(facts | other))


@cache
def _card() -> ModelCard:
    return build(_facts())


def test_figures_agree_with_the_evaluation() -> None:
    card = _card()
    metrics = evaluation(1.3)["metrics"]
    text = _parsed(card.html).text.replace("\u00a0", " ")
    rmse = card.data["figures"]["metrics"]["rmse"]
    assert rmse["candidate"] == metrics["rmse"]
    assert rmse["text"] in text
    assert f"{metrics['rmse']:.2f} (95 % CI" in text
    assert "whole groups left out, 10 folds" in text
    assert "| 1.61 | R2 0.930, RPIQ not judged, n = 56 |" in card.markdown.replace("\u00a0", " ")
    assert "26 soils of the same field, n = 26, never trained on" in text
    json.dumps(card.data, allow_nan=False)


def test_every_section_is_there_with_its_pictures() -> None:
    card = _card()
    for section in (
        "Intended use",
        "Performance",
        "Training",
        "Applicability domain",
        "Caveats",
        "Provenance",
    ):
        assert f"## {section}" in card.markdown
    named = set(re.findall(r"!\[[^\]]*\]\(([^)]*)\)", card.markdown))
    wanted = {"observed.png", "errors.png", "residuals.png", "coverage.png", "curves.png", "vip.png"}
    assert named == set(card.images) == wanted
    assert all(len(content) < 60_000 for content in card.images.values())
    assert card.embedded_markdown.count("(data:image/") == len(card.images)


def test_a_small_benchmark_is_owned_up_to() -> None:
    assert "The benchmark is small (n = 26)" in _card().markdown
    assert "2 benchmark samples without a reference value" in _card().markdown


def test_what_is_not_known_is_said() -> None:
    card = build(CardFacts(name="soil-ph", property="ph"))
    assert card.images == {}
    assert "not judged" in card.markdown
    assert "Not recorded." in card.markdown
    assert "nan" not in card.markdown.lower()


def test_an_interval_that_does_not_hold_is_a_caveat() -> None:
    broken = evaluation()
    broken["coverage"][1]["covered"] = False
    assert "The 90 % interval is not as promised." in build(_facts(evaluation=broken)).markdown


def test_a_card_can_be_written_again_from_its_json() -> None:
    again = build(CardFacts.model_validate_json(json.dumps(_card().data["facts"])))
    assert again.html == _card().html


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_stay_text(text: str) -> None:
    def page(words: str) -> str:
        return build(
            CardFacts(
                name=words, version=words, property=words, label=words, unit=words,
                method=words, spectra=words,
                training={"chosen": {words: words}, "back_transform": words}, recipe={"learner": words},
                domain={"limits": {words: 1}}, benchmark=words, data=(words,), caveats=(words,),
                versions={words: words},
            )
        ).html  # fmt: skip

    assert _parsed(page(text)).tags == _parsed(page("harmless")).tags


@pytest.mark.parametrize(
    "table", [[], [{"level": None}], [{"level": 0.9, "picp": None}], [{"level": 0.9, "picp": 1.0}]]
)
def test_coverage_of_every_kind_is_drawn(table: list[dict[str, Any]]) -> None:
    assert model_plots.coverage(table).startswith(b"\x89PNG")


def test_pictures_show_the_data_and_nothing_else() -> None:
    table = pd.DataFrame(
        {"observed": [1.0, 2.0, 3.0], "value": [1.1, 2.2, 2.7], "inside": [True, False, None]}
    )
    assert model_plots.residuals(table, "%") == model_plots.residuals(table, "%")
    assert model_plots.residuals(table, "%") != model_plots.residuals(table.assign(inside=True), "%")
    assert model_plots.residuals(table * np.nan, "%").startswith(b"\x89PNG")
    curves = {"snv": [3.0, 2.0], "none": [float("nan"), 1.0]}
    assert model_plots.validation_curves(curves, ("snv", 2)) != model_plots.validation_curves(curves)
    assert model_plots.validation_curves({"snv": []}, ("snv", 2)).startswith(b"\x89PNG")


def test_a_trained_model_has_a_card() -> None:
    from soil_assets.modeling.evaluate import evaluate
    from soil_assets.modeling.recipe import Recipe
    from soil_assets.modeling.train import train
    from soil_assets.spectra.axis import Axis
    from soil_assets.spectra.catalogue import built_in_catalogue
    from soil_assets.spectra.embedded import limesoda
    from soil_assets.spectra.harmonise import harmonise

    batch = harmonise(limesoda("NRW.115"), Axis.regular(3796, 552, 8, "cm-1"), "absorbance")
    prop = built_in_catalogue()["clay"]
    model = train(batch.take(range(60)), prop, Recipe(max_components=8, folds=4))
    measured = evaluate(model, batch.take(range(60, 115)), prop, n_boot=200)
    card = build(CardFacts.of(model, "soil-clay", evaluation=measured.to_dict()))
    text = _parsed(card.html).text.replace("\u00a0", " ")
    assert f"{measured.metrics['rmse']:.2f}" in text
    assert {"observed.png", "residuals.png", "coverage.png", "vip.png"} <= set(card.images)
    assert "60 in 60 groups" in text
    assert {"validated.png", "domain.png"} <= set(card.images)
    assert "samples left out at random" in text
    assert "every sample is a group of its own" in text
    assert f"± {model.half_widths[0.9]:.2f} %" in text


def test_gap_repeats_and_strata_are_told() -> None:
    training = {
        **_facts().training,
        "repeated_validation": {"seeds": [1, 2], "rmse": [1.61, 1.75]},
        "random_validation": {"judged": True, "rmse": 1.4, "gap": 0.15, "n": 56, "why": ""},
    }
    parts = [
        {"name": "SOC < 2 %", "n": 20, "judged": True, "metrics": {"rmse": 2.11, "me": -0.4},
         "coverage": [{"level": 0.9, "inside": 17, "n": 20}]},
        {"name": "SOC >= 2 %", "n": 6, "judged": False, "metrics": None, "coverage": []},
    ]  # fmt: skip
    card = build(_facts(training=training, evaluation={**evaluation(1.3), "strata": parts}))
    text = card.markdown.replace("\u00a0", " ")
    assert "1.61, 1.75" in text
    assert "groups look 15 % worse" in text
    assert "| SOC < 2 % | 20 | 2.11 | -0.40 | 90 %: 17 of 20 |" in text.replace("\\<", "<").replace(
        "&lt;", "<"
    )
    assert text.count("| not judged | not judged | not judged |") == 1


def test_the_domain_is_drawn_as_it_was_judged() -> None:
    table = pd.DataFrame({"t2": [1.0, 9.0], "q": [0.1, 0.2], "distance": [1.0, 3.0]})
    limits = {"t2": 4.0, "q": 1.0, "distance": 2.0}
    assert model_plots.domain(table, limits) == model_plots.domain(table, limits)
    assert model_plots.domain(table, limits) != model_plots.domain(table, {**limits, "t2": 10.0})
    assert model_plots.domain(table, limits) != model_plots.domain(table * 2, limits)
    assert model_plots.domain(table * np.nan, limits).startswith(b"\x89PNG")
