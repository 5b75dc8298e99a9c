"""Which models answer now, and how they change without a request noticing.

Belongs here: the followed names, the swap, the watch on the registry. Does not belong here: files
(``serving.model_store``), answering (``serving.app``).

A request takes the current :class:`Snapshot` once and works on it to its end. New versions are loaded and tried
beside the old ones by another thread; then one assignment makes them current. While the registry is away, or a new
version cannot be used, the old snapshot goes on answering and says since when.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from soil_assets.adapters.registry_reader import RegistryUnreachableError
from soil_assets.errors import BadInput
from soil_assets.serving.model_store import LoadedModel, ModelStore
from soil_assets.serving.together import ModelSet
from soil_assets.spectra.axis import Axis

_FOLLOWED = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(=(?P<number>[1-9][0-9]{0,8})|@(?P<alias>[A-Za-z0-9._-]+))"
)


#: How fast models are is the best of so many tries: something else may have had the processor.
_TRIES = 5


@dataclass(frozen=True)
class Followed:
    """A registered model and which of its versions answers: a pinned one, or the one that an alias names.

    Parameters
    ----------
    name : str
    number : int or None
    alias : str or None
    needed : bool
        Whether the service refuses to start without it.
    """

    name: str
    number: int | None = None
    alias: str | None = None
    needed: bool = True

    @classmethod
    def parse(cls, text: str) -> Followed:
        """Read ``soil-clay=3`` or ``soil-clay@production``.

        Raises
        ------
        BadInput
        """
        found = _FOLLOWED.fullmatch(text)
        if found is None:
            raise BadInput(
                "not a model to serve", found=text, expected="NAME=VERSION or NAME@ALIAS, such as soil-clay=3"
            )
        number = found["number"]
        return cls(found["name"], int(number) if number else None, found["alias"])

    def __str__(self) -> str:
        return f"{self.name}@{self.alias}" if self.number is None else f"{self.name}={self.number}"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Models that answer together; never changed once made."""

    models: Mapping[str, LoadedModel]
    together: ModelSet
    #: Seconds that one spectrum takes through all models, as tried when they were loaded.
    seconds: float = 0.0

    @classmethod
    def of(cls, loaded: Sequence[LoadedModel]) -> Snapshot:
        """Put models together and let each answer once.

        Raises
        ------
        BadInput
            When two predict the same property, or one cannot answer from spectra alone.
        """
        models: dict[str, LoadedModel] = {}
        for one in loaded:
            prop = one.model.property
            if prop in models:
                raise BadInput(
                    "two models of one property",
                    column=prop,
                    found=f"{models[prop].name}, {one.name}",
                    expected="one",
                )
            models[prop] = one
        together = ModelSet(m.model for m in models.values())
        for prop, one in models.items():
            axis = one.model.axis
            ramp = np.linspace(0.2, 0.8, len(axis) + 1, dtype=np.float32)[None, :] ** 2
            # One band more than the model has: resampling loads its libraries now, and not in a client's request.
            other = Axis(np.linspace(axis.values[0], axis.values[-1], len(axis) + 1), axis.unit)
            together.predict(ramp, other, one.model.quantity, "fraction", [prop])
        return cls(models, together, min(_seconds(models, together) for _ in range(_TRIES)))


def _seconds(models: Mapping[str, LoadedModel], together: ModelSet) -> float:
    """Return how long one spectrum takes through all models."""
    began = time.perf_counter()
    for prop, one in models.items():
        ramp = np.linspace(0.2, 0.8, len(one.model.axis), dtype=np.float32)[None, :] ** 2
        together.predict(ramp, one.model.axis, one.model.quantity, "fraction", [prop])
    return time.perf_counter() - began


@dataclass
class Health:
    """What the last look at the registry showed."""

    unreachable_since: float | None = None
    reason: str = ""
    refused: dict[str, str] = field(default_factory=dict)


