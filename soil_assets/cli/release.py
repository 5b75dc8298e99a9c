"""``soil release stage|test|switch|rollback|status``: traffic moves by commits in the manifest repository."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, GateFailed, say, show, show_json, show_table
from soil_assets.cli.registry import By, Links, Why, because, may_move
from soil_assets.config import Settings, load_settings
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.adapters.gitops import Releases, Step
    from soil_assets.delivery.slots import Slot, State
    from soil_assets.delivery.smoke import Smoke

release_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Blue/green releases by GitOps: commits in a manifest repository, which Argo CD syncs; nothing here talks to "
    "a cluster.\n\n"
    "stage puts versions on the idle colour, test compares its preview with the registry's models, switch sends live "
    "traffic there, rollback sends it back. SOIL_MANIFESTS (or release.repository) names the repository, "
    "SOIL_MANIFESTS_TOKEN lets in.",
)
app.add_typer(release_app, name="release")

Environment = Annotated[
    str, typer.Argument(help="Which overlay: staging, production, or another one of release.overlays.")
]
Preview = Annotated[
    str | None,
    typer.Option(envvar="SOIL_PREVIEW", help="Address of the preview Service (default: release.previews)."),
]
Release = Annotated[
    str,
    typer.Option(
        "--release",
        envvar="SOIL_RELEASE",
        help="Only this release, as `stage` named it; another one is refused.",
    ),
]


@release_app.command("stage")
def release_stage(
    environment: Environment,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VERSION; repeat for more. Default: for staging the versions at alias staging, for others "
            "what is live on staging."
        ),
    ] = None,
    image: Annotated[
        str, typer.Option(help="Image of the service; without it, the slot keeps its own.")
    ] = "",
    by: By = None,
    why: Why = None,
    link: Links = None,
    as_json: AsJson = False,
) -> None:
    """Put registered versions on the idle colour: one signed-off commit. Traffic is not touched.

    In a GitHub job the release's name becomes the step's output `release`.
    """
    from soil_assets.delivery.slots import model_versions

    settings = load_settings()
    releases = _releases(settings, environment)
    models = model_versions(model) if model else _default_models(settings, environment, releases)
    step = releases.stage(models, image, because(_who(by), why or _merged(), link))
    _give_output(step.state.live.release if step.what == "live already" else step.state.idle.release)
    _tell(environment, step, as_json)


@release_app.command("test")
def release_test(
    environment: Environment,
    preview: Preview = None,
    wait: Annotated[
        float | None,
        typer.Option(help="Seconds to wait for the preview (default: release.wait_seconds).", min=0),
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Wait until the preview reports the staged versions, then compare what it serves with the registry's models.

    Probe spectra of the benchmark are sent one by one and together: every value and interval must be the registry's, no
    request may fail, answers must be in time. The result is noted beside the release. Exit code 1 when it fails: the
    slot is left as it is for a look, and `switch` refuses it.
    """
    settings = load_settings()
    releases = _releases(settings, environment)
    slot = releases.state().idle
    if not slot.models or (slot.live_until and not slot.withdrawn):
        raise BadInput(
            "nothing is staged", found=f"{slot.colour} holds {slot.in_words()}, what was live before"
            if slot.models else f"{slot.colour} is empty", mend=f"run: soil release stage {environment}",
        )  # fmt: skip
    address = preview or settings.release.previews.get(environment, "")
    say(f"{slot.release}: {slot.in_words()} on {slot.colour}, at {address or 'no address'}")
    smoke = _smoke(settings, releases, slot, address, settings.release.wait_seconds if wait is None else wait)
    why = "smoke and parity test of the preview"
    step = releases.record(slot.release, smoke.passed, smoke.in_words(), because(_who(by), why, None))
    if as_json:
        show_json({"release": slot.release, "models": slot.models, "colour": slot.colour, **smoke.to_dict(),
                   "commit": step.commit})  # fmt: skip
    else:
        show(f"{'passed' if smoke.passed else 'FAILED'}: {smoke.in_words()}")
    if not smoke.passed:
        raise GateFailed(f"{slot.in_words()} on {slot.colour}: {'; '.join(smoke.reasons)}")


@release_app.command("switch")
def release_switch(
    environment: Environment,
    release: Release = "",
    by: By = None,
    why: Why = None,
    link: Links = None,
    as_json: AsJson = False,
) -> None:
    """Send live traffic to the tested release. In production the alias `production` follows once the commit landed.

    Exit code 1 when the release did not pass its test. Production needs --by (a person) and --why.
    """
    from soil_assets.adapters.gitops import NotReady

    releases = _releases(load_settings(), environment)
    try:
        step = releases.switch(because(_who(by, environment), why, link), release)
    except NotReady as no:
        if as_json:
            show_json({"error": {"what": str(no)}})
        raise GateFailed(str(no)) from None
    _tell(environment, step, as_json)


@release_app.command("rollback")
def release_rollback(
    environment: Environment, by: By = None, why: Why = None, link: Links = None, as_json: AsJson = False
) -> None:
    """Send live traffic back to the colour it came from, whose pods still run; the alias follows.

    Production needs --by (a person) and --why.
    """
    releases = _releases(load_settings(), environment)
    _tell(
        environment,
        releases.roll_back(because(_who(by, environment), why, link)),
        as_json,
    )


