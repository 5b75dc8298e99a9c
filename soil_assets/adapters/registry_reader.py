"""Reading MLflow's model registry without importing mlflow.

Belongs here: an alias becomes a version, a version becomes the two files of its model; through MLflow's REST
interface, or straight from the SQLite file of a local store. Importing mlflow costs seconds and some 200 MB, which
a prediction service would pay in every replica and at every look at an alias.
Does not belong here: writing to a registry (``adapters.mlflow``), keeping copies (``serving.model_store``).
"""

from __future__ import annotations

import base64
import contextlib
import http
import json
import os
import sqlite3
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from soil_assets.adapters.mlflow import MODEL_FOLDER
from soil_assets.errors import BadInput

#: Where the model's two files lie inside a registered version.
MODEL_PLACE = f"artifacts/{MODEL_FOLDER}"
_SECONDS = 10.0
_LARGEST = 2 << 30
_DELETED = "Deleted_Internal"
#: Tells everybody whether a model exists; of its aliases and versions only an administrator is told that they do not.
_MODEL = "registered-models/get"


class RegistryUnreachableError(Exception):
    """The registry does not answer: nothing is known about what it holds."""


@dataclass(frozen=True)
class FoundVersion:
    """One registered version.

    Parameters
    ----------
    name : str
    version : int
    location : str
        URL of its files.
    run_id : str
    tags : mapping of str to str
    """

    name: str
    version: int
    location: str
    run_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class RegistryReader(Protocol):
    """What a service needs to know of a registry."""

    def at_alias(self, name: str, alias: str) -> int | None:
        """Return the version that an alias names, or None when there is none.

        Raises
        ------
        RegistryUnreachableError
        """
        ...

    def version(self, name: str, number: int) -> FoundVersion | None:
        """Return a version, or None when it does not exist (or was deleted).

        Raises
        ------
        RegistryUnreachableError
        """
        ...

    def read(self, location: str, file: str) -> bytes:
        """Return one file of a version.

        Raises
        ------
        RegistryUnreachableError
            When the store of files does not answer, or does not have it.
        """
        ...


def reader_of(tracking_uri: str) -> RegistryReader:
    """Return the reader for a tracking address.

    Raises
    ------
    BadInput
        For an address that is neither a server's nor a SQLite file's.
    """
    if tracking_uri.startswith("sqlite:///"):
        return SqliteReader(Path(tracking_uri.removeprefix("sqlite:///")))
    if tracking_uri.startswith(("http://", "https://")):
        return RestReader(tracking_uri)
    scheme = tracking_uri.partition("://")[0]  # the rest may hold a password
    raise BadInput(
        "the prediction service cannot read this registry",
        found=f"{scheme}://...",
        expected="https://<MLflow server>, or sqlite:///<file>",
        mend="set storage.mlflow_tracking to the address of an MLflow server",
    )


