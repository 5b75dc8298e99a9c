"""Choosing the recipe for a set without that set: leave one set out, by inner results only.

Belongs here: the variants that are compared, their inner results on every set, the choice for each set and its record
(``recipe_choice.json``). Does not belong here: scoring a choice on test folds (``accuracy``).

A variant's inner result on a set is the RMSE of its cross-fitted left-out predictions on seeded folds that have nothing
to do with the set's official ones. For a set, the variant is taken whose RMSE over the properties of all *other*
sets is least in the geometric mean; the set itself, its test folds and its published results have no say. KSSL-500,
YAMSYS and NIRsoil are sets like LimeSoDa's; of NIRsoil only the official training part is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from soil_assets.benchmarks.scored_sets import (
    ScoredSet,
    kssl_set,
    limesoda_names,
    limesoda_set,
    nirsoil_set,
    yamsys_set,
)
from soil_assets.modeling.learners import TrainingData
from soil_assets.modeling.recipe import Recipe
from soil_assets.modeling.stack import better_of, cross_fitted, prepare, repeated_folds
from soil_assets.modeling.stack_basis import (
    JOINT,
    SENSORS,
    StackBasis,
    stack_pretreatments,
)
from soil_assets.modeling.threads import suited_threads

FloatArray = npt.NDArray[np.float64]
_RECORD = Path(__file__).with_name("recipe_choice.json")
#: RMSE by property, by set, by variant.
Results = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Variant:
    """What a variant of the stack has.

    Parameters
    ----------
    bands : int
        About how many bands are left after averaging.
    components : int
        The recipe's field of that name.
    reflectance, second_scale, joint : bool
        Whether reflectance is seen beside absorbance, and the recipe's fields of those names.
    weighted_from, fine_from : int
        The recipe's fields of those names, 0 for never; what is finer is ``_FINE``.
    """

    bands: int
    components: int
    reflectance: bool
    second_scale: bool
    joint: bool
    weighted_from: int = 0
    fine_from: int = 0

    def recipe(self) -> Recipe:
        """Return the variant as a recipe."""
        return Recipe.stack(
            pretreatments=stack_pretreatments(self.bands, with_reflectance=self.reflectance),
            components=self.components,
            second_scale=self.second_scale,
            joint=self.joint,
            weighted_from=self.weighted_from,
            fine=stack_pretreatments(VARIANTS[_FINE].bands) if self.fine_from else (),
            fine_from=self.fine_from or Recipe.fine_from,
        )


#: What is compared; the first is the plainest.
VARIANTS: dict[str, Variant] = {
    "plain": Variant(300, 0, False, False, False),
    "components to 100": Variant(300, 100, False, False, False),
    "components to 400": Variant(300, 400, False, False, False),
    "second scale": Variant(300, 0, False, True, False),
    "reflectance": Variant(300, 0, True, False, False),
    "joint": Variant(300, 0, True, False, True),
    "components, second scale": Variant(300, 100, False, True, False),
    "all but joint": Variant(300, 100, True, True, False),
    "all": Variant(300, 100, True, True, True),
    "all but joint, 600 bands": Variant(600, 100, True, True, False),
    "all, 600 bands": Variant(600, 100, True, True, True),
    "weighted": Variant(300, 100, False, True, False, weighted_from=50),
    "fine": Variant(300, 100, False, True, False, fine_from=200),
    "weighted, fine": Variant(300, 100, False, True, False, weighted_from=50, fine_from=200),
}
#: What the finer pre-treatments of a recipe are, with their joint kernels.
_FINE = "all, 600 bands"


def all_sets() -> Iterator[ScoredSet]:
    """Yield every set that has a say; of NIRsoil the training part."""
    for name in limesoda_names():
        yield limesoda_set(name)
    yield kssl_set()
    yield yamsys_set(Recipe().seed)[0]
    nirsoil = nirsoil_set()
    inside = nirsoil.fold < 0
    yield replace(
        nirsoil,
        spectra=nirsoil.spectra[inside],
        targets={p: v[inside] for p, v in nirsoil.targets.items()},
        fold=nirsoil.fold[inside],
        groups=nirsoil.groups[inside],
    )


def inner_results(scored: ScoredSet) -> Results:
    """Return, by variant, the RMSE of cross-fitted left-out predictions by property.

    The official folds are not looked at. Kernels are computed once for all variants of the same number of bands.
    """
    patterns: dict[bytes, list[str]] = {}
    for p, values in scored.targets.items():
        patterns.setdefault(np.isfinite(values).tobytes(), []).append(p)
    found: Results = {v: {scored.name: {}} for v in VARIANTS}
    with suited_threads(scored.spectra.size):
        for shared in patterns.values():
            known = np.flatnonzero(np.isfinite(scored.targets[shared[0]]))
            targets = np.column_stack([scored.targets[p][known] for p in shared])
            for variant, held_out in _held_out(scored, known, targets).items():
                rmse = np.sqrt(np.mean((held_out - targets) ** 2, axis=0))
                found[variant][scored.name].update(dict(zip(shared, rmse.tolist(), strict=True)))
    return found


def _held_out(scored: ScoredSet, known: npt.NDArray[np.int64], targets: FloatArray) -> dict[str, FloatArray]:
    """Cross-fitted left-out predictions, shape (n_known, n_targets), by variant."""
    groups = np.unique(scored.groups[known], return_inverse=True)[1].astype(np.int64)
    sensors = None if scored.sensors is None else scored.sensors[known]
    data = TrainingData(scored.spectra[known], np.zeros(known.size), groups, sensors)
    folds = repeated_folds(groups, Recipe.stack())
    most = max(v.components for v in VARIANTS.values())
    found: dict[str, FloatArray] = {}
    for bands in sorted({v.bands for v in VARIANTS.values()}):
        listed = stack_pretreatments(bands)
        n_plain = len(stack_pretreatments(bands, with_reflectance=False))
        basis = StackBasis.of(data, listed, joint=True)
        weighted_from = max(v.weighted_from for v in VARIANTS.values() if v.bands == bands)
        prepared = prepare(
            basis, targets, folds, components=most, second_scale=True, weighted_from=weighted_from,
            seed=Recipe.seed,
        )  # fmt: skip
        for name, variant in VARIANTS.items():
            if variant.bands != bands:
                continue
            # Joint kernels are those of all listed pre-treatments: no variant has them without reflectance.
            parts = set(range(len(listed) if variant.reflectance else n_plain)) | {SENSORS}
            parts |= {JOINT} if variant.joint else set()
            few = known.size <= variant.components
            weighted = 0 < variant.weighted_from <= known.size
            members = prepared.left_out.only(parts, components=few, weighted=weighted)
            kept = replace(prepared, left_out=members)
            found[name] = np.column_stack(
                [
                    cross_fitted(kept.scales(t, second_scale=variant.second_scale), target, folds[0])
                    for t, target in enumerate(targets.T)
                ]
            )
    for name, variant in VARIANTS.items():
        if 0 < variant.fine_from <= known.size:
            both = zip(found[name].T, found[_FINE].T, targets.T, strict=True)
            found[name] = np.column_stack([better_of(a, b, t, folds[0])[0] for a, b, t in both])
    return found


def choose(results: Results, left_out: str) -> tuple[str, dict[str, float]]:
    """Return the variant that is best on all sets but one, and every variant's mean log ratio to the first.

    Every set weighs the same, whatever its number of properties.
    """
    first = next(iter(results))
    others = [s for s in results[first] if s != left_out]
    scores = {
        variant: float(
            np.mean(
                [np.mean([np.log(by_set[s][p] / results[first][s][p]) for p in by_set[s]]) for s in others]
            )
        )
        for variant, by_set in results.items()
    }
    return min(scores, key=lambda v: scores[v]), scores


def measure(report: Callable[[str], None] = lambda _: None) -> Results:
    """Measure every variant on every set."""
    results: Results = {v: {} for v in VARIANTS}
    for scored in all_sets():
        report(scored.name)
        for variant, by_set in inner_results(scored).items():
            results[variant].update(by_set)
    return results


def write(results: Results, file: Path = _RECORD) -> None:
    """Write the record: results, and for every set the choice made from the others."""
    sets = list(next(iter(results.values())))
    chosen = {s: choose(results, s)[0] for s in sets}
    everywhere, scores = choose(results, "")
    record = {
        "about": "inner RMSE by variant, set and property; see soil_assets/benchmarks/recipe_choice.py",
        "fingerprints": {v: x.recipe().fingerprint() for v, x in VARIANTS.items()},
        "chosen_without_the_set": chosen,
        "chosen_from_all": everywhere,
        "mean_log_ratio_to_plain": {v: round(s, 5) for v, s in scores.items()},
        "results": {
            v: {s: {p: float(f"{x:.6g}") for p, x in ps.items()} for s, ps in by.items()}
            for v, by in results.items()
        },
    }
    file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@cache
def record() -> Mapping[str, Any]:
    """Return the record that was written last."""
    read: dict[str, Any] = json.loads(_RECORD.read_text(encoding="utf-8"))
    return read


def recipe_for(name: str) -> Recipe:
    """Return the recipe that the other sets chose for a set; for a set not in the record, that of all of them."""
    chosen = record()["chosen_without_the_set"].get(name, record()["chosen_from_all"])
    return VARIANTS[chosen].recipe()
