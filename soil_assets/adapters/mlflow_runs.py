"""MLflow runs: what one training logs, its parameters, figures, plots and the model itself.

Belongs here: writing a run. A logged model is arrays + JSON (``modeling.artifact``) inside a pyfunc 'model from code':
nothing in it is pickled, and what it predicts is computed by ``soil_assets`` code that travels with it.
Does not belong here: the registry (``adapters.mlflow``).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.adapters.mlflow import DIGEST_TAG, MODEL_FOLDER, quiet

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel

_PACKAGE = Path(__file__).resolve().parent.parent
#: What a registered model needs of this package to predict.
_SERVING_ROOMS = (
    "__init__.py", "errors.py", "config.py", "spectra", "modeling",
    "serving/__init__.py", "serving/settings.py", "serving/pyfunc_model.py",
)  # fmt: skip


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
        log_files(mlflow, "plots", images)
        return LoggedTraining(run.info.run_id, log_model(mlflow, model))


def log_files(mlflow: Any, place: str, files: Mapping[str, bytes]) -> None:
    """Log files by name to the active run, under ``place``."""
    with quiet(), tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        mlflow.log_artifacts(folder, place)


def log_model(mlflow: Any, model: SoilModel) -> str:
    """Log ``model`` to the active run as a pyfunc model from code; return its ``models:/...`` address."""
    from soil_assets.modeling.artifact import FACTS_FILE, save

    with quiet(), tempfile.TemporaryDirectory() as folder:
        import numpy as np
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema, TensorSpec

        files = Path(folder) / MODEL_FOLDER
        save(model, files)
        mlflow.set_tag(
            DIGEST_TAG, json.loads((files / FACTS_FILE).read_text(encoding="utf-8"))["facts_sha256"]
        )
        code = Path(folder) / "code" / "soil_assets"
        code.mkdir(parents=True)
        for room in _SERVING_ROOMS:
            source = _PACKAGE / room
            if source.is_dir():
                shutil.copytree(source, code / room, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                (code / room).parent.mkdir(exist_ok=True)
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
