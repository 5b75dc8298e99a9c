"""Drift and models in figures: how unlike the reference each instrument's newest batch is, and how well models do.

Belongs here: reading the drift gate's reports, the registry's tags and the newest validations; no spectra, no mlflow.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from soil_assets.adapters.prometheus import Family
from soil_assets.defs.io import has_value, load_value
from soil_assets.defs.live_validation import Live, versions
from soil_assets.defs.resources import Soil
from soil_assets.defs.streams import BatchRecord
from soil_assets.storage import Store

#: Instruments that are told of, those with the newest batches; the names are people's, so their number has no end.
INSTRUMENTS = 40
#: Batches of an instrument that are looked at for one that was large enough to be judged.
LOOK_BACK = 10
VERDICTS = ("pass", "warn", "fail", "not_judged")
_LONGEST = 60

FAMILIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "soil_drift_p_value": (
        "Of an instrument's newest judged batch: the chance of so large a difference when nothing changed.",
        ("instrument",),
    ),
    "soil_drift_false_alarm_rate": ("The p value at which the policy speaks of drift.", ()),
    "soil_drift_effect": (
        "Of an instrument's newest judged batch: largest effect over the threshold of its test, by family.",
        ("instrument", "family"),
    ),
    "soil_drift_samples": ("Soils of an instrument's newest judged batch.", ("instrument",)),
    "soil_drift_verdict": ("1 for the verdict on an instrument's newest batch.", ("instrument", "verdict")),
    "soil_drift_instruments_left_out": (f"Instruments beyond the {INSTRUMENTS} that are told of.", ()),
    "soil_registry_version": ("Version at an alias of the registry.", ("property", "alias")),
    "soil_model_rmse": (
        "RMSE on the benchmark, in the property's unit: as registered, as measured again, and of the candidate.",
        ("property", "unit", "alias", "source"),
    ),
    "soil_model_rpiq": ("RPIQ on the benchmark.", ("property", "alias", "source")),
    "soil_model_rpiq_floor": ("The RPIQ that the policy asks for.", ()),
}


def tell_drift(found: Mapping[str, Family], soil: Soil) -> None:
    """Tell of the newest batch of each instrument."""
    newest = sorted(_newest_records(soil.data), key=lambda pair: pair[0], reverse=True)
    policy = soil.settings.policy.drift
    found["soil_drift_false_alarm_rate"].add(figure=policy.false_alarm_rate)
    found["soil_drift_instruments_left_out"].add(figure=max(0, len(newest) - INSTRUMENTS))
    names: set[str] = set()
    for _, records in newest[:INSTRUMENTS]:
        instrument = _label(records[0].instrument, names)
        for verdict in VERDICTS:
            found["soil_drift_verdict"].add(instrument, verdict, figure=float(records[0].verdict == verdict))
        judged = next((r for r in records if r.verdict != "not_judged"), None)
        # A small batch has the verdict of the pool that a later one judged it in.
        batch = "" if judged is None else judged.judged_with or judged.batch
        if judged is None or not has_value(soil.data, "drift_reports", batch):
            continue
        report = load_value(soil.data, "drift_reports", batch)
        found["soil_drift_samples"].add(instrument, figure=report["n"])
        if report["family_p"] is not None:
            found["soil_drift_p_value"].add(instrument, figure=report["family_p"])
        for family, largest in sorted(_effects(report["tests"]).items()):
            found["soil_drift_effect"].add(instrument, family, figure=largest)


def tell_models(found: Mapping[str, Family], soil: Soil) -> None:
    """Tell of the version at each alias, of what it was registered with and of what it does today."""
    from soil_assets.modeling.as_registered import kept_figures

    found["soil_model_rpiq_floor"].add(figure=soil.settings.policy.model.min_rpiq)
    for name in soil.settings.properties:
        unit = soil.catalogue[name].unit
        live = versions(soil, name)
        for alias, one in live.items():
            found["soil_registry_version"].add(name, alias, figure=one.found.version)
            _figures(found, name, unit, alias, "registered", kept_figures(one.found.tags).figures)
        again = _value(soil, "live_model_validations", name)
        if _is_of(again, live):
            measured = again.get("evaluation", {}).get("metrics", {})
            _figures(found, name, unit, str(again["alias"]), "validated", measured)
        candidate = _value(soil, "benchmark_evaluations", name)
        _figures(found, name, unit, "candidate", "measured", candidate.get("metrics", {}))


def _is_of(again: Mapping[str, Any], live: Mapping[str, Live]) -> bool:
    """Whether a validation is of the version that still stands there."""
    one = live.get(str(again.get("alias")))
    return one is not None and one.found.version == again.get("version")


def _figures(
    found: Mapping[str, Family],
    name: str,
    unit: str,
    alias: str,
    source: str,
    figures: Mapping[str, float | None],
) -> None:
    rmse, rpiq = figures.get("rmse"), figures.get("rpiq")
    if rmse is not None:
        found["soil_model_rmse"].add(name, unit, alias, source, figure=rmse)
    if rpiq is not None:
        found["soil_model_rpiq"].add(name, alias, source, figure=rpiq)


def _value(soil: Soil, asset: str, partition: str) -> dict[str, Any]:
    return dict(load_value(soil.data, asset, partition)) if has_value(soil.data, asset, partition) else {}


def _newest_records(data: Store) -> Iterator[tuple[str, list[BatchRecord]]]:
    """Yield when each instrument's newest batch came, with its newest records: the last one first."""
    for folder in data.folders("judged"):
        keys = data.files(f"judged/{folder}")
        records: list[BatchRecord] = []
        for key in reversed(keys[-LOOK_BACK:]):
            records.append(BatchRecord(**data.read_json(key)))
            if records[-1].verdict != "not_judged":
                break
        if records:
            yield keys[-1].rsplit("/", 1)[-1], records


def _effects(tests: list[dict[str, Any]]) -> dict[str, float]:
    """Return the largest effect of each family in units of its own threshold: from 1 on it matters."""
    largest: dict[str, float] = {}
    for test in tests:
        effect, threshold = test.get("effect"), test.get("threshold")
        if effect is not None and threshold:
            share = abs(effect) / abs(threshold)
            largest[test["family"]] = max(share, largest.get(test["family"], 0.0))
    return largest


def _label(name: str, taken: set[str]) -> str:
    """Return an instrument's name as a label: one short line, and no two alike."""
    plain = re.sub(r"[^\x20-\x7e\u00a0-\uffff]+|\s+", " ", name).strip()[:_LONGEST]
    if plain != name or plain in taken:
        plain = f"{plain} {hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
    taken.add(plain)
    return plain
