"""``soil.yaml`` and the environment become one frozen, validated :class:`Settings`.

Belongs here: every key a person may set, its default and its check. Thresholds live here and nowhere else.
Does not belong here: facts about properties (``spectra.catalogue``) and anything that reads data.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from soil_assets.branch_settings import BranchDeployments
from soil_assets.errors import BadInput
from soil_assets.property_settings import PropertyName, PropertySettings
from soil_assets.quality_policy import QualityPolicy as QualityPolicy  # one of the policies below
from soil_assets.recipe_settings import RecipeSettings, separate_recipe
from soil_assets.serving.settings import Service
from soil_assets.watch_settings import Watch

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Deployment = Literal["local", "branch", "staging", "production"]
Place = Literal["landing", "data", "reports", "mlflow_tracking", "mlflow_artifacts"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AxisSettings(_Section):
    """The axis and quantity that models see; every batch is resampled onto it, never extrapolated."""

    start: float = 3796.0
    stop: float = 552.0
    step: Annotated[float, Field(gt=0)] = 4.0
    unit: Literal["cm-1", "nm"] = "cm-1"
    quantity: Literal["absorbance", "reflectance"] = "absorbance"

    @model_validator(mode="after")
    def _not_empty(self) -> AxisSettings:
        if abs(self.start - self.stop) < 2 * self.step:
            raise ValueError("start and stop must be at least two steps apart")
        return self


class DriftPolicy(_Section):
    """How much drift is tolerated."""

    false_alarm_rate: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.01
    min_samples: Annotated[int, Field(ge=2)] = 10
    when_drift: Literal["hold", "warn"] = "hold"
    when_not_judged: Literal["hold", "warn"] = "warn"
    when_harmful: Literal["hold", "warn"] = "warn"
    permutations: Annotated[int, Field(ge=199)] = 1999
    # Batches of one instrument until a false alarm of any of its trend charts; trends warn and never hold.
    trend_run_length: Annotated[float, Field(ge=20.0)] = 100.0
    # Ids of soils that a lab scans again and again: charted scan by scan, and no part of what a batch is judged by.
    check_samples: tuple[str, ...] = ()
    seed: int = 20260101


class StrataPolicy(_Section):
    """Parts of the benchmark that are compared by themselves, so that an average hides no harm."""

    soc_below: Annotated[float, Field(gt=0.0, lt=100.0)] = 2.0
    # Organic material of the World Reference Base: 20 % of soil organic carbon or more.
    organic_from: Annotated[float, Field(gt=0.0, lt=100.0)] = 20.0
    columns: tuple[str, ...] = ("instrument", "site")
    min_samples: Annotated[int, Field(ge=3)] = 15
    when_worse: Literal["hold", "warn"] = "hold"


class ModelPolicy(_Section):
    """What a model must reach to be registered."""

    levels: tuple[float, ...] = (0.68, 0.90, 0.95)
    min_rpiq: Annotated[float, Field(ge=0.0)] = 1.5
    margin: Annotated[float, Field(gt=0.0)] = 0.10
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    when_cannot_tell: Literal["hold", "warn"] = "hold"
    strata: StrataPolicy = StrataPolicy()
    bootstrap: Annotated[int, Field(ge=200)] = 2000
    bootstrap_seed: int = 20260101


class Policy(_Section):
    """The thresholds of every gate."""

    quality: QualityPolicy = QualityPolicy()
    drift: DriftPolicy = DriftPolicy()
    model: ModelPolicy = ModelPolicy()


class Storage(_Section):
    """Where things are, by URL (a folder, or s3://, gs://, abfs:// through fsspec); ``{home}`` is SOIL_HOME."""

    landing: str = "{home}/landing"
    data: str = "{home}/data"
    reports: str = "{home}/reports"
    mlflow_tracking: str = "sqlite:///{home}/mlflow.db"
    mlflow_artifacts: str = "{home}/mlflow-artifacts"


class Landing(_Section):
    """When a batch in the landing zone counts as whole, and whether the zone holds every batch there is."""

    quiet_seconds: Annotated[float, Field(ge=0.0)] = 5.0
    #: In a repository a batch whose folder is gone is gone; a landing zone may be cleared of what was copied.
    complete: bool = False


class Alerts(_Section):
    """Who is told of what; the addresses hold secrets and stand in SOIL_ALERT_URLS, never in a file."""

    warnings: bool = True
    cooldown_minutes: Annotated[float, Field(ge=0.0)] = 360.0
    ui_url: str = ""

    def addresses(self, env: Mapping[str, str] | None = None) -> list[str]:
        """Return the apprise addresses of ``SOIL_ALERT_URLS``, separated by blanks."""
        return (os.environ if env is None else env).get("SOIL_ALERT_URLS", "").split()


class Release(_Section):
    """Where live traffic is decided: the manifest repository, and what a preview must show before a switch."""

    repository: str = ""
    branch: str = "main"
    overlays: dict[str, str] = {"staging": "overlays/staging", "production": "overlays/production"}
    previews: dict[str, str] = {}
    wait_seconds: Annotated[float, Field(ge=0.0)] = 600.0
    probes: Annotated[int, Field(ge=1, le=1000)] = 50
    max_error_rate: Share = 0.0
    max_p95_ms: Positive = 500.0
    max_difference: Annotated[float, Field(ge=0.0, le=0.01)] = 1e-6

    def manifests(self, env: Mapping[str, str] | None = None) -> str:
        """Return the manifest repository's address: ``SOIL_MANIFESTS``, else the one set; empty for none."""
        return (os.environ if env is None else env).get("SOIL_MANIFESTS", "") or self.repository


class Settings(_Section):
    """Everything that can be set, checked."""

    properties: Annotated[tuple[str, ...], Field(min_length=1)] = ("clay", "ph", "soc")
    categories: tuple[str, ...] = ("instrument", "lab", "soil_class", "land_use", "depth_class")
    replicates: Literal["average", "keep"] = "average"
    reference: str = "nrw115-reference"
    benchmark: str = "nrw115-benchmark"
    axis: AxisSettings = AxisSettings()
    catalogue: dict[PropertyName, PropertySettings] = Field(default_factory=dict)
    recipe: RecipeSettings = RecipeSettings()
    policy: Policy = Policy()
    landing: Landing = Landing()
    alerts: Alerts = Alerts()
    watch: Watch = Watch()
    branches: BranchDeployments = BranchDeployments()
    release: Release = Release()
    service: Service = Service()
    storage: Storage = Storage()
    deployment: Deployment = "local"
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")] = "unnamed"
    home: str = ".soil"
    #: What main is, written by ``soil baseline``: its models to compare with; empty where the registry tells.
    baseline: str = ""

    def url(self, kind: Place) -> str:
        """Return a storage URL; a branch deployment writes below a prefix of its own."""
        main = self.main_url(kind)
        own = self.deployment == "branch" and kind in ("data", "reports")
        return f"{main}/branches/{self.branch}" if own else main

    def main_url(self, kind: Place) -> str:
        """Return a storage URL of the deployment that branches read from, with ``{home}`` filled in."""
        return str(getattr(self.storage, kind)).format(home=self.home).rstrip("/")

    @property
    def experiment(self) -> str:
        """The MLflow experiment that runs are logged to."""
        return f"soil-branch-{self.branch}" if self.deployment == "branch" else f"soil-{self.deployment}"

    def model_name(self, prop: str) -> str:
        """Return the registered model's name, for example ``soil-clay``."""
        return f"soil-{prop.replace('_', '-')}"


def deployment_from_environment(env: dict[str, str]) -> Deployment:
    """Tell the deployment from ``SOIL_DEPLOYMENT``, else from what Dagster+ sets, else ``local``."""
    named = env.get("SOIL_DEPLOYMENT", "")
    if named in ("local", "branch", "staging", "production"):
        return named  # type: ignore[return-value]
    if named:
        raise BadInput(
            "unknown deployment",
            column="SOIL_DEPLOYMENT",
            found=named,
            expected="local, branch, staging or production",
        )
    if env.get("DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT") == "1":
        return "branch"
    return "production" if env.get("DAGSTER_CLOUD_DEPLOYMENT_NAME") == "prod" else "local"


def branch_from_environment(env: Mapping[str, str]) -> str:
    """Return the branch deployment's name, from ``SOIL_BRANCH`` or what Dagster+ sets, as one path segment.

    Raises
    ------
    BadInput
        When neither is set: two branches without a name would write over each other.
    """
    named = env.get("SOIL_BRANCH") or env.get("DAGSTER_CLOUD_GIT_BRANCH", "")
    if not named:
        raise BadInput(
            "a branch deployment needs a name",
            column="SOIL_BRANCH",
            found="nothing",
            expected="a name such as pr-12",
            mend="set SOIL_BRANCH, by which its storage and its MLflow experiment are told from others'",
        )
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", named).strip("-._")[:50]
    if safe == named:
        return safe
    return f"{safe or 'branch'}-{hashlib.sha256(named.encode()).hexdigest()[:8]}"  # a/b and a-b stay apart


def load_settings(path: str | Path | None = None, env: dict[str, str] | None = None) -> Settings:
    """Read ``soil.yaml`` (``path``, else ``$SOIL_CONFIG``, else ./soil.yaml, else defaults).

    Raises
    ------
    BadInput
        Naming the file, the key, what was found, what is expected and how to mend it.
    """
    env = dict(os.environ) if env is None else env
    chosen = path or env.get("SOIL_CONFIG")
    file = Path(chosen) if chosen else Path("soil.yaml")
    raw: dict[str, Any] = {}
    if file.exists():
        raw = read_yaml(file)
    elif chosen:
        raise BadInput(
            "no such configuration file", file=str(file), mend="check the path, or unset SOIL_CONFIG"
        )
    raw.setdefault("deployment", deployment_from_environment(env))
    if env.get("SOIL_LANDING"):
        raw["storage"] = {**(raw.get("storage") or {}), "landing": env["SOIL_LANDING"]}
        raw["landing"] = {"quiet_seconds": 0, "complete": True}  # a checkout is whole as it is
    if env.get("SOIL_BASELINE"):
        # After a merge main reads this file whole: what is main's here must be valid in it all the same.
        validated({key: value for key, value in raw.items() if key != "deployment"}, str(file))
        raw = _judged_by_main(raw, Path(env["SOIL_BASELINE"]))
    if raw["deployment"] == "branch" and "branch" not in raw:
        raw["branch"] = branch_from_environment(env)
    raw["home"] = str(Path(env.get("SOIL_HOME") or raw.get("home", ".soil")).absolute())
    return validated(raw, str(file))


def validated(raw: Mapping[str, Any], file: str) -> Settings:
    """Settings of raw keys; BadInput names the first key of ``file`` that does not fit."""
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise _explain(error, file) from None


#: Keys of ``soil.yaml`` that a change proposes; every other key that judges is main's.
_OF_THE_CHANGE = ("properties", "axis", "replicates", "recipe", "catalogue")
#: Keys that say where this process works; they judge nothing.
_OF_THE_PLACE = ("storage", "landing", "deployment", "branch", "home", "baseline")
#: Keys of a property that are limits: policy, although they stand in the catalogue.
LIMITS = ("hard", "warning", "typical", "zero")


def _judged_by_main(raw: dict[str, Any], baseline: Path) -> dict[str, Any]:
    """Return the change's settings with everything that judges taken from main's.

    Raises
    ------
    BadInput
        When the baseline does not hold main's settings although main has some.
    """
    raw = {**raw, "baseline": str(baseline)}
    file = baseline / "soil.yaml"
    if not file.exists():  # ``soil baseline`` has established that main has no settings yet
        return raw
    main = read_yaml(file)
    own = {key: raw[key] for key in (*_OF_THE_CHANGE, *_OF_THE_PLACE) if key in raw}
    judging = {key: value for key, value in main.items() if key not in (*_OF_THE_CHANGE, *_OF_THE_PLACE)}
    merged = {**judging, **own, "catalogue": main_limits(raw.get("catalogue"), main.get("catalogue"))}
    for kind in ("reference", "benchmark"):
        name = str(main.get(kind) or Settings.model_fields[kind].default)
        definition = baseline / "frozen" / f"{Path(name).stem}.yaml"
        merged[kind] = str(definition) if definition.exists() else name
    return merged


def main_limits(own: Any, main: Any) -> dict[str, Any]:
    """Return a change's catalogue with main's limits: a looser limit lets through what main would quarantine.

    A property that main's catalogue states has main's limits, one that only the package knows has the package's, and
    one that is new has its own.
    """
    from soil_assets.spectra.properties import BUILT_IN

    own, main = (dict(c) if isinstance(c, Mapping) else {} for c in (own, main))
    merged: dict[str, Any] = {}
    for name, stated in own.items():
        if not isinstance(stated, Mapping):
            merged[name] = stated
            continue
        limits = {key: stated[key] for key in LIMITS if key in stated}
        if isinstance(main.get(name), Mapping):
            limits = {key: main[name][key] for key in LIMITS if key in main[name]}
        elif name in BUILT_IN:
            limits = {key: _plain_limit(getattr(BUILT_IN[name], key)) for key in LIMITS}
        merged[name] = {**{k: v for k, v in stated.items() if k not in LIMITS}, **limits}
    for name, stated in main.items():
        # Main's entry counts even where the change dropped it, as long as the property is the same one.
        merged.setdefault(name, stated)
    return merged


def _plain_limit(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def read_yaml(file: Path) -> dict[str, Any]:
    """Raw keys of a ``soil.yaml``, in the form of this version; BadInput when it is no mapping in YAML."""
    import yaml

    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput("not valid YAML", file=str(file), found=str(error).replace("\n", " ")[:300]) from None
    if not isinstance(raw, dict):
        raise BadInput("soil.yaml must be a mapping of keys", file=str(file), found=type(raw).__name__)
    return separate_recipe(raw, str(file))


def _explain(error: ValidationError, file: str) -> BadInput:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "(top level)"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        section = _section_at(first["loc"][:-1])
        return BadInput(
            f"unknown key{more}",
            file=file,
            column=key,
            found=repr(first["input"]),
            expected="one of " + ", ".join(section.model_fields),
            mend="mend the spelling or remove the key",
        )
    return BadInput(
        f"not a valid value{more}",
        file=file,
        column=key,
        found=repr(first["input"]),
        expected=first["msg"].removeprefix("Value error, "),
        mend=f"set {key} to such a value, or remove it to take the default",
    )


def _section_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    section: type[BaseModel] = Settings
    for part in location:
        info = section.model_fields.get(str(part))
        annotation = info.annotation if info else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            section = annotation
        elif str(part) not in section.model_fields and section is Settings:
            section = PropertySettings
    return section
