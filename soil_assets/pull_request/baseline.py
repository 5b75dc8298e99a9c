"""What main is, laid beside a change: its models, its judge, its asset graph, its data, its past figures.

Models come from the first source that can be had: the registry's alias, else main's DVC artifact, else main's commit
trained again in a work tree of its own (what a fork can do without any secret). With figures but no model, the
comparison is 'cannot tell'; only where main has neither is a change a first version.

Belongs here: the order of the sources, and the folder they end in. Does not belong here: judging anything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soil_assets.adapters import git
from soil_assets.config import Settings, load_settings
from soil_assets.errors import BadInput
from soil_assets.pull_request.batches import batches_at

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel

#: Where the repository keeps its batches and its tracked figures.
BATCHES, METRICS, MODELS = "batches", "metrics.json", "models"
_FROZEN = "soil_assets/benchmarks/frozen"
_RETRAIN_SECONDS = 1500

Tell = Callable[[str], None]


@dataclass
class Baseline:
    """What is known of main.

    Parameters
    ----------
    commit : str
        Main's; empty where the repository has none.
    source : {"registry", "dvc", "retrained", "metrics", "none"}
        Where the models are from; ``metrics``: main has figures, and no model could be had.
    why : list of str
        What kept each earlier source from being used.
    models : dict
        By property: version (None outside the registry).
    trend : dict
        By property, oldest first: version, rmse, low, high of main's past versions on the benchmark.
    batches : dict of str to str
        Content of each batch on main, as DVC hashes a folder.
    metrics : dict
        Main's tracked ``metrics.json``.
    """

    commit: str = ""
    source: str = "none"
    why: list[str] = field(default_factory=list)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    trend: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    batches: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Baseline:
        """Read what :func:`bring` wrote; nothing is known where there is nothing."""
        file = folder / "baseline.json"
        return cls(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else cls()


def bring(root: Path, ref: str, out: Path, tell: Tell, *, retrain: bool = True) -> Baseline:
    """Write what main is into a folder: ``baseline.json``, ``soil.yaml``, ``frozen/``, ``graph.json``, ``models/``.

    Parameters
    ----------
    root : Path
        The repository.
    ref : str
        Names main.
    out : Path
        The folder.
    retrain : bool
        Whether main's commit may be trained again where no model can be had otherwise.
    """
    (out / MODELS).mkdir(parents=True, exist_ok=True)
    commit = git.commit_of(root, ref)
    if commit is None:
        tell(f"{ref} names no commit here: this is a first version")
        return _write(out, Baseline(why=[f"{ref} names no commit"]))
    found = Baseline(commit=commit, batches=batches_at(root, commit, BATCHES))
    found.metrics = _json(git.file_at(root, commit, METRICS)) or {}
    found.trend = _trend_of_metrics(root, commit)
    judge = git.file_at(root, commit, "soil.yaml")
    if judge is not None:
        (out / "soil.yaml").write_bytes(judge)
    for name, content in git.files_at(root, commit, _FROZEN).items():
        if name.endswith(".yaml") and "/" not in name:
            (out / "frozen").mkdir(exist_ok=True)
            (out / "frozen" / name).write_bytes(content)
    settings = load_settings(out / "soil.yaml" if judge is not None else None, env={**_without_baseline()})
    tree: Any = None
    with git.work_tree(root, commit) as place:
        tree = place
        graph = _soil(tree, "graph", "--json")
        if graph.returncode == 0:
            (out / "graph.json").write_text(graph.stdout, encoding="utf-8")
        else:
            found.why.append("main's asset graph could not be read")
        sources: list[tuple[str, Callable[[], dict[str, SoilModel]]]] = [
            ("registry", lambda: _of_registry(settings, found)),
            ("dvc", lambda: _of_dvc(root, tree, commit)),
        ]
        if retrain:
            sources.append(("retrained", lambda: _retrained(root, tree, tell)))
        for source, take in sources:
            tell(f"main's models: {source}")
            try:
                models = take()
            except BadInput as error:
                found.why.append(f"{source}: {error.what}{f' ({error.found})' if error.found else ''}"[:300])
                tell(f"  not to be had: {error.what}")
                continue
            found.source = source
            _save(models, out / MODELS, found)
            break
        else:
            found.source = "metrics" if found.metrics else "none"
    return _write(out, found)


def _of_registry(settings: Settings, found: Baseline) -> dict[str, SoilModel]:
    """Return the models that the alias names; all properties or none, so that one report has one main."""
    from soil_assets.defs.resources import MAIN_ALIAS, registry_of

    # An unreachable registry must not hold a job for minutes; MLflow's own default is seven tries.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    registry = registry_of(settings)
    models = {}
    try:
        for prop in settings.properties:
            name = settings.model_name(prop)
            version = registry.version_at(name, MAIN_ALIAS)
            if version is None:
                raise BadInput(f"no version of {name} is at {MAIN_ALIAS}")
            models[prop] = registry.load_version(version)
            found.models[prop] = {"version": version.version}
            past = [p for v in reversed(registry.versions(name)) if (p := _point(v)) is not None]
            if past:
                found.trend[prop] = past[-20:]
    except BadInput:
        found.models = {}
        raise
    except Exception as error:  # noqa: BLE001  # MLflow, requests and SQL drivers raise what they like
        found.models = {}
        raise BadInput("the registry cannot be reached", found=str(error).splitlines()[0][:200]) from None
    return models


def _point(version: Any) -> dict[str, Any] | None:
    """Return one registered version's RMSE on the benchmark, as its tag tells it (``1.23 % (n = 22)``)."""
    text = str(version.tags.get("soil.benchmark_rmse", "")).split(" ", 1)[0]
    try:
        return {"version": str(version.version), "rmse": float(text), "low": None, "high": None}
    except ValueError:
        return None


