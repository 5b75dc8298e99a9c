"""A release, step by step, as commits in the manifest repository: stage, test, switch, roll back.

Belongs here: which files change at which step, what must hold before, which alias follows after.
Does not belong here: git (``adapters.manifest_repository``), YAML (``adapters.manifests``), HTTP
(``adapters.preview``), the rules of the registry (``delivery.lifecycle``).

Nothing here talks to a cluster: whatever syncs the repository (Argo CD) does. Every step may be run again: what is done
already is left alone and said so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soil_assets.adapters import journal
from soil_assets.adapters import registry as moves
from soil_assets.adapters.manifest_repository import Author, Landed, ManifestRepository
from soil_assets.adapters.manifests import LIVE, PREVIEW, Overlay
from soil_assets.adapters.mlflow import Registry
from soil_assets.adapters.registry import Because
from soil_assets.delivery.lifecycle import Anchor, a_person, a_reason, may_promote
from soil_assets.delivery.slots import (
    LIVE_SINCE,
    LIVE_UNTIL,
    TEST,
    TEST_SAYS,
    WITHDRAWN,
    Slot,
    State,
    note,
    other,
    put,
    release_name,
    select,
)
from soil_assets.errors import BadInput

PRODUCTION = "production"
#: Line of a commit message that names a model and the last entry of its history.
_ANCHOR_WORD = "History-head"
_ANCHOR = re.compile(rf"^{_ANCHOR_WORD}: (\S+) (\d+ [0-9a-f]{{64}})$", re.MULTILINE)


class NotReady(Exception):
    """A gate said no: what is asked for may not go live."""


@dataclass(frozen=True)
class Step:
    """What a step did.

    Parameters
    ----------
    commit : str
        '' when there was nothing to change.
    aliases : mapping
        Version that the alias ``production`` was moved to, by model.
    """

    what: str
    state: State
    commit: str
    tries: int
    head: str
    aliases: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


class Releases:
    """The releases of one environment.

    Parameters
    ----------
    environment : str
        ``staging`` or ``production``; ``production`` alone moves the alias of that name.
    overlay : str
        The environment's folder in the repository.
    """

    def __init__(
        self, repository: ManifestRepository, registry: Registry, environment: str, overlay: str
    ) -> None:
        self.repository = repository
        self.registry = registry
        self.environment = environment
        self.overlay = overlay

    def state(self) -> State:
        """Return what the manifests say now."""
        with self.repository.checkout() as tree:
            return Overlay(tree, self.overlay).state

    def stage(self, models: Mapping[str, int], image: str, because: Because) -> Step:
        """Put versions on the idle colour.

        Raises
        ------
        BadInput
            For a version that was never staged in the registry, or lacks its evidence.
        """
        if not models:
            raise BadInput("nothing to release", mend="name models: --model soil-clay=3")
        for name, version in sorted(models.items()):
            self._may_release(name, version)
        said = "staged"

        def edit(tree: Path) -> str | None:
            nonlocal said
            overlay = Overlay(tree, self.overlay)
            state = overlay.state
            wanted = release_name(models, image or state.idle.image)
            if state.live.models == dict(models) and image in ("", state.live.image):
                said = "live already"
                return None
            if (
                state.idle.models == dict(models)
                and wanted == state.idle.release
                and not state.idle.live_until
            ):
                said = "staged already"
                return None
            said = "staged"
            put(overlay.deployment(state.idle.colour), state.idle.colour, models, image, _by(because))
            overlay.write()
            return self._message(f"stage {_words(models)} on {state.idle.colour}", wanted, because, models)

        return self._land(edit, because, lambda: said)

    def record(self, release: str, passed: bool, says: str, because: Because) -> Step:
        """Note a test's result beside the release that was tested.

        Raises
        ------
        BadInput
            When another release was staged in the meantime: its test is another test.
        """

        def edit(tree: Path) -> str | None:
            overlay = Overlay(tree, self.overlay)
            slot = overlay.state.idle
            if slot.release != release:
                raise BadInput(
                    "another release was staged while this one was tested",
                    file=self.overlay,
                    found=f"{slot.release or 'nothing'} ({slot.in_words()})",
                    expected=release,
                    mend="test again",
                )
            word = "passed" if passed else "failed"
            if slot.test == word:
                return None  # the first result stands; a commit for every repetition would bury the others
            note(overlay.deployment(slot.colour), {TEST: word, TEST_SAYS: " ".join(says.split())[:500]})
            overlay.write()
            return self._message(
                f"test of {slot.in_words()} on {slot.colour} {word}", release, because, slot.models, says
            )

        return self._land(edit, because, lambda: "noted")

    def switch(self, because: Because, release: str = "") -> Step:
        """Send live traffic to the tested release; in production the alias follows once the commit has landed.

        Raises
        ------
        NotReady
            When the idle colour's release did not pass its test.
        BadInput
            In production without a person's name and a reason; when another release than ``release`` is staged.
        """
        because = self._answered_for(because, "a switch of production")
        said = "switched"

        def edit(tree: Path) -> str | None:
            nonlocal said
            overlay = Overlay(tree, self.overlay)
            state = overlay.state
            slot = state.idle
            came_by_switch = slot.live_until and not slot.withdrawn and not slot.test
            if (release and state.live.release == release) or (
                not release and state.live.models and (came_by_switch or not slot.models)
            ):
                said = "live already"
                return None
            if release and slot.release != release:
                raise BadInput(
                    "another release is staged",
                    file=self.overlay,
                    found=f"{slot.release or 'nothing'} ({slot.in_words()})",
                    expected=release,
                )
            if not slot.models:
                raise NotReady(f"nothing is staged; run: soil release stage {self.environment}")
            if slot.test != "passed":
                why = f": {slot.test_says}" if slot.test_says else ""
                raise NotReady(
                    f"{slot.in_words()} on {slot.colour} "
                    + ("failed its test" if slot.test == "failed" else "was not tested")
                    + why
                    + f"; run: soil release test {self.environment}"
                )
            for name, version in sorted(slot.models.items()):
                self._may_release(name, version)
            said = "switched"
            self._flip(overlay, state)
            return self._message(
                f"switch to {slot.in_words()} on {slot.colour}", slot.release, because, slot.models
            )

        return self._land(edit, because, lambda: said, follow=True)

    def roll_back(self, because: Because) -> Step:
        """Send live traffic back to the colour it came from.

        Raises
        ------
        BadInput
            When the other colour does not hold what was live before: then that version is staged again first.
        """
        because = self._answered_for(because, "a rollback of production")
        said = "rolled back"

        def edit(tree: Path) -> str | None:
            nonlocal said
            overlay = Overlay(tree, self.overlay)
            state = overlay.state
            if state.idle.withdrawn:
                said = "rolled back already"
                return None
            if not state.idle.live_until:
                raise BadInput(
                    "the other colour does not hold what was live before",
                    file=self.overlay,
                    found=f"{state.idle.colour} holds {state.idle.in_words()}, which never was live",
                    mend="stage the earlier versions again (the repository's git log names them), test, switch",
                )
            said = "rolled back"
            back = state.idle
            self._flip(overlay, state)
            note(overlay.deployment(state.live.colour), {WITHDRAWN: _by(because)})
            overlay.write()
            return self._message(
                f"roll back from {state.live.in_words()} to {back.in_words()} on {back.colour}",
                back.release,
                because,
                back.models,
            )

        return self._land(edit, because, lambda: said, follow=True, back=True)

    def followed(self, state: State) -> dict[str, tuple[int, int | None]]:
        """Return, for production, live models whose alias is elsewhere: (live version, version at the alias)."""
        if self.environment != PRODUCTION:
            return {}
        at = {name: self.registry.aliases(name).get(PRODUCTION) for name in state.live.models}
        return {n: (v, at[n]) for n, v in state.live.models.items() if at[n] != v}

    def anchors(self) -> dict[str, list[Anchor]]:
        """Entries of the models' histories that the repository's newest commits name, by model, the newest of each."""
        anchors: dict[str, list[Anchor]] = {}
        for commit, message in self.repository.log():
            for name, text in _ANCHOR.findall(message):
                anchors.setdefault(name, []).append(Anchor.parse(f"manifest commit {commit[:12]}", text))
        return {name: stated[:1] for name, stated in anchors.items()}

    def objections(self) -> list[str]:
        """Sentences on histories that are not what the repository's commits say of them."""
        histories = {n: journal.read(self.registry, n).against(a) for n, a in self.anchors().items()}
        return [f"the history of {n}: {h.objection}" for n, h in histories.items() if h.objection]

    def _anchored(self, models: Mapping[str, int]) -> list[str]:
        """Lines of a commit message that name where each model's history ends."""
        histories = {name: journal.read(self.registry, name) for name in sorted(models)}
        return [f"{_ANCHOR_WORD}: {n} {h.anchor}" for n, h in histories.items() if h.anchor]

    def _flip(self, overlay: Overlay, state: State) -> None:
        now = _now()
        select(overlay.documents[LIVE], state.idle.colour)
        select(overlay.documents[PREVIEW], other(state.idle.colour))
        note(overlay.deployment(state.idle.colour), {LIVE_SINCE: now, LIVE_UNTIL: "", WITHDRAWN: ""})
        note(
            overlay.deployment(state.live.colour),
            # A slot that was never filled has nothing to go back to.
            {LIVE_SINCE: "", LIVE_UNTIL: now if state.live.models else "", TEST: "", TEST_SAYS: ""},
        )
        overlay.write()

    def _land(
        self, edit: Any, because: Because, said: Any, *, follow: bool = False, back: bool = False
    ) -> Step:
        altered = self.objections()
        if altered:
            raise BadInput(
                "the registry is not to be believed: nothing is released from it",
                found="; ".join(altered),
                mend="find out what happened; then: soil registry accept NAME --by ... --why ...",
            )
        landed: Landed = self.repository.change(edit, Author.parse(because.who))
        state = self.state()
        aliases: dict[str, int] = {}
        if follow and self.environment == PRODUCTION:
            aliases = self._follow(state.live, because, landed, back=back)
        return Step(said(), state, landed.commit, landed.tries, landed.head, aliases)

    def _follow(self, live: Slot, because: Because, landed: Landed, *, back: bool) -> dict[str, int]:
        """Move ``production`` to what is live. The commit is the truth; run again, this finishes what was begun."""
        moved: dict[str, int] = {}
        links = {**because.links, "manifests": f"{self.repository.url}@{landed.head}"}
        told = Because(because.who, because.why, because.commit, because.report, links)
        for name, version in sorted(live.models.items()):
            try:
                at = self.registry.aliases(name)
                if at.get(PRODUCTION) == version:
                    # Who was killed between two aliases left the second behind.
                    moves.settle(self.registry, name)
                    continue
                if back and at.get("previous") == version:
                    moves.roll_back(self.registry, name, told, to=version)
                else:
                    moves.promote(self.registry, name, version, told)
                moved[name] = version
            except BadInput as error:
                raise BadInput(
                    f"traffic is switched, the alias of {name} is not: {error.what}",
                    file=error.file,
                    found=error.found,
                    mend="run the same command again once that is mended; it only moves what is left",
                ) from None
        return moved

    def _may_release(self, name: str, version: int) -> None:
        evidence = moves.Evidence.of(self.registry.version(name, version))
        may_promote(moves.adopted(self.registry, name), name, version, evidence.checks if evidence else None)

    def _answered_for(self, because: Because, what: str) -> Because:
        if self.environment != PRODUCTION:
            return because
        return replace(because, who=a_person(because.who, what), why=a_reason(because.why, what))

    def _message(
        self, what: str, release: str, because: Because, models: Mapping[str, int], says: str = ""
    ) -> str:
        """Return a commit message: what, why, and what can be looked up; the sign-off is git's."""
        lines = [f"{self.environment}: {what}", ""]
        lines += [f"Why: {because.why}"] if because.why else []
        lines += [f"Result: {' '.join(says.split())}"] if says else []
        lines += [f"Release: {release}"]
        lines += [f"{k.capitalize()}: {v}" for k, v in sorted(because.links.items())]
        lines += self._anchored(models)
        return "\n".join(lines) + "\n"


def _words(models: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {v}" for n, v in sorted(models.items()))


def _by(because: Because) -> str:
    return f"{_now()} by {Author.parse(because.who).name}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
