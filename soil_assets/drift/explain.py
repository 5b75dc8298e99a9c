"""What moved, where, and the likely cause: asked only once a batch has been found to differ.

Belongs here: attribution to bands, to known signatures and to samples. Does not belong here: deciding whether
there is drift (``compare``); nothing here can turn a pass into a failure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soil_assets.drift.features import Features, bin_positions
from soil_assets.drift.report import Band
from soil_assets.drift.signatures import SIGNATURES, Signature, Weighting, directions, water_bands
from soil_assets.spectra.axis import Axis

FloatArray = npt.NDArray[np.float64]

#: A band is listed from this share of the largest standardised difference on.
_BAND_SHARE = 0.6
_MAX_BANDS = 3
#: A signature is called the likely cause when it accounts for this share of the whole difference.
_CAUSE_SHARE = 0.5
_CAUSE_SHARE_IN_NOISE = 0.8
#: Water has a dozen directions, its bands with their moves and widths: they explain more of any difference.
_WATER_SHARE = 0.65
#: A shift of the axis moves every band, so that its amount is known far better than that of any other change; its
#: share is small where each soil's own bands move, which the mean's slope does not tell.
_SHIFT_SHARE = 0.1
_SHIFT_CERTAINTY = 1.8
_SMALLEST_STANDARDISED = 0.3


@dataclass(frozen=True)
class Amount:
    """How far a known signature accounts for the difference between batch and reference.

    Parameters
    ----------
    signature : Signature
    amount, standard_error : float
        Mean difference in the signature's unit.
    share : float
        Share of the squared Mahalanobis length of the mean difference that it explains, 0..1, chance removed.
    """

    signature: Signature
    amount: float
    standard_error: float
    share: float


def differing_bands(reference: Features, batch: Features, axis: Axis) -> tuple[Band, ...]:
    """Return the stretches where mean SNV spectra differ most, in standard deviations of the reference."""
    spread = np.maximum(reference.broad.std(axis=0, ddof=1), 1e-9)
    difference = (batch.broad.mean(axis=0) - reference.broad.mean(axis=0)) / spread
    size = np.abs(difference)
    # Twice what two means of so many soils differ by when nothing changed.
    least = max(_SMALLEST_STANDARDISED, 2.0 * float(np.sqrt(1 / len(reference) + 1 / len(batch))))
    if size.max() < least:
        return ()
    positions = bin_positions(axis)
    high = size >= max(_BAND_SHARE * size.max(), least)
    starts = np.flatnonzero(np.diff(np.concatenate([[False], high, [False]]).astype(int)) == 1)
    ends = np.flatnonzero(np.diff(np.concatenate([[False], high, [False]]).astype(int)) == -1)
    found = []
    for start, end in zip(starts, ends, strict=True):
        peak = start + int(size[start:end].argmax())
        low, top = sorted((float(positions[start]), float(positions[end - 1])))
        found.append(Band(low, top, float(positions[peak]), float(difference[peak])))
    return tuple(sorted(found, key=lambda b: -abs(b.difference))[:_MAX_BANDS])


def signature_amounts(reference: Features, batch: Features, axis: Axis) -> tuple[Amount, ...]:
    """Estimate each signature's part in the mean difference, largest share first.

    The covariance is the one within the two sides, so that the difference itself does not widen its own
    yardstick.
    """
    mean = reference.raw.mean(axis=0)
    within = np.concatenate([reference.raw - mean, batch.raw - batch.raw.mean(axis=0)])
    weighting = Weighting.fit(within)
    if weighting is None:
        return ()
    difference = batch.raw.mean(axis=0) - mean
    wanted = directions(mean, bin_positions(axis), axis)
    weighted = weighting.apply(wanted)
    energy = np.maximum(np.einsum("ij,ij->i", weighted, wanted), 1e-300)
    projected = weighted @ difference
    total = float(weighting.apply(difference[None, :])[0] @ difference)
    per_row = 1.0 / len(reference) + 1.0 / len(batch)
    # By chance alone each component adds per_row to the squared length, and each signature that much.
    expected = per_row * (weighting.variances.size + 1)
    explained = np.maximum(projected**2 / energy - per_row, 0.0)
    # Water's bands move and change their ratio with the soil that holds it: together they may explain what the one
    # fixed spectrum does not.
    bands = water_bands(bin_positions(axis), axis.unit)
    inside = weighting.apply(bands)
    length = float(
        inside
        @ difference
        @ np.linalg.pinv(inside @ bands.T, rcond=1e-9, hermitian=True)
        @ (inside @ difference)
    )
    water = [s.name for s in SIGNATURES].index("water")
    explained[water] = max(explained[water], length - per_row * len(bands))
    share = explained / max(total - expected, total * 0.05, 1e-300)
    amounts = [
        Amount(s, float(p / e), float(np.sqrt(per_row / e)), float(min(h, 1.0)))
        for s, p, e, h in zip(SIGNATURES, projected, energy, share, strict=True)
    ]
    return tuple(sorted(amounts, key=lambda a: -a.share))


def likely_cause(amounts: tuple[Amount, ...], noisy: bool = False) -> Amount | None:
    """Return the signature that accounts for most of the difference, None when none does.

    With noise the difference of two means is itself noisier, so that more of it must be accounted for.
    """
    for amount in amounts:
        wanted = _WATER_SHARE if amount.signature.name == "water" else _CAUSE_SHARE
        if amount.share >= (_CAUSE_SHARE_IN_NOISE if noisy else wanted) and _certain(amount):
            return amount
    certainty = {a.signature.name: abs(a.amount) / max(a.standard_error, 1e-300) for a in amounts}
    shift = next((a for a in amounts if a.signature.name == "shift"), None)
    others = max((c for name, c in certainty.items() if name != "shift"), default=0.0)
    if shift is not None and shift.share >= _SHIFT_SHARE and not noisy and _certain(shift):
        return shift if certainty["shift"] >= _SHIFT_CERTAINTY * others else None
    return None


def _certain(amount: Amount) -> bool:
    return 3.0 * amount.standard_error <= abs(amount.amount) <= amount.signature.plausible


def furthest(
    excess: FloatArray, reference: npt.NDArray[np.bool_], ids: list[str], count: int = 5
) -> tuple[tuple[str, float], ...]:
    """Return the batch's soils furthest out, as id and excess, that hardly any reference soil (1 %) reaches.

    Parameters
    ----------
    excess : ndarray, shape (n_pool,)
        Log distances over the pool's upper quartile, in units of their median.
    reference : ndarray of bool, shape (n_pool,)
        Which rows are the reference's.
    ids : list of str
        Of the batch's rows.
    """
    new = excess[~reference]
    order = np.argsort(-new, kind="stable")[:count]
    return tuple((ids[i], float(new[i])) for i in order if new[i] > np.quantile(excess[reference], 0.99))