def _of_dvc(root: Path, tree: Path, commit: str) -> dict[str, SoilModel]:
    """Return main's tracked models, when main's lock file is of main's own code and settings."""
    if not (tree / "dvc.lock").is_file():
        raise BadInput("main has no dvc.lock")
    status = _dvc(tree, "status", "--json", "train")
    if status.returncode:
        raise BadInput("DVC cannot tell the state of main", found=_last_line(status.stderr))
    stale = [
        path
        for changes in _json(status.stdout.encode() or b"{}").values()
        for change in changes
        if isinstance(change, Mapping)
        for path, how in change.get("changed deps", {}).items()
        if how in ("modified", "new")
    ]
    if stale:
        raise BadInput("main's dvc.lock is older than main", found=", ".join(stale))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / MODELS
        got = _dvc(root, "get", str(root), MODELS, "--rev", commit, "-o", str(target))
        if got.returncode:
            raise BadInput("main's models are not in the DVC cache or remote", found=_last_line(got.stderr))
        return _load(target)


def _retrained(root: Path, tree: Path, tell: Tell) -> dict[str, SoilModel]:
    """Train main's commit again, by main's code, on main's data, in main's work tree."""
    _share_cache(root, tree)
    if any((tree / BATCHES).glob("*.dvc")):
        pulled = _dvc(tree, "pull", "--quiet", BATCHES)
        if pulled.returncode:
            raise BadInput("main's batches cannot be had", found=_last_line(pulled.stderr))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / MODELS
        for step in (
            ("fetch",),
            ("run", "trained_models", "--each", "--go-on"),
            ("candidate", "--models", str(target)),
        ):
            tell(f"  main's commit: soil {' '.join(step[:2])}")
            done = _soil(tree, "--repository", *step)
            if done.returncode:
                raise BadInput(
                    f"main's commit cannot be trained again (soil {step[0]})", found=_last_line(done.stderr)
                )
        return _load(target)


def _load(folder: Path) -> dict[str, SoilModel]:
    from soil_assets.modeling.artifact import load

    models = {f.name: load(f) for f in sorted(folder.iterdir()) if f.is_dir()}
    if not models:
        raise BadInput("there is no model in main's artifact")
    return models


def _save(models: Mapping[str, SoilModel], folder: Path, found: Baseline) -> None:
    from soil_assets.modeling.artifact import save

    for prop, model in models.items():
        save(model, folder / prop)
        found.models.setdefault(prop, {"version": None})


def _trend_of_metrics(root: Path, commit: str) -> dict[str, list[dict[str, Any]]]:
    """Return the past of the tracked figures: one point a commit of main that changed them."""
    trend: dict[str, list[dict[str, Any]]] = {}
    for past, content in git.history(root, commit, METRICS):
        for prop, figures in (_json(content) or {}).items():
            if isinstance(figures, Mapping) and "rmse" in figures:
                point = {
                    "version": past[:7],
                    "rmse": figures.get("rmse"),
                    "low": figures.get("rmse_low"),
                    "high": figures.get("rmse_high"),
                }
                trend.setdefault(prop, []).append(point)
    return trend


def _write(out: Path, found: Baseline) -> Baseline:
    """Write what was found, and what judges: the part of it on which a batch's fate depends."""
    judge = {f.name: f.read_text(encoding="utf-8") for f in sorted((out / "frozen").glob("*.yaml"))}
    if (out / "soil.yaml").exists():
        judge["soil.yaml"] = (out / "soil.yaml").read_text(encoding="utf-8")
    (out / "judge.json").write_text(json.dumps(judge, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    text = json.dumps(vars(found), indent=1, sort_keys=True, ensure_ascii=False)
    (out / "baseline.json").write_text(text + "\n", encoding="utf-8")
    return found


def _share_cache(root: Path, tree: Path) -> None:
    """Let the other work tree take data from this one's DVC cache, where there is one."""
    if (root / ".dvc" / "cache").is_dir() and (tree / ".dvc").is_dir():
        local = f"[cache]\n    dir = {(root / '.dvc' / 'cache').absolute()}\n"
        (tree / ".dvc" / "config.local").write_text(local, encoding="utf-8")


def _soil(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``soil`` by the code of a work tree, on an instance of its own."""
    env = {
        **_without_baseline(),
        "PYTHONPATH": str(tree),
        "SOIL_HOME": str(tree / ".soil" / "repository"),
        "DAGSTER_HOME": str(tree),
    }
    return _run([sys.executable, "-m", "soil_assets", *arguments], tree, env)


def _dvc(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_NO_UPDATE_CHECK": "1"}
    return _run([sys.executable, "-m", "dvc", *arguments], where, env)


def _run(command: list[str], where: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=where,
            env=dict(env),
            capture_output=True,
            text=True,
            check=False,
            timeout=_RETRAIN_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no end after {_RETRAIN_SECONDS} s")


def _without_baseline() -> dict[str, str]:
    ours = (
        "SOIL_BASELINE",
        "SOIL_LANDING",
        "SOIL_CONFIG",
        "SOIL_HOME",
        "SOIL_DAGSTER_STORAGE",
        "DAGSTER_HOME",
    )
    return {k: v for k, v in os.environ.items() if k not in ours}


def _json(content: bytes | None) -> Any:
    try:
        return None if content is None else json.loads(content)
    except ValueError:
        return None


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no message"
