"""Baseline: main laid beside a change with its models, its judge, its asset graph, its batches and its past figures.

Models are the registry's, when the staged version is the product of main's data, recipe and code; else main's commit is
trained again in a work tree of its own, which a fork can do without any secret. Without either there is no baseline,
and that is an error: 'first version' is what a commit without settings says of itself, never what could not be had.

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
from soil_assets.pull_request.batches import batches_at, batches_here
from soil_assets.pull_request.scope import is_documentation
from soil_assets.storage import Store

if TYPE_CHECKING:
    from soil_assets.modeling.model import SoilModel

#: Where the repository keeps its batches, and where a baseline keeps its models.
BATCHES, MODELS = "batches", "models"
_FROZEN = "soil_assets/benchmarks/frozen"
_RETRAIN_SECONDS = 1500

Tell = Callable[[str], None]


@dataclass
class Baseline:
    """Main as it is compared with.

    Parameters
    ----------
    commit : str
        Main's.
    source : {"registry", "retrained", "none"}
        Where the models are from; ``none``: the commit has no ``soil.yaml``, so that main is known to have no model.
    why : list of str
        What kept each earlier source from being used.
    models : dict
        By property: version (None outside the registry).
    trend : dict
        By property, oldest first: version, rmse, low, high of main's past versions on the benchmark.
    batches : dict of str to str
        Content of each batch on main, as DVC hashes a folder.
    """

    commit: str = ""
    source: str = "none"
    why: list[str] = field(default_factory=list)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    trend: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    batches: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Baseline:
        """Read what :func:`bring` wrote.

        Raises
        ------
        BadInput
            When there is no baseline in the folder, or it is of another version of this package.
        """
        file = folder / "baseline.json"
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(
                "no baseline of main that can be read",
                file=str(file),
                found=str(error)[:200],
                mend="soil baseline --against COMMIT",
            ) from None


def bring(root: Path, ref: str, out: Path, tell: Tell, *, retrain: bool = True) -> Baseline:
    """Write main into a folder: ``baseline.json``, ``soil.yaml``, ``frozen/``, ``graph.json``, ``models/``.

    Parameters
    ----------
    root : Path
        The repository.
    ref : str
        Names main.
    out : Path
        The folder.
    retrain : bool
        Whether main's commit may be trained again where the registry does not have its models.

    Raises
    ------
    BadInput
        When the reference names no commit, main's settings cannot be read by this code, or main has settings and its
        models cannot be had.
    """
    commit = git.commit_of(root, ref)
    if commit is None:
        raise BadInput(
            "the commit that main is does not exist here",
            column="--against",
            found=ref,
            expected="a commit, branch or tag of this clone",
            mend="check the name; in a shallow clone, fetch it first (git fetch --unshallow, or a fetch-depth of 2)",
        )
    (out / MODELS).mkdir(parents=True, exist_ok=True)
    main = Baseline(commit=commit, batches=batches_at(root, commit, BATCHES))
    judge = git.file_at(root, commit, "soil.yaml")
    if judge is None:
        tell(f"{commit[:12]} has no soil.yaml: there is no model on main yet")
        main.why.append(f"commit {commit[:12]} has no soil.yaml")
        return _write(out, main)
    (out / "soil.yaml").write_bytes(judge)
    for name, content in git.files_at(root, commit, _FROZEN).items():
        if name.endswith(".yaml") and "/" not in name:
            (out / "frozen").mkdir(exist_ok=True)
            (out / "frozen" / name).write_bytes(content)
    settings = load_settings(out / "soil.yaml", env={**_without_baseline()})
    with git.work_tree(root, commit) as tree:
        main.batches |= _derived_batches(tree, tell)
        graph = _soil(tree, "graph", "--json")
        if graph.returncode == 0:
            (out / "graph.json").write_text(graph.stdout, encoding="utf-8")
        else:
            main.why.append(f"main's asset graph could not be read: {_last_line(graph)}")
        sources: list[tuple[str, Callable[[], dict[str, SoilModel]]]] = [
            ("registry", lambda: _of_registry(root, settings, main))
        ]
        if retrain:
            sources.append(("retrained", lambda: _retrained(root, tree, tell)))
        for source, take in sources:
            tell(f"main's models: {source}")
            try:
                models = take()
                absent = [p for p in settings.properties if p not in models]
                if absent:
                    raise BadInput("main's models lack a property", found=", ".join(absent))
            except BadInput as error:
                main.why.append(f"{source}: {error.what}{f' ({error.found})' if error.found else ''}"[:500])
                tell(f"  not to be had: {error.what}{f' ({error.found})' if error.found else ''}")
                continue
            main.source = source
            _save({p: models[p] for p in settings.properties}, out / MODELS, main)
            return _write(out, main)
    raise BadInput(
        "main's models cannot be had, and nothing can be compared without them",
        file=f"commit {commit[:12]}",
        found="; ".join(main.why),
        expected="a registry whose staged versions are main's, or a commit of main that can be trained again",
        mend="remove the cause named here; a change is never compared with nothing",
    )


def _derived_batches(tree: Path, tell: Tell) -> dict[str, str]:
    """Return the batches that main's pipeline makes, with their content, and leave them in its work tree."""
    in_git = set(batches_here(Store(str(tree / BATCHES)))) if (tree / BATCHES).is_dir() else set()
    if not _has_stage(tree, "fetch"):
        return {}
    tell("main's batches: soil fetch")
    fetched = _soil(tree, "fetch")
    if fetched.returncode:
        raise BadInput("main's own batches cannot be made (soil fetch)", found=_last_line(fetched))
    here = batches_here(Store(str(tree / BATCHES)))
    return {name: content for name, content in here.items() if name not in in_git}