@release_app.command("status")
def release_status(environment: Environment = "production", as_json: AsJson = False) -> None:
    """Show both colours, which one is live, and whether the registry agrees.

    Exit code 1 when production's aliases are not where live traffic is, when live traffic goes to a colour without a
    version, or when the registry's history is not what this repository's commits say of it.
    """
    releases = _releases(load_settings(), environment, moving=False)
    state = releases.state()
    astray, altered = releases.followed(state), releases.objections()
    if as_json:
        show_json(
            {
                "environment": environment,
                "live": vars(state.live),
                "idle": vars(state.idle),
                "astray": astray,
                "objections": altered,
            }
        )
    else:
        _show_state(environment, state)
    if altered:
        raise GateFailed("; ".join(altered))
    if state.idle.models and not state.live.models and (state.idle.live_since or state.idle.live_until):
        raise GateFailed(
            f"live traffic goes to {state.live.colour}, which holds no version; {state.idle.in_words()} is on "
            f"{state.idle.colour}: soil release switch {environment}"
        )
    if astray:
        raise GateFailed(
            "; ".join(
                f"{n} {v} is live, alias production is at {at or 'no version'}"
                for n, (v, at) in astray.items()
            )
            + f"; mend with: soil release switch {environment}"
        )


def _releases(settings: Settings, environment: str, *, moving: bool = True) -> Releases:
    from soil_assets.cli.inputs import soil_of
    from soil_assets.defs.releases import releases_of

    if moving:
        may_move(settings)
    found: Releases = releases_of(settings, soil_of(settings).registry, environment)
    return found


def _default_models(settings: Settings, environment: str, releases: Releases) -> dict[str, int]:
    """Return what a release is of when nobody says: what the gates staged, or what runs on staging."""
    if environment == "staging":
        names = [settings.model_name(p) for p in settings.properties]
        found = {n: v.version for n in names if (v := releases.registry.version_at(n, "staging"))}
        if not found:
            raise BadInput(
                "no version is at alias staging",
                found=", ".join(names),
                mend="let a model pass its gates first",
            )
        return found
    return dict(_releases(settings, "staging", moving=False).state().live.models)


def _smoke(settings: Settings, releases: Releases, slot: Slot, address: str, wait: float) -> Smoke:
    from soil_assets.adapters.preview import Preview, expected_figures
    from soil_assets.cli.inputs import batch_from
    from soil_assets.delivery.smoke import Limits, Smoke, judge

    preview = Preview(address, os.environ.get("SOIL_PREVIEW_KEY", ""))
    loaded = {n: releases.registry.load(f"models:/{n}/{v}")[0] for n, v in slot.models.items()}
    probes = batch_from(settings.benchmark, settings)
    probes = probes.take(list(range(min(len(probes), settings.release.probes))))
    expected: Mapping[str, Any] = {n: expected_figures(m, probes) for n, m in loaded.items()}
    seen = preview.wait_for(slot.models, wait, say)
    if not seen.ready:
        return Smoke(
            False,
            (f"after {seen.seconds:.0f} s the preview does not report {slot.in_words()}: {seen.words}",),
        )
    observed = preview.ask(probes, {n: m.property for n, m in loaded.items()}, slot.models)
    limits = settings.release
    return judge(expected, observed, Limits(limits.max_error_rate, limits.max_p95_ms, limits.max_difference))


def _who(by: str | None, environment: str = "") -> str:
    """Return who signs the commit off: the person named, else whoever the CI run is for, else this tool.

    Production's moves are answered for by a person who was named; nobody is made up for them.
    """
    actor = os.environ.get("GITHUB_ACTOR", "")
    known = f"{actor} <{actor}@users.noreply.github.com>" if actor else ""
    if by or environment == "production":
        return known if by and by == actor else by or ""
    return known or "soil release <soil-release@localhost>"


def _give_output(release: str) -> None:
    file = os.environ.get("GITHUB_OUTPUT", "")
    if file:
        with open(file, "a", encoding="utf-8") as stream:
            stream.write(f"release={release}\n")


def _merged() -> str:
    return "the versions passed every gate of their lineage"


def _tell(environment: str, step: Step, as_json: bool) -> None:
    if as_json:
        show_json({"environment": environment, **step.to_dict(), "release": step.state.idle.release})
        return
    show(f"{environment}: {step.what}" + (f" (commit {step.commit[:12]})" if step.commit else ""))
    for name, version in step.aliases.items():
        show(f"{name}: alias production is at version {version}")
    _show_state(environment, step.state)


def _show_state(environment: str, state: State) -> None:
    places: tuple[tuple[Literal["live", "idle"], Slot], ...] = (("live", state.live), ("idle", state.idle))
    rows = [
        (
            place, slot.colour, slot.in_words(), slot.release,
            " ".join(filter(None, (slot.test, slot.test_says))),
            (slot.live_since and f"live since {slot.live_since}") or (slot.withdrawn and f"withdrawn {slot.withdrawn}")
            or (slot.live_until and f"live until {slot.live_until}") or (slot.staged and f"staged {slot.staged}"),
        )
        for place, slot in places
    ]  # fmt: skip
    show_table(("", "colour", "versions", "release", "test", "since"), rows, environment)
