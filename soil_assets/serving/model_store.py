"""Models as a service keeps them: fetched from the registry once, checked at every load.

Belongs here: the local copies, by name, version and checksum, and what happens when one does not check out.
Does not belong here: which models are live (``serving.live``), how a registry is asked (``adapters``).
"""

from __future__ import annotations

import errno
import json
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.errors import BadInput
from soil_assets.storage import safe_key

if TYPE_CHECKING:
    from soil_assets.adapters.registry_reader import RegistryReader
    from soil_assets.modeling.model import SoilModel


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in memory and where it is from.

    Parameters
    ----------
    model : SoilModel
    name : str
        Of the registered model.
    version : int
    digest : str
        SHA-256 over the model's facts, which hold that of its arrays.
    run_id : str
        MLflow run that made it.
    alias : str or None
        The alias that the service follows; None for a pinned version.
    """

    model: SoilModel
    name: str
    version: int
    digest: str
    run_id: str = ""
    alias: str | None = None


class ModelStore:
    """Local copies of registered models.

    Parameters
    ----------
    folder : Path
        ``<name>/<version>.json`` says which copy ``<name>/<version>-<digest>/`` is a version's.
    reader : RegistryReader
    tell : callable
        Gets one line whenever a copy had to be thrown away.
    """

    def __init__(self, folder: Path, reader: RegistryReader, tell: Callable[[str], None]) -> None:
        self.folder = folder
        self.reader = reader
        self._tell = tell

    def load(self, name: str, number: int, alias: str | None = None) -> LoadedModel:
        """Return a version that the registry has, from the local copy when it is unaltered.

        Raises
        ------
        BadInput
            When there is no such version, or its files are not what was registered.
        RegistryUnreachableError
        """
        from soil_assets.adapters.mlflow import DIGEST_TAG
        from soil_assets.adapters.registry_reader import MODEL_PLACE
        from soil_assets.modeling.artifact import ARRAYS_FILE, FACTS_FILE

        found = self.reader.version(name, number)
        if found is None:
            raise BadInput(
                "no such registered version",
                found=f"{name} version {number}",
                mend="list what there is with: soil registry list",
            )
        promised = found.tags.get(DIGEST_TAG)
        kept = self._pointer(name, number)
        if kept is not None and promised in (None, kept["digest"]):
            try:
                return replace(self._open(name, number, kept), alias=alias)
            except BadInput as error:
                self._tell(f"the local copy of {name} version {number} is fetched again: {error}")
        files = {f: self.reader.read(found.location, f"{MODEL_PLACE}/{f}") for f in (FACTS_FILE, ARRAYS_FILE)}
        model, digest = self._keep(name, number, files, promised)
        self._write(self._pointer_file(name, number), {"digest": digest, "run_id": found.run_id})
        return LoadedModel(model, name, number, digest, found.run_id, alias)

    def load_kept(self, name: str, number: int, alias: str | None = None) -> LoadedModel:
        """Return the local copy of a version without asking the registry.

        Raises
        ------
        BadInput
            When there is none, or it was altered.
        """
        kept = self._pointer(name, number)
        if kept is None:
            raise BadInput(
                "the registry cannot be reached, and there is no local copy of this version",
                found=f"{name} version {number}",
                mend="start the registry, or start this service once while it runs",
            )
        return replace(self._open(name, number, kept), alias=alias)

    def remember_alias(self, name: str, alias: str, number: int) -> None:
        """Note which version an alias named when the registry was last asked."""
        self._write(self._alias_file(name, alias), {"version": number})

    def remembered_alias(self, name: str, alias: str) -> int | None:
        """Return what :meth:`remember_alias` noted, or None."""
        facts = _read_json(self._alias_file(name, alias))
        number = (facts or {}).get("version")
        return number if isinstance(number, int) else None

    def _open(self, name: str, number: int, kept: dict[str, Any]) -> LoadedModel:
        from soil_assets.modeling.artifact import FACTS_FILE, load

        digest = str(kept["digest"])
        folder = self._copy(name, number, digest)
        model = load(folder)
        told = _digest_of((folder / FACTS_FILE).read_bytes(), str(folder))
        if told != digest:
            raise BadInput(
                "the model file is not the one that was registered",
                file=str(folder),
                found=told[:16],
                expected=digest[:16],
                mend="take the model from the registry again; do not edit its files",
            )
        return LoadedModel(model, name, number, digest, str(kept.get("run_id", "")))

    def _keep(
        self, name: str, number: int, files: dict[str, bytes], promised: str | None
    ) -> tuple[SoilModel, str]:
        """Write fetched files beside the others and move them into place; return their model and its digest."""
        from soil_assets.modeling.artifact import FACTS_FILE, load

        place = self.folder / safe_key(name)
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, prefix=".fetching-") as waiting:
            fetched = Path(waiting) / "fetched"
            fetched.mkdir()
            for file, content in files.items():
                (fetched / file).write_bytes(content)
            try:
                model = load(fetched)  # an altered model is refused before it has a place
            except BadInput as error:
                facts = {**error.to_dict(), "file": f"{name} version {number}"}
                raise BadInput(**facts) from None  # type: ignore[arg-type]
            digest = _digest_of(files[FACTS_FILE], f"{name} version {number}")
            if promised not in (None, digest):
                raise BadInput(
                    "the files of this version are not the model that was registered",
                    file=f"{name} version {number}",
                    found=digest[:16],
                    expected=str(promised)[:16],
                    mend="register the model again; its files were exchanged after registration",
                )
            self._exchange(name, number, digest, fetched)
        return model, digest

    def _exchange(self, name: str, number: int, digest: str, fetched: Path) -> None:
        """Move a fetched copy to its place, unless a whole one lies there: another replica may be reading it."""
        target = self._copy(name, number, digest)
        if target.exists():
            with suppress(BadInput):
                self._open(name, number, {"digest": digest})
                return
            with suppress(FileNotFoundError):  # another replica took the altered copy away first
                target.rename(fetched.with_name("altered"))
        try:
            fetched.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # Another replica put the same version there meanwhile.

    def _copy(self, name: str, number: int, digest: str) -> Path:
        return self.folder / safe_key(name) / f"{int(number)}-{safe_key(digest)[:16]}"

    def _pointer_file(self, name: str, number: int) -> Path:
        return self.folder / safe_key(name) / f"{int(number)}.json"

    def _alias_file(self, name: str, alias: str) -> Path:
        return self.folder / safe_key(name) / f"@{safe_key(alias, 'alias')}.json"

    def _pointer(self, name: str, number: int) -> dict[str, Any] | None:
        facts = _read_json(self._pointer_file(name, number))
        return facts if facts and isinstance(facts.get("digest"), str) else None

    def _write(self, file: Path, facts: dict[str, Any]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Replicas on one volume have the same process number, each in its container.
        waiting = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        waiting.write_text(json.dumps(facts), encoding="utf-8")
        waiting.replace(file)


def _read_json(file: Path) -> dict[str, Any] | None:
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def _digest_of(facts: bytes, name: str) -> str:
    try:
        digest = json.loads(facts).get("facts_sha256")
    except (ValueError, AttributeError):
        digest = None
    if not isinstance(digest, str):
        raise BadInput("the model file says no checksum", file=name)
    return digest
