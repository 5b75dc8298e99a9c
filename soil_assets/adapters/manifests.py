"""An overlay's files: read as YAML that keeps comments and order, changed in place.

Belongs here: paths and YAML. Does not belong here: what the documents mean (``delivery.slots``).
"""

from __future__ import annotations

import io
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from soil_assets.delivery.slots import COLOURS, Colour, State, read_state
from soil_assets.errors import BadInput

LIVE, PREVIEW = "live.yaml", "preview.yaml"
_LARGEST = 1_000_000


class Overlay:
    """The four files of an overlay that a release may change: two colours and two Services.

    Parameters
    ----------
    tree : Path
        Work tree of the manifest repository.
    folder : str
        The overlay's place in it.

    Raises
    ------
    BadInput
        When the folder or a file is missing, leaves the repository, or is not one YAML document.
    """

    def __init__(self, tree: Path, folder: str) -> None:
        self.folder = _inside(tree, tree / folder, folder)
        if not self.folder.is_dir():
            raise BadInput(
                "the manifest repository has no such overlay",
                file=folder,
                mend="set release.overlays in soil.yaml, or put deploy/kubernetes into the repository",
            )
        self._where = {name: f"{folder}/{name}" for name in (LIVE, PREVIEW, *(f"{c}.yaml" for c in COLOURS))}
        self._files = {name: _inside(tree, self.folder / name, where) for name, where in self._where.items()}
        self._styles: dict[str, Any] = {}
        self.documents = {name: self._read(name) for name in self._files}

    @property
    def state(self) -> State:
        """What the overlay says now."""
        slots: dict[Colour, Any] = {c: self.documents[f"{c}.yaml"] for c in COLOURS}
        try:
            return read_state(self.documents[LIVE], self.documents[PREVIEW], slots)
        except BadInput as error:
            where = self._where.get(error.file or "", error.file)
            raise BadInput(
                error.what, file=where, row=error.row, column=error.column, found=error.found,
                expected=error.expected, mend=error.mend,
            ) from None  # fmt: skip

    def deployment(self, colour: Colour) -> MutableMapping[str, Any]:
        """Return a colour's document, to be changed in place."""
        found: MutableMapping[str, Any] = self.documents[f"{colour}.yaml"]
        return found

    def write(self) -> None:
        """Write the files whose documents were changed, in the form they were read in."""
        for name, document in self.documents.items():
            stream = io.StringIO()
            self._styles[name].dump(document, stream)
            text = stream.getvalue()
            if text != self._files[name].read_text(encoding="utf-8"):
                self._files[name].write_text(text, encoding="utf-8")

    def _read(self, name: str) -> Any:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError
        from ruamel.yaml.util import load_yaml_guess_indent

        file, where = self._files[name], self._where[name]
        try:
            if file.stat().st_size > _LARGEST:
                raise BadInput("the manifest is too large to be one", file=where, expected="under 1 MB")
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise BadInput(
                "a file of the overlay is missing", file=where, mend="take it from deploy/kubernetes"
            ) from None
        except UnicodeDecodeError as error:
            raise BadInput("not a text file", file=where, found=str(error)) from None
        style = YAML()
        style.preserve_quotes = True
        style.width = 4096
        try:
            _, _, offset = load_yaml_guess_indent(text)
            style.indent(mapping=2, sequence=(offset or 0) + 2, offset=offset or 0)
            style.explicit_start = text.lstrip().startswith("---")
            document = style.load(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            conflict = "<<<<<<<" in text
            raise BadInput(
                "the manifest holds an unfinished merge" if conflict else "the manifest is not valid YAML",
                file=where,
                row=mark.line + 1 if mark else None,
                found=str(error.problem or "")[:200],
                mend="finish the merge in the manifest repository" if conflict else "mend the file",
            ) from None
        except YAMLError as error:
            raise BadInput(
                "the manifest is not one YAML document", file=where, found=str(error)[:200]
            ) from None
        if not isinstance(document, MutableMapping):
            raise BadInput("the manifest is empty", file=where, expected="a Kubernetes object")
        self._styles[name] = style
        return document


def _inside(tree: Path, path: Path, told: str) -> Path:
    """Return the path when it stays in the work tree, links followed."""
    if not path.resolve().is_relative_to(tree.resolve()):
        raise BadInput("a path leaves the manifest repository", file=told, expected="a folder inside it")
    return path