class LiveModels:
    """The models of a running service.

    Parameters
    ----------
    store : ModelStore
    followed : sequence of Followed
    tell : callable
        Gets the event's name and facts, for logs.
    """

    def __init__(
        self, store: ModelStore, followed: Sequence[Followed], tell: Callable[[str, dict[str, object]], None]
    ) -> None:
        self.store = store
        self.followed = tuple(followed)
        self.health = Health()
        self.moves = 0
        self._tell = tell
        self._by_name: dict[str, LoadedModel] = {}
        self._current = Snapshot({}, ModelSet(()))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> Snapshot:
        """The snapshot that answers now: take it once a request."""
        return self._current

    def start(self, *, from_kept: bool = False) -> None:
        """Load everything for the first time.

        Parameters
        ----------
        from_kept : bool
            Answer from the last good local copies when the registry cannot be reached.

        Raises
        ------
        BadInput
            When a needed model is missing or refused, the registry cannot be reached and that is not allowed, or
            local copies cannot be written.
        """
        found: dict[str, LoadedModel] = {}
        for one in self.followed:
            try:
                loaded = self._load(one)
            except RegistryUnreachableError as error:
                self._unreachable(str(error))
                if not from_kept:
                    raise BadInput(
                        "the model registry cannot be reached",
                        found=str(error),
                        mend="start the registry, or answer from the last good local copies with --kept-models",
                    ) from None
                loaded = self._load_kept(one)
            except OSError as error:
                raise BadInput(
                    "the local copy of a model cannot be written",
                    file=str(error.filename or self.store.folder),
                    found=error.strerror or str(error),
                    mend="see that service.models of soil.yaml is a folder with room, which this user may write",
                ) from None
            if loaded is not None:
                found[one.name] = loaded
        if not found:
            raise BadInput(
                "there is no model to serve",
                found=", ".join(f"nothing at {f}" for f in self.followed) or "no name",
                mend="register models first, or name others: soil serve --model NAME=VERSION",
            )
        self._current = Snapshot.of(list(found.values()))
        self._by_name = found
        for model in found.values():
            self._tell("model", {"model": model.name, "version": model.version, "sha256": model.digest[:16]})

    def refresh(self) -> None:
        """Look where the followed aliases point now; load what moved, then swap in one step."""
        moved: dict[str, LoadedModel] = {}
        reached = True
        for one in self.followed:
            if one.alias is None:
                continue
            try:
                loaded = self._moved(one, one.alias)
            except RegistryUnreachableError as error:
                reached = False
                self._unreachable(str(error))
            except Exception as error:  # noqa: BLE001  # whatever one model meets, the others are looked at
                self._refuse(one.name, _reason(error))
            else:
                if loaded is not None:
                    moved[one.name] = loaded
        if reached and self.health.unreachable_since is not None:
            self.health.unreachable_since, self.health.reason = None, ""
            self._tell("registry", {"reachable": True})
        for name, loaded in moved.items():
            try:  # one by one: a version that cannot answer does not hold the others back
                together = Snapshot.of(list({**self._by_name, name: loaded}.values()))
            except Exception as error:  # noqa: BLE001  # nor does one that fails in a way of its own
                self._refuse(name, _reason(error))
                continue
            before = self._by_name.get(name)
            self._by_name = {**self._by_name, name: loaded}
            self._current = together
            self.moves += 1
            self.health.refused.pop(name, None)
            self._tell(
                "model",
                {"model": name, "version": loaded.version, "before": before.version if before else None,
                 "sha256": loaded.digest[:16]},
            )  # fmt: skip

    def _moved(self, one: Followed, alias: str) -> LoadedModel | None:
        """Return the version that an alias names now; None when it is the one that answers, or there is none."""
        number = self.store.reader.at_alias(one.name, alias)
        before = self._by_name.get(one.name)
        if number is None or (before is not None and before.version == number):
            self.health.refused.pop(one.name, None)
            return None
        loaded = self.store.load(one.name, number, alias)
        self.store.remember_alias(one.name, alias, number)
        return loaded

    def watch(self, seconds: float) -> None:
        """Refresh every so often in a thread of its own; nothing to do where every version is pinned."""
        if all(f.alias is None for f in self.followed):
            return

        def look() -> None:
            while not self._stop.wait(seconds):
                try:
                    self.refresh()
                except Exception as error:  # noqa: BLE001  # the watch must outlive whatever a look meets
                    self._tell("watch", {"error": f"{type(error).__name__}: {error}"})

        self._thread = threading.Thread(target=look, name="registry-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the watch."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _load(self, one: Followed) -> LoadedModel | None:
        number = one.number
        if number is None:
            assert one.alias is not None  # noqa: S101  # a followed model has one of the two
            number = self.store.reader.at_alias(one.name, one.alias)
            if number is None:
                if one.needed:
                    raise BadInput(
                        "no version at this alias",
                        found=str(one),
                        mend="list what there is with: soil registry list",
                    )
                self._tell("model", {"model": one.name, "missing": f"nothing at alias {one.alias} yet"})
                return None
        loaded = self.store.load(one.name, number, one.alias)
        if one.alias is not None:
            self.store.remember_alias(one.name, one.alias, number)
        return loaded

    def _load_kept(self, one: Followed) -> LoadedModel | None:
        number = one.number
        if number is None and one.alias is not None:
            number = self.store.remembered_alias(one.name, one.alias)
        if number is None:
            if one.needed:
                raise BadInput(
                    "the registry cannot be reached, and no local copy tells which version this was",
                    found=str(one),
                    mend="start the registry",
                )
            return None
        return self.store.load_kept(one.name, number, one.alias)

    def _unreachable(self, reason: str) -> None:
        if self.health.unreachable_since is None:
            self._tell("registry", {"reachable": False, "reason": reason})
            self.health.unreachable_since = time.time()
        self.health.reason = reason

    def _refuse(self, name: str, reason: str) -> None:
        if self.health.refused.get(name) != reason:
            self._tell("refused", {"model": name, "reason": reason})
        self.health.refused[name] = reason


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
