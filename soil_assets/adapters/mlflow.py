"""MLflow: tracking of one training run, and the model registry by alias.

Belongs here: every call to MLflow but the tracking resource of ``defs`` (dagster-mlflow). A registered model is
arrays + JSON (``modeling.artifact``) inside a pyfunc 'model from code': nothing in it is pickled, and what it
predicts is computed by ``soil_assets`` code that travels with it.
Does not belong here: whether a version may be registered (``defs.gates``).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel

_PACKAGE = Path(__file__).resolve().parent.parent
#: What a registered model needs of this package to predict.
_SERVING_ROOMS = ("__init__.py", "errors.py", "config.py", "spectra", "modeling", "serving")
MODEL_FOLDER = "soil_model"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's migration chatter and its dependencies' deprecations away from people."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
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
        with quiet():
            import mlflow

            mlflow.set_tracking_uri(self.tracking_uri)
            return _client(self.tracking_uri, self.experiment, self.artifacts)

    def names(self) -> list[str]:
        """Return the names of the registered models."""
        if self.empty:
            return []
        return sorted(m.name for m in self.client().search_registered_models(max_results=1000))

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Return the versions of a model, newest first."""
        if self.empty:
            return []
        client = self.client()
        found = client.search_model_versions(f"name = '{_plain(name)}'", max_results=1000)
        full = [client.get_model_version(v.name, v.version) for v in found]
        return sorted((_version(v) for v in full), key=lambda v: -v.version)

    def version_at(self, name: str, alias: str) -> RegisteredVersion | None:
        """Return the version that ``alias`` names, or None when there is none yet."""
        if self.empty:
            return None
        from mlflow.exceptions import MlflowException

        try:
            return _version(self.client().get_model_version_by_alias(name, alias))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
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

        with quiet(), tempfile.TemporaryDirectory() as folder:
            from mlflow.artifacts import download_artifacts

            local = download_artifacts(
                artifact_uri=f"models:/{version.name}/{version.version}",
                tracking_uri=self.tracking_uri,
                dst_path=folder,
            )
            return load(Path(local) / "artifacts" / MODEL_FOLDER)

    def register(
        self, name: str, model_uri: str, run_id: str, *, alias: str, tags: Mapping[str, str]
    ) -> RegisteredVersion:
        """Create a version from a logged model and move ``alias`` to it; the alias moves last."""
        with quiet():
            from mlflow.exceptions import MlflowException

            client = self.client()
            try:
                client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            same = [v for v in self.versions(name) if v.tags.get("soil.model_uri") == model_uri]
            if same:  # a run that died between creating and aliasing is finished, not doubled
                version = same[0]
            else:
                made = client.create_model_version(
                    name,
                    source=model_uri,
                    run_id=run_id,
                    tags={**tags, "soil.model_uri": model_uri},
                    model_id=model_uri.removeprefix("models:/"),
                )
                version = _version(made)
            client.set_registered_model_alias(name, alias, str(version.version))
            return _version(client.get_model_version(name, str(version.version)))

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


@dataclass(frozen=True)
class LoggedTraining:
    """Where a training was logged."""

    run_id: str
    model_uri: str


def log_training(
    mlflow: Any, model: SoilModel, *, images: Mapping[str, bytes], tags: Mapping[str, str]
) -> LoggedTraining:
    """Log parameters, cross-validated metrics, plots and the model to the active run of ``mlflow``.

    Parameters
    ----------
    mlflow : module or dagster_mlflow.MlFlow
        With an active run.
    """
    with quiet():
        run = mlflow.active_run()
        mlflow.set_tags(dict(tags))
        mlflow.log_params(
            {
                "property": model.property,
                "unit": model.unit,
                "transform": model.transform,
                **{str(k): v for k, v in model.training["chosen"].items()},
                "n": model.training["n"],
                "seed": model.training["seed"],
                "recipe": model.training["recipe_fingerprint"],
            }
        )
        measured = model.training["cross_validation"]
        mlflow.log_metrics({f"cv_{k}": float(v) for k, v in measured.items() if v is not None and v == v})
        with tempfile.TemporaryDirectory() as folder:
            for name, content in images.items():
                (Path(folder) / name).write_bytes(content)
            mlflow.log_artifacts(folder, "plots")
        return LoggedTraining(run.info.run_id, log_model(mlflow, model))


def log_model(mlflow: Any, model: SoilModel) -> str:
    """Log ``model`` to the active run as a pyfunc model from code; return its ``models:/...`` address."""
    from soil_assets.modeling.artifact import save

    with quiet(), tempfile.TemporaryDirectory() as folder:
        import numpy as np
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema, TensorSpec

        files = Path(folder) / MODEL_FOLDER
        save(model, files)
        code = Path(folder) / "code" / "soil_assets"
        code.mkdir(parents=True)
        for room in _SERVING_ROOMS:
            source = _PACKAGE / room
            if source.is_dir():
                shutil.copytree(source, code / room, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, code / room)
        bands = len(model.axis)
        outputs = [ColSpec("double", "value"), ColSpec("double", "lower_90"), ColSpec("double", "upper_90")]
        info = mlflow.pyfunc.log_model(
            name=f"soil-{model.property.replace('_', '-')}",
            python_model=str(_PACKAGE / "serving" / "pyfunc_model.py"),
            artifacts={MODEL_FOLDER: str(files)},
            code_paths=[str(code)],
            signature=ModelSignature(
                inputs=Schema([TensorSpec(np.dtype("float32"), (-1, bands))]),
                outputs=Schema([*outputs, ColSpec("boolean", "inside")]),
            ),
            pip_requirements=list(_serving_requirements()),
        )
        return str(info.model_uri)


def _serving_requirements() -> Iterator[str]:
    from importlib.metadata import version

    for package in ("mlflow", "numpy", "pandas", "scipy", "pydantic", "pyyaml"):
        yield f"{package}=={version(package)}"


def _version(found: Any) -> RegisteredVersion:
    return RegisteredVersion(
        name=str(found.name),
        version=int(found.version),
        run_id=str(found.run_id or ""),
        aliases=tuple(sorted(found.aliases or ())),
        tags=dict(found.tags or {}),
        created=int(found.creation_timestamp or 0),
    )


def _plain(name: str) -> str:
    if "'" in name or "\\" in name:
        raise BadInput("a model name with quotes", found=repr(name), expected="letters, digits, - and _")
    return name