def _has_stage(tree: Path, stage: str) -> bool:
    import yaml

    file = tree / "dvc.yaml"
    try:
        stages = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("stages") or {}
    except (OSError, yaml.YAMLError, AttributeError):
        return False
    return stage in stages


def _of_registry(root: Path, settings: Settings, found: Baseline) -> dict[str, SoilModel]:
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
            _check_product(root, version, found)
            models[prop] = registry.load_version(version)
            _check_batches(models[prop], name, found)
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


def _check_product(root: Path, version: Any, main: Baseline) -> None:
    """Refuse a registered version that main's commit would not give: registered from another one, data or recipe.

    Raises
    ------
    BadInput
    """
    from soil_assets.adapters.registry import Evidence

    evidence = Evidence.of(version)
    commit = git.commit_of(root, evidence.commit) if evidence and len(evidence.commit) == 40 else None
    label = f"{version.name} version {version.version}"
    if commit is None:
        raise BadInput(f"{label} does not say from which commit of this repository it was registered")
    altered = git.changed_paths(root, commit, main.commit)
    relevant = [path for path in altered if not is_documentation(path)]
    if relevant:
        raise BadInput(
            f"{label} was registered from {commit[:12]}, and main differs from it",
            found=", ".join(relevant[:5]) + (f" and {len(relevant) - 5} more" if len(relevant) > 5 else ""),
        )


def _check_batches(model: SoilModel, name: str, main: Baseline) -> None:
    """Refuse a registered model that was trained on a batch which main's commit does not have."""
    trained_on = set(dict(model.training.get("batches") or {})) - {"reference"}
    strangers = sorted(trained_on - set(main.batches))
    if strangers:
        raise BadInput(
            f"{name} was trained on batches that main's commit does not have", found=", ".join(strangers)
        )


def _retrained(root: Path, tree: Path, tell: Tell) -> dict[str, SoilModel]:
    """Train main's commit again, by main's code, on main's data, in main's work tree."""
    _bring_data(root, tree, tell)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / MODELS
        for step in (
            ("run", "trained_models", "--each", "--go-on"),
            ("candidate", "--models", str(target)),
        ):
            tell(f"  main's commit: soil {' '.join(step[:2])}")
            done = _soil(tree, "--repository", *step)
            if done.returncode:
                raise BadInput(
                    f"main's commit cannot be trained again (soil {step[0]})", found=_last_line(done)
                )
        return _load(target)


def _bring_data(root: Path, tree: Path, tell: Tell) -> None:
    """Lay main's batches into its work tree: its own results of them where they are published, else the data.

    A registered model needs neither: only training does.
    """
    from soil_assets.adapters import dvc
    from soil_assets.pull_request.sparse import VARIABLE

    if not any((tree / BATCHES).glob("*.dvc")):
        return
    _share_cache(root, tree)
    if os.environ.get(VARIABLE):
        done = _soil(tree, "--repository", "batch", "pull", "--against", "HEAD")
        if done.returncode == 0:
            return
        tell(f"  main's commit cannot use its results, all data are pulled: {_last_line(done)}")
    dvc.pull(tree, BATCHES)


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
    """Let the other work tree share this one's DVC cache, so that what both need is transferred once."""
    if (root / ".dvc").is_dir() and (tree / ".dvc").is_dir():
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
    # The job's own tokens are for telling GitHub; training needs none of them.
    return {
        k: v
        for k, v in os.environ.items()
        if k not in ours and k not in ("GITHUB_TOKEN", "GH_TOKEN") and not k.startswith("ACTIONS_")
    }


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Last line that a command wrote, to standard error if there is one, else its exit code."""
    lines = [line for text in (done.stdout, done.stderr) for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"exit code {done.returncode}, and not a word"
