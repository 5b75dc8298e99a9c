"""Several models that answer together: spectra are brought to each in its own axis and quantity, in pieces.

Belongs here: groups of models, pieces of large requests. Does not belong here: one predictor's fast form
(``serving.compiled``), what a prediction means (``modeling.model``), requests and answers as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from soil_assets.errors import BadInput
from soil_assets.serving.compiled import Landmarks, Shared, compiled, sharing
from soil_assets.serving.quick import Columns, Domain
from soil_assets.spectra.harmonise import matrix_in, matrix_on

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel
    from soil_assets.spectra.axis import Axis
    from soil_assets.spectra.batch import Quantity, Scale

FloatArray = npt.NDArray[np.float64]
#: Spectra worked on at a time, and intensities: a few megabytes, which stay in the processor's cache.
CHUNK, _CHUNK_VALUES = 256, 500_000
_AXES_MET = 32


class ModelSet:
    """Models that answer together.

    Parameters
    ----------
    models : iterable of SoilModel
        One a property.

    Raises
    ------
    BadInput
        For a model that needs sensor columns, which a request of spectra does not carry.
    """

    def __init__(self, models: Iterable[SoilModel]) -> None:
        self.models: Mapping[str, SoilModel] = {m.property: m for m in models}
        seen: dict[str, Landmarks] = {}
        self._answering = {
            p: sharing(compiled(_of_spectra_alone(m).predictor, len(m.axis)), seen)
            for p, m in self.models.items()
        }
        self._domains = {p: Domain(m.domain) for p, m in self.models.items()}
        self._columns = {p: Columns(m) for p, m in self.models.items()}
        seen_as: dict[Any, int] = {}
        self._alike = {
            p: seen_as.setdefault((m.axis, m.quantity), len(seen_as)) for p, m in self.models.items()
        }
        self._met: dict[tuple[int, int], tuple[Axis, Axis, bool]] = {}

    def predict(
        self,
        spectra: npt.NDArray[np.float32],
        axis: Axis,
        quantity: Quantity,
        scale: Scale,
        properties: Sequence[str],
        *,
        check_time: Callable[[], None] = lambda: None,
        executor: Executor | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Predict several properties of spectra as they were measured.

        Parameters
        ----------
        spectra : ndarray of float32, shape (n_samples, n_bands)
        axis, quantity, scale
            Of the spectra; each model gets them in its own, without extrapolation.
        properties : sequence of str
            Among those of the models.
        check_time : callable
            Called before every piece of work; raises to stop.
        executor : Executor, optional
            Works on pieces side by side.

        Returns
        -------
        dict of dict
            By property, the columns of :meth:`SoilModel.columns_of`; lists of one for a single spectrum.

        Raises
        ------
        BadInput
            When the spectra do not cover a model's axis.
        """
        answers: dict[str, dict[str, Any]] = {}
        for group in self._groups(properties):
            first = self.models[group[0]]
            same = self._same(axis, first.axis)
            step = max(1, min(CHUNK, _CHUNK_VALUES // max(len(axis), len(first.axis))))

            def work(
                start: int,
                group: Sequence[str] = group,
                first: SoilModel = first,
                same: bool = same,
                step: int = step,
            ) -> Any:
                check_time()
                part = matrix_in(spectra[start : start + step], quantity, scale, first.quantity)
                with np.errstate(all="ignore"):  # what a damaged spectrum does to numbers is told in words
                    on_axis = part if same else matrix_on(part, axis, first.axis)
                    return self._one(on_axis, group) if len(spectra) == 1 else self._piece(on_axis, group)

            if not same and not axis.to_unit(first.axis.unit).covers(first.axis):
                matrix_on(spectra[:1], axis, first.axis)  # says why, before any work
            if len(spectra) == 1:
                answers |= work(0)
                continue
            starts = range(0, len(spectra), step)
            mapped = executor.map if executor is not None and len(starts) > 1 else map
            pieces = list(mapped(partial(work), starts))
            for i, prop in enumerate(group):
                scaled = np.concatenate([p[i][0] for p in pieces])
                names = pieces[0][i][1]
                measures = {m: np.concatenate([p[i][1][m] for p in pieces]) for m in names}
                answers[prop] = self.models[prop].columns_of(scaled, measures)
        return {p: answers[p] for p in properties}

    def _same(self, axis: Axis, other: Axis) -> bool:
        """Tell whether two axes are equal; requests bring the same few objects again and again."""
        key = id(axis), id(other)
        found = self._met.get(key)
        if found is None or found[0] is not axis or found[1] is not other:
            if len(self._met) >= _AXES_MET:
                self._met.clear()
            # The axes are kept, so that nothing else gets their place and with it their number.
            found = self._met[key] = (axis, other, axis == other)
        return found[2]

    def _groups(self, properties: Sequence[str]) -> list[list[str]]:
        """Properties whose models see spectra alike, together."""
        groups: dict[int, list[str]] = {}
        for prop in properties:
            groups.setdefault(self._alike[prop], []).append(prop)
        return list(groups.values())

    def _piece(
        self, spectra: npt.NDArray[np.float32], properties: Sequence[str]
    ) -> list[tuple[FloatArray, dict[str, FloatArray]]]:
        shared = Shared(spectra)
        return [(self._answering[p].value(shared), shared.measures(self._domains[p])) for p in properties]

    def _one(self, spectrum: npt.NDArray[np.float32], properties: Sequence[str]) -> dict[str, dict[str, Any]]:
        shared = Shared(spectrum)
        found = {}
        for prop in properties:
            scaled = float(self._answering[prop].value(shared)[0])
            found[prop] = self._columns[prop].of_one(scaled, shared.measures_of_one(self._domains[prop]))
        return found


def _of_spectra_alone(model: SoilModel) -> SoilModel:
    if model.sensors:
        raise BadInput(
            f"the model of {model.property} needs sensor columns beside the spectra",
            found=", ".join(model.sensors),
            expected="a model of spectra alone",
            mend="serve it with soil predict, or register a model of spectra alone",
        )
    return model
