"""Batches that a training set would lose although nobody spoke against them.

Belongs here: finding them, and stopping. Does not belong here: which batches may be trained on (``defs.gates``).
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from soil_assets.defs.gates import BatchSelection
from soil_assets.defs.io import has_value, load_value
from soil_assets.defs.resources import Soil


def lost_batches(
    before: Iterable[str], selection: BatchSelection, withdrawn: Iterable[str]
) -> dict[str, str]:
    """Return the batches that a training set would lose although no gate said no and nobody withdrew them.

    Parameters
    ----------
    before : iterable of str
        Batches of the training set as it is.
    withdrawn : iterable of str
        Batches that a person took out.

    Returns
    -------
    dict of str to str
        What is missing, by batch.
    """
    accounted = {*selection.taken, *selection.refused, *withdrawn}
    missing = "its partition is not in this instance"
    return {name: selection.left.get(name, missing) for name in sorted(set(before) - accounted)}


def stop_at_a_loss(soil: Soil, chosen: BatchSelection) -> None:
    """Stop before a training set is replaced by one that lacks batches without a reason.

    A database that was deleted, a cancelled run or a deleted partition say nothing against a batch: the models trained
    on it would be compared with, and replaced by, models of less data.

    Raises
    ------
    dagster.Failure
        Naming the batches and what each lacks.
    """
    if not has_value(soil.data, "training_set"):
        return
    samples = load_value(soil.data, "training_set").samples
    before = set(samples["batch"]) - {"reference"} if "batch" in samples else set()
    withdrawn = set(soil.withdrawn_batches())
    if (
        soil.settings.landing.complete
    ):  # batches are kept in git: a folder that was removed there was taken out
        withdrawn |= before - set(soil.landing.folders())
    lost = lost_batches(before, chosen, withdrawn)
    if lost:
        each = "; ".join(f"{name}: {reason}" for name, reason in lost.items())
        raise dg.Failure(
            f"the training set would lose {len(lost)} of {len(before)} batches without a verdict against them, and "
            f"stays as it is ({each}). They are taken once they are judged: the sensor new_batches asks for what lies "
            "in the landing zone. A batch that is to go is withdrawn: soil batch withdraw",
            metadata={"lost": lost},
            allow_retries=False,
        )
