"""Two colours, one live: what a colour slot holds, and how a release moves through the manifests.

Belongs here: reading and changing the documents of an overlay, given as mappings. Pure: no file, no git, no cluster.
Does not belong here: how documents are kept (``adapters.manifests``).

One fact, one place: which versions a slot serves stands in the container's arguments (``--model=soil-clay=3``), which
colour is live in the selector of the live Service. Annotations of the Deployment, not of its pods, say the rest, so
that noting a test result restarts nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

from soil_assets.errors import BadInput

Colour = Literal["blue", "green"]
COLOURS: tuple[Colour, Colour] = ("blue", "green")
CONTAINER = "serve"
COLOUR_LABEL = "soil-assets/colour"
RELEASE, STAGED, TEST, TEST_SAYS, LIVE_SINCE, LIVE_UNTIL, WITHDRAWN = (
    f"soil-assets/{name}"
    for name in ("release", "staged", "test", "test-says", "live-since", "live-until", "withdrawn")
)
#: How many replicas a colour gets when its first release is put there.
REPLICAS = "soil-assets/replicas"
_MODEL_ARGUMENT = "--model="
_MODEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})=([1-9][0-9]{0,8})")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,200}(@sha256:[0-9a-f]{64})?")


@dataclass(frozen=True)
class Slot:
    """What one colour holds.

    Parameters
    ----------
    models : dict
        Version by registered model; empty while nothing was staged.
    release : str
        Short name of exactly these versions and this image.
    test : str
        'passed', 'failed' or empty.
    live_until : str
        When traffic left it; empty for a slot that never was live, or is.
    withdrawn : str
        When it was rolled back from.
    """

    colour: Colour
    models: dict[str, int]
    image: str = ""
    release: str = ""
    staged: str = ""
    test: str = ""
    test_says: str = ""
    live_since: str = ""
    live_until: str = ""
    withdrawn: str = ""

    def in_words(self) -> str:
        """Return the versions for people."""
        return ", ".join(f"{n} {v}" for n, v in sorted(self.models.items())) or "nothing"


@dataclass(frozen=True)
class State:
    """An overlay: which slot is live, and the other one."""

    live: Slot
    idle: Slot


def other(colour: Colour) -> Colour:
    """Return the other colour."""
    return "green" if colour == "blue" else "blue"


def model_versions(texts: list[str] | tuple[str, ...]) -> dict[str, int]:
    """Return versions given as ``name=version``.

    Raises
    ------
    BadInput
        When one is not of that form, or a model is named twice.
    """
    found: dict[str, int] = {}
    for text in texts:
        match = _MODEL.fullmatch(text)
        if match is None:
            raise BadInput("not a model and its version", found=repr(text), expected="soil-clay=3")
        if match[1] in found:
            raise BadInput("a model is named twice", found=match[1], expected="one version of each")
        found[match[1]] = int(match[2])
    return found


def release_name(models: Mapping[str, int], image: str) -> str:
    """Return the short name of exactly these versions and this image: the same content, the same name."""
    text = " ".join(f"{n}={v}" for n, v in sorted(models.items())) + f" {image}"
    return "r" + hashlib.sha256(text.encode()).hexdigest()[:10]


def read_state(
    live: Mapping[str, Any], preview: Mapping[str, Any], slots: Mapping[Colour, Mapping[str, Any]]
) -> State:
    """Return what an overlay's documents say.

    Raises
    ------
    BadInput
        When the Services do not name the two colours, one each.
    """
    at = colour_of(live, "live.yaml")
    shown = colour_of(preview, "preview.yaml")
    if shown == at:
        raise BadInput(
            "live and preview Service select the same colour",
            file="preview.yaml",
            found=shown,
            expected=other(at),
            mend=f"set the preview Service's selector to {other(at)}",
        )
    return State(read_slot(at, slots[at]), read_slot(other(at), slots[other(at)]))


def colour_of(service: Mapping[str, Any], file: str) -> Colour:
    """Return the colour that a Service selects."""
    found = _at(service, file, "spec", "selector").get(COLOUR_LABEL)
    for colour in COLOURS:
        if found == colour:
            return colour
    raise BadInput(
        "the Service selects no colour",
        file=file,
        column=f"spec.selector.{COLOUR_LABEL}",
        found=repr(found),
        expected="blue or green",
    )


def read_slot(colour: Colour, deployment: Mapping[str, Any]) -> Slot:
    """Return what a colour's Deployment holds."""
    file = f"{colour}.yaml"
    container = _container(deployment, file)
    arguments = [str(a) for a in container.get("args") or ()]
    notes = _at(deployment, file, "metadata").get("annotations") or {}
    models = model_versions(
        [a.removeprefix(_MODEL_ARGUMENT) for a in arguments if a.startswith(_MODEL_ARGUMENT)]
    )
    said = {
        k: str(notes.get(k) or "")
        for k in (RELEASE, STAGED, TEST, TEST_SAYS, LIVE_SINCE, LIVE_UNTIL, WITHDRAWN)
    }
    return Slot(colour, models, str(container.get("image") or ""), *said.values())