class SqliteReader:
    """A local store: its SQLite file, opened read-only for each look."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def at_alias(self, name: str, alias: str) -> int | None:
        """See :class:`RegistryReader`."""
        rows = self._ask(
            "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?", name, alias
        )
        return _number(rows[0][0], f"{name}@{alias}") if rows else None

    def version(self, name: str, number: int) -> FoundVersion | None:
        """See :class:`RegistryReader`."""
        rows = self._ask(
            "SELECT source, storage_location, run_id, current_stage FROM model_versions "
            "WHERE name = ? AND version = ?",
            name,
            number,
        )
        if not rows or rows[0][3] == _DELETED:
            return None
        source, location, run_id, _ = rows[0]
        tags = self._ask(
            "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?", name, number
        )
        return FoundVersion(name, number, str(location or source), str(run_id or ""), dict(tags))

    def read(self, location: str, file: str) -> bytes:
        """See :class:`RegistryReader`."""
        return _read_stored(location, file)

    def _ask(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        if not self.file.exists():
            raise RegistryUnreachableError(f"no registry at {self.file}")
        address = f"file:{urllib.parse.quote(str(self.file.absolute()))}?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_SECONDS)) as connection:
                return connection.execute(question, values).fetchall()
        except sqlite3.Error as error:
            raise RegistryUnreachableError(f"the registry's file cannot be read: {error}") from None


class RestReader:
    """A served registry; user and password, or token, come from MLflow's own environment variables."""

    def __init__(self, address: str, env: Mapping[str, str] | None = None) -> None:
        self.address = address.rstrip("/")
        env = os.environ if env is None else env
        self._headers = {"Accept": "application/json", **_authorisation(env)}
        bundle = env.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
        tls = ssl.create_default_context(cafile=bundle) if bundle else None
        self._open = urllib.request.build_opener(_SameHost, urllib.request.HTTPSHandler(context=tls)).open

    def __repr__(self) -> str:
        return "RestReader(...)"  # an address may hold a password

    def at_alias(self, name: str, alias: str) -> int | None:
        """See :class:`RegistryReader`."""
        found = self._ask("registered-models/alias", name=name, alias=alias)
        return (
            None
            if found is None
            else _number(_part(found, "model_version").get("version"), f"{name}@{alias}")
        )

    def version(self, name: str, number: int) -> FoundVersion | None:
        """See :class:`RegistryReader`."""
        found = self._ask("model-versions/get", name=name, version=str(number))
        if found is None:
            return None
        told = _part(found, "model_version")
        if told.get("current_stage") == _DELETED:
            return None
        where = self._ask("model-versions/get-download-uri", name=name, version=str(number))
        if where is None:
            return None
        tags = {t["key"]: str(t.get("value", "")) for t in told.get("tags") or () if _is_tag(t)}
        location = where.get("artifact_uri")
        if not isinstance(location, str):
            raise _not_understood("artifact_uri", location)
        return FoundVersion(name, number, location, str(told.get("run_id") or ""), tags)

    def read(self, location: str, file: str) -> bytes:
        """See :class:`RegistryReader`."""
        parts = urllib.parse.urlsplit(location)
        if parts.scheme != "mlflow-artifacts":
            return _read_stored(location, file)
        path = urllib.parse.quote(f"{parts.path.lstrip('/')}/{file}")
        try:
            return self._get(f"{self.address}/api/2.0/mlflow-artifacts/artifacts/{path}")
        except (_Missing, _Denied):
            raise RegistryUnreachableError(
                f"the registry does not give a file of the model: {file}"
            ) from None

    def _ask(self, question: str, **values: str) -> dict[str, Any] | None:
        query = urllib.parse.urlencode(values)
        try:
            answer = json.loads(self._get(f"{self.address}/api/2.0/mlflow/{question}?{query}"))
        except _Missing:
            return None
        except _Denied:
            if "name" in values and question != _MODEL and self._ask(_MODEL, name=values["name"]) is None:
                return None
            raise RegistryUnreachableError("the registry denies this user") from None
        except ValueError:
            raise RegistryUnreachableError("the registry's answer is not JSON") from None
        if not isinstance(answer, dict):  # not the same as 'there is no such thing'
            raise _not_understood(question, answer)
        return answer

    def _get(self, address: str) -> bytes:
        request = urllib.request.Request(address, headers=self._headers)  # noqa: S310  # reader_of let http(s) pass only
        try:
            with self._open(request, timeout=_SECONDS) as answer:
                return _bounded(answer, address)
        except urllib.error.HTTPError as error:
            told = error.read(4096)
            if b"RESOURCE_DOES_NOT_EXIST" in told or (
                b"INVALID_PARAMETER_VALUE" in told and b"alias" in told.lower()
            ):
                raise _Missing from None
            if error.code == http.HTTPStatus.FORBIDDEN:
                raise _Denied from None
            raise RegistryUnreachableError(f"the registry answers with status {error.code}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise RegistryUnreachableError(f"the registry does not answer: {reason}") from None


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to the same scheme, host and port alone: requests carry a password or a token."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """See the class."""
        before, after = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if (before.scheme, before.hostname, before.port) != (after.scheme, after.hostname, after.port):
            raise RegistryUnreachableError(
                f"the registry redirects to {after.scheme}://{after.hostname}, which gets no credentials"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Missing(Exception):
    """The registry answered: there is no such thing."""


class _Denied(Exception):
    """The registry answered: not for this user; or there is no such model, which is true of aliases and versions."""


def _part(answer: dict[str, Any], name: str) -> dict[str, Any]:
    part = answer.get(name)
    if not isinstance(part, dict):
        raise _not_understood(name, part)
    return part


def _is_tag(tag: Any) -> bool:
    return isinstance(tag, dict) and isinstance(tag.get("key"), str)


def _number(version: Any, of: str) -> int:
    """Return a version's number; MLflow's interface writes it as text.

    Raises
    ------
    BadInput
    """
    text = str(version)
    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) < 10**9):
        raise _not_understood(f"version of {of}", version)
    return int(text)


def _not_understood(what: str, value: Any) -> BadInput:
    return BadInput(
        "the registry's answer is not understood",
        column=what,
        found=repr(value)[:100],
        mend="see that storage.mlflow_tracking is the address of an MLflow server",
    )


def _authorisation(env: Mapping[str, str]) -> dict[str, str]:
    if token := env.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if user := env.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{env.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _read_stored(location: str, file: str) -> bytes:
    """Read from a folder, or from object storage through fsspec."""
    parts = urllib.parse.urlsplit(location)
    try:
        if parts.scheme in ("", "file"):
            path = urllib.parse.unquote(parts.path) if parts.scheme else location
            with open(f"{path}/{file}", "rb") as stream:
                return _bounded(stream, location)
        import fsspec

        with fsspec.open(f"{location.rstrip('/')}/{file}", "rb") as stream:
            return _bounded(stream, location)
    except BadInput:
        raise
    except ImportError as error:
        raise BadInput(
            "the registry keeps its files where this installation cannot read",
            found=f"{parts.scheme}://",
            mend=f"install its file system ({error})",
        ) from None
    except Exception as error:  # noqa: BLE001  # every object store's client raises its own
        raise RegistryUnreachableError(
            f"a file of the model cannot be read: {type(error).__name__}: {error}"
        ) from None


def _bounded(stream: Any, name: str) -> bytes:
    content = bytes(stream.read(_LARGEST + 1))
    if len(content) > _LARGEST:
        raise BadInput("a model file that is far too large", file=name, expected=f"at most {_LARGEST} bytes")
    return content
