"""MLflow: the connection, and reading the model registry by alias or version.

Belongs here: what reads. Does not belong here: runs (``adapters.mlflow_runs``), moves of aliases
(``adapters.registry``), and whether a version may be registered (``defs.gates``).
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel

MODEL_FOLDER = "soil_model"
#: Tag of runs and versions: SHA-256 over the model's facts, which hold that of its arrays.
DIGEST_TAG = "soil.model_sha256"
#: A model's history is kept as the versions of a registered model of its own (``adapters.journal``).
JOURNAL_SUFFIX = ".journal"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's migration chatter and its dependencies' deprecations away from people."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow's own seven tries of two minutes each would keep a person waiting for a quarter of an hour.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    for name in ("mlflow", "alembic", "alembic.runtime.migration"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc  # noqa: F401  # importing it sets filters of its own; ours must come after

        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model."""

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    created: int


class Registry:
    """The model registry and tracking store at one address.

    Parameters
    ----------
    tracking_uri : str
        ``sqlite:///...`` or the address of a server.
    experiment : str
        Experiment that runs are logged to.
    artifacts : str
        Where artifacts of a store without a server go.
    """

    def __init__(self, tracking_uri: str, experiment: str, artifacts: str) -> None:
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self.artifacts = artifacts

    def __repr__(self) -> str:
        return f"Registry({self.experiment!r})"

    @property
    def empty(self) -> bool:
        """Whether there is surely nothing: a SQLite file that does not exist yet. Costs no import."""
        path = self.tracking_uri.removeprefix("sqlite:///")
        return self.tracking_uri.startswith("sqlite:///") and not Path(path).exists()

    def client(self) -> Any:
        """Return an ``MlflowClient``, with the experiment made in the place for artifacts."""
        with quiet(), reached(self.tracking_uri):
            import mlflow

            mlflow.set_tracking_uri(self.tracking_uri)
            return _client(self.tracking_uri, self.experiment, self.artifacts)

    def reader(self) -> Any:
        """Return an ``MlflowClient`` that makes nothing: enough for a user who may only read."""
        with quiet():
            import mlflow

            # Versions made from a logged model are looked up at the process's own address.
            mlflow.set_tracking_uri(self.tracking_uri)
            return _reader(self.tracking_uri)

    def names(self) -> list[str]:
        """Return the names of the registered models."""
        if self.empty:
            return []
        with reached(self.tracking_uri):
            found = paged(self.reader().search_registered_models)
        return sorted(m.name for m in found if not m.name.endswith(JOURNAL_SUFFIX))

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Return the versions of a model, newest first."""
        if self.empty:
            return []
        client = self.reader()
        with reached(self.tracking_uri):
            found = paged(client.search_model_versions, f"name = '{plain(name)}'")
            at = self.aliases(name) if found else {}
        named = [(v, tuple(sorted(a for a, n in at.items() if n == int(v.version)))) for v in found]
        return sorted((_version(v, aliases) for v, aliases in named), key=lambda v: -v.version)

    def aliases(self, name: str) -> dict[str, int]:
        """Return the version at each alias of a model; empty when there is no such model."""
        if self.empty:
            return {}
        from mlflow.exceptions import MlflowException

        with reached(self.tracking_uri):
            try:
                return {a: int(v) for a, v in self.reader().get_registered_model(name).aliases.items()}
            except MlflowException as error:
                if error.error_code in ABSENT:
                    return {}
                raise

    def version(self, name: str, number: int) -> RegisteredVersion:
        """Return one version of a model.

        Raises
        ------
        BadInput
            When there is none, with those there are.
        """
        found = self.versions(name)
        for version in found:
            if version.version == number:
                return version
        raise BadInput(
            "no such registered version",
            found=f"{name} version {number}",
            expected=", ".join(str(v.version) for v in reversed(found))
            or f"one of the models {', '.join(self.names()) or '(nothing is registered yet)'}",
            mend="list them with: soil registry list",
        )

    def version_at(self, name: str, alias: str) -> RegisteredVersion | None:
        """Return the version that ``alias`` names, or None when there is none yet."""
        # Of a model that is not there, MLflow answers everybody but an administrator with 'denied' when an alias is
        # asked for, and truly when the model is.
        if alias not in self.aliases(name):
            return None
        from mlflow.exceptions import MlflowException

        with reached(self.tracking_uri):
            try:
                return _version(self.reader().get_model_version_by_alias(name, alias))
            except MlflowException as error:
                if error.error_code in ABSENT:
                    return None
                raise

    def load(self, address: str) -> tuple[SoilModel, RegisteredVersion]:
        """Load a model by ``models:/<name>@<alias>`` or ``models:/<name>/<version>``.

        Raises
        ------
        BadInput
            When the address is malformed or names nothing, with what there is.
        """
        found = self._resolve(address)
        if found is None:
            raise BadInput(
                "no such registered model",
                found=address,
                expected=", ".join(f"models:/{n}@staging" for n in self.names())
                or "(nothing is registered yet)",
                mend="list them with: soil registry list",
            )
        return self.load_version(found), found

    def load_version(self, version: RegisteredVersion) -> SoilModel:
        """Load one version's model from its own files (no MLflow flavour, no pickle)."""
        from soil_assets.modeling.artifact import load

        with quiet(), reached(self.tracking_uri), tempfile.TemporaryDirectory() as folder:
            from mlflow.artifacts import download_artifacts

            local = download_artifacts(
                artifact_uri=f"models:/{version.name}/{version.version}",
                tracking_uri=self.tracking_uri,
                dst_path=folder,
            )
            return load(Path(local) / "artifacts" / MODEL_FOLDER)

    def _resolve(self, address: str) -> RegisteredVersion | None:
        rest = address.removeprefix("models:/")
        if rest == address or not rest:
            raise BadInput(
                "not the address of a registered model",
                found=address,
                expected="models:/<name>@<alias> or models:/<name>/<version>",
            )
        if "@" in rest:
            name, alias = rest.split("@", 1)
            return self.version_at(name, alias)
        name, _, number = rest.partition("/")
        return next((v for v in self.versions(name) if str(v.version) == number), None)