def put(
    deployment: MutableMapping[str, Any], colour: Colour, models: Mapping[str, int], image: str, staged: str
) -> None:
    """Put a release into a colour's Deployment; what the slot knew of its former content goes.

    Everything that is not the release's stays: other arguments in their order, other annotations, unknown fields.
    """
    file = f"{colour}.yaml"
    container = _container(deployment, file)
    arguments = container.get("args")
    if not isinstance(arguments, list):
        raise BadInput("the container has no list of arguments", file=file, expected="args: [serve, ...]")
    places = [i for i, a in enumerate(arguments) if str(a).startswith(_MODEL_ARGUMENT)]
    new = [f"{_MODEL_ARGUMENT}{name}={version}" for name, version in sorted(models.items())]
    # Written over one by one, so that a comment beside an argument keeps its place.
    for place, text in zip(places, new, strict=False):
        arguments[place] = text
    for place in reversed(places[len(new) :]):
        del arguments[place]
    end = places[min(len(places), len(new)) - 1] + 1 if places else len(arguments)
    for text in reversed(new[len(places) :]):
        arguments.insert(end, text)
    if image:
        if not _IMAGE.fullmatch(image):
            raise BadInput(
                "not the name of an image", found=repr(image), expected="registry/name:tag or @sha256:..."
            )
        container["image"] = image
    notes = deployment["metadata"].get("annotations") or {}
    if deployment["spec"].get("replicas") == 0:  # an overlay starts with both colours empty and at rest
        deployment["spec"]["replicas"] = _replicas(notes.get(REPLICAS), file)
    note(
        deployment,
        {
            RELEASE: release_name(models, str(container.get("image") or "")),
            STAGED: staged,
            **dict.fromkeys((TEST, TEST_SAYS, LIVE_SINCE, LIVE_UNTIL, WITHDRAWN), ""),
        },
    )


def note(deployment: MutableMapping[str, Any], notes: Mapping[str, str]) -> None:
    """Set annotations of a Deployment; an empty value takes one away."""
    metadata = deployment["metadata"]
    if not isinstance(metadata.get("annotations"), MutableMapping):
        metadata["annotations"] = {}
    for key, value in notes.items():
        if value:
            metadata["annotations"][key] = value
        else:
            metadata["annotations"].pop(key, None)


def select(service: MutableMapping[str, Any], colour: Colour) -> None:
    """Point a Service at a colour."""
    service["spec"]["selector"][COLOUR_LABEL] = colour


def _replicas(stated: Any, file: str) -> int:
    text = str(stated or "1")
    if not re.fullmatch(r"[1-9][0-9]?", text):
        raise BadInput("not a number of replicas", file=file, column=REPLICAS, found=text, expected="1 to 99")
    return int(text)


def _container(deployment: Mapping[str, Any], file: str) -> MutableMapping[str, Any]:
    containers = _at(deployment, file, "spec", "template", "spec").get("containers")
    for container in containers if isinstance(containers, list) else ():
        if isinstance(container, MutableMapping) and container.get("name") == CONTAINER:
            return container
    raise BadInput(
        "the Deployment has no such container", file=file, expected=f"a container named {CONTAINER}"
    )


def _at(document: Any, file: str, *path: str) -> Mapping[str, Any]:
    for i, key in enumerate(path):
        document = document.get(key) if isinstance(document, Mapping) else None
        if not isinstance(document, Mapping):
            raise BadInput(
                "a part of the manifest is missing",
                file=file,
                column=".".join(path[: i + 1]),
                expected="a mapping",
            )
    found: Mapping[str, Any] = document
    return found
