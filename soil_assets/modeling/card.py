"""The model card: what a model is, what it can do and where it must not be used, in Markdown.

Belongs here: turning a model's own facts (and an evaluation's) into text. Does not belong here: plots and the
decision report (``reporting``). After Mitchell et al. 2019, "Model cards for model reporting".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from soil_assets.modeling.evaluate import Evaluation
from soil_assets.modeling.intervals import level_name
from soil_assets.modeling.metrics import METRICS
from soil_assets.modeling.model import SoilModel

_NAMES = {
    "me": "ME (bias)", "rmse": "RMSE", "sep": "SEP", "mae": "MAE", "r2": "R2", "ccc": "CCC", "rpiq": "RPIQ",
}  # fmt: skip
_TOP_BANDS = 5


def model_card(model: SoilModel, evaluation: Evaluation | None = None) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    model : SoilModel
    evaluation : Evaluation, optional
        On a benchmark that the model was not trained on; without it the card says so.
    """
    t = model.training
    lines = [
        f"# Model of {model.label} ({model.unit})",
        "",
        f"Predicts {model.label}{f' ({model.method})' if model.method else ''} from {model.quantity} spectra, "
        f"{model.axis.describe()}." + (f" Also needs: {', '.join(model.sensors)}." if model.sensors else ""),
        "",
        "## Training",
        f"- {t['n']} samples in {t['n_groups']} groups; {t['n_left_out']} rows without a value left out.",
        f"- Values from {t['range'][0]:.3g} to {t['range'][1]:.3g} {model.unit}; {t['back_transform']}.",
        f"- Chosen inside the training data: {_words(t['chosen'])}.",
        f"- Validation: {t['validation']}, {t['folds']} folds by group, seed {t['seed']}.",
        f"- Recipe {t['recipe_fingerprint'][:12]}, training ids {t['ids_sha256'][:12]}.",
        "",
        "## Performance",
        *_performance(model, evaluation),
        "",
        "## Prediction intervals",
        *_intervals(model, evaluation),
        "",
        "## Where it may be used",
        f"- A spectrum is inside when T2 <= {model.domain.limits['t2']:.3g}, Q <= {model.domain.limits['q']:.3g} "
        f"and the distance to the nearest training spectrum <= {model.domain.limits['distance']:.3g}; about "
        f"{100 * model.domain.rate:.2g} % of new samples of the same kind are outside "
        f"(limits from {model.domain.calibration_n} held-out spectra).",
        "- Predictions outside are given with their reason and must not be used unchecked.",
        "- Spectra on another axis or in another quantity are refused, never extrapolated.",
        "",
        "## Bands that matter most (VIP)",
        *_bands(model),
    ]
    return "\n".join(lines) + "\n"


def _performance(model: SoilModel, evaluation: Evaluation | None) -> list[str]:
    validated = model.training["cross_validation"]
    head = ["| measure | cross-validated |", "|---|---|"]
    if evaluation is None:
        rows = [f"| {_NAMES[m]} | {validated[m]:.3g} |" for m in METRICS]
        return [*head, *rows, "", "Not measured on a benchmark."]
    head = [
        f"| measure | cross-validated (n {validated['n']:.0f}) | benchmark (n {evaluation.n}), 95 % interval |"
    ]
    rows = [
        f"| {_NAMES[m]} | {validated[m]:.3g} | {evaluation.metrics[m]:.3g} "
        f"({evaluation.intervals[m][0]:.3g} to {evaluation.intervals[m][1]:.3g}) |"
        for m in METRICS
    ]
    outside = f"{evaluation.n_outside} of {evaluation.n} benchmark samples lie outside the domain."
    return [*head, "|---|---|---|", *rows, "", outside]


def _intervals(model: SoilModel, evaluation: Evaluation | None) -> list[str]:
    scale = model.unit if model.transform == "none" else f"ln(1 + {model.unit})"
    lines = [
        f"- {level_name(level)} %: "
        + (f"+- {half:.3g} {scale}" if np.isfinite(half) else "not bounded by so few groups")
        for level, half in sorted(model.half_widths.items())
    ]
    if evaluation is not None:
        lines += [
            f"- {level_name(row['level'])} % on the benchmark: {row['inside']} of {row['n']} inside "
            f"(a right interval gives {row['low']} to {row['high']}): {'right' if row['covered'] else 'NOT right'}"
            for row in evaluation.coverage.to_dict("records")
        ]
    return lines


def _bands(model: SoilModel) -> list[str]:
    """Name the highest peaks of VIP, at least a fiftieth of the range apart."""
    apart = max(1, len(model.importance) // 50)
    left = model.importance.copy()
    lines = []
    for _ in range(_TOP_BANDS):
        peak = int(np.argmax(left))
        if left[peak] <= 1.0:
            break
        lines.append(f"- {model.axis.values[peak]:.0f} {model.axis.unit}: {left[peak]:.2f}")
        left[max(0, peak - apart) : peak + apart + 1] = 0.0
    return lines or ["- none over 1"]


def _words(chosen: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in chosen.items())
