"""Recipe section of ``soil.yaml``: how a model is trained, apart from what it must reach.

Belongs here: the keys that a change may propose freely, and reading files in which they still stood under
``policy.model``. Does not belong here: thresholds (``config.Policy``) and carrying a recipe out (``modeling.recipe``).
"""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from soil_assets.errors import BadInput


class RecipeSettings(BaseModel):
    """How the candidate of every property is trained; judged by ``policy``, which is main's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: ``pls``, ``stack``, ``selection``, ``svr``, ``local``, or one that an installed package brings.
    learner: str = "pls"
    #: What the learner may choose among, such as ``snv + savgol1(11)``; its own list when empty.
    pretreatments: tuple[str, ...] = ()
    max_components: Annotated[int, Field(ge=1)] = 20
    folds: Annotated[int, Field(ge=2)] = 10
    #: ``additive``: models are released from statistics of each batch, and a retrain costs the new batch only.
    training: Literal["full", "additive"] = "full"
    #: Of the additive kernel features, drawn from the golden reference.
    landmarks: Annotated[int, Field(ge=10, le=5000)] = 500
    seed: int = 20260101


#: Keys that stood under ``policy.model``, and the section and key that holds each now.
MOVED = {name: ("recipe", name) for name in RecipeSettings.model_fields}


def separate_recipe(raw: dict[str, Any], file: str) -> dict[str, Any]:
    """Return the raw settings with recipe keys of ``policy.model`` moved to ``recipe``, with a warning.

    ``policy.model.seed`` seeded both training and the bootstrap; it becomes ``recipe.seed`` and
    ``policy.model.bootstrap_seed``. Files in this form are read for one more version.

    Raises
    ------
    BadInput
        When a key stands in both places.
    """
    policy = raw.get("policy")
    model = policy.get("model") if isinstance(policy, dict) else None
    recipe = raw.get("recipe")
    moved = [key for key in MOVED if isinstance(model, dict) and key in model]
    if not moved or not isinstance(model, dict) or not isinstance(recipe, dict | None):
        return raw
    for key in moved:
        if recipe is not None and key in recipe:
            raise BadInput(
                "a key in two sections",
                file=file,
                column=f"policy.model.{key}",
                found=f"recipe.{key}: {recipe[key]!r} and policy.model.{key}: {model[key]!r}",
                expected=f"recipe.{key} alone",
                mend=f"remove policy.model.{key}",
            )
    warnings.warn(
        f"{file}: move {', '.join(f'policy.model.{key}' for key in moved)} to the section recipe; "
        "the next version refuses them under policy",
        FutureWarning,
        stacklevel=2,
    )
    rest = {key: value for key, value in model.items() if key not in MOVED}
    if "seed" in moved:
        rest.setdefault("bootstrap_seed", model["seed"])
    return {
        **raw,
        "recipe": {**(recipe or {}), **{key: model[key] for key in moved}},
        "policy": {**(policy or {}), "model": rest},
    }