@cache
def _client(tracking_uri: str, experiment: str, artifacts: str) -> Any:
    from mlflow import MlflowClient

    local = tracking_uri.startswith("sqlite:///")
    if local:
        Path(tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri)
    if client.get_experiment_by_name(experiment) is None:
        place = Path(artifacts).absolute().as_uri() if local and "://" not in artifacts else None
        client.create_experiment(experiment, artifact_location=place)
    return client


@cache
def _reader(tracking_uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri)


@contextmanager
def reached(tracking_uri: str) -> Iterator[None]:
    """Say in words when the registry does not answer or does not let this user in.

    Raises
    ------
    BadInput
        Naming the address, without any credential that stands in it.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        said = str(error)
        refused = re.search(r"error code (401|403)|UNAUTHENTICATED|PERMISSION_DENIED|Permission denied", said)
        if refused or error.error_code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            raise BadInput(
                "the registry does not let this user do that",
                file=without_credentials(tracking_uri),
                found=said.splitlines()[0][:200],
                mend="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD of a user who may",
            ) from None
        if "API request to" in said and "failed" in said:
            raise BadInput(
                "the registry does not answer",
                file=without_credentials(tracking_uri),
                found=re.sub(r"//[^/@\s]*@", "//", said.splitlines()[0])[:200],
                mend="start it, or set storage.mlflow_tracking in soil.yaml to its address",
            ) from None
        raise


def without_credentials(address: str) -> str:
    """Return an address without the user and password that may stand in it."""
    return re.sub(r"//[^/@]*@", "//", address)


def paged(search: Callable[..., Any], *criteria: str) -> list[Any]:
    """Return all results of one of MLflow's searches, page by page."""
    found: list[Any] = []
    token = None
    while True:
        page = search(*criteria, max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _version(found: Any, aliases: tuple[str, ...] | None = None) -> RegisteredVersion:
    return RegisteredVersion(
        name=str(found.name),
        version=int(found.version),
        run_id=str(found.run_id or ""),
        aliases=tuple(sorted(found.aliases or ())) if aliases is None else aliases,
        tags=dict(found.tags or {}),
        created=int(found.creation_timestamp or 0),
    )


def plain(name: str) -> str:
    """Return a model's name when it can stand in one of MLflow's filters."""
    if "'" in name or "\\" in name:
        raise BadInput("a model name with quotes", found=repr(name), expected="letters, digits, - and _")
    return name
