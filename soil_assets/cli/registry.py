"""Commands on the model registry: ``soil registry list|show|history|promote|rollback|settle``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, GateFailed, say, show, show_json, show_table
from soil_assets.config import Settings, load_settings
from soil_assets.errors import BadInput

if TYPE_CHECKING:
    from soil_assets.adapters.mlflow import RegisteredVersion, Registry
    from soil_assets.adapters.registry import Because
    from soil_assets.delivery.lifecycle import History

registry_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The model registry: which versions there are, where each stands, who moved it there and why.\n\n"
    "Aliases: staging (passed every gate), production (a person promoted it), previous (what a rollback goes back to).",
)
app.add_typer(registry_app, name="registry")

Name = Annotated[str, typer.Argument(help="Registered model, such as soil-clay.")]
By = Annotated[
    str | None,
    typer.Option(
        "--by", envvar="SOIL_BY", help='The person who answers for it: "Ada Lovelace <ada@example.org>".'
    ),
]
Why = Annotated[
    str | None,
    typer.Option("--why", envvar="SOIL_WHY", help="The reason, in a sentence; it is kept for good."),
]
Links = Annotated[
    list[str] | None,
    typer.Option("--link", help="Something to look up, NAME=URL; may be given several times."),
]


@registry_app.command("list")
def registry_list(as_json: AsJson = False) -> None:
    """List the registered versions with their aliases."""
    registry = _registry(load_settings())
    found = [v for name in registry.names() for v in registry.versions(name)]
    if as_json:
        show_json([_facts(v) for v in found])
    elif not found:
        show("nothing is registered yet")
    else:
        rows = [
            (v.name, v.version, ", ".join(v.aliases), _day(v.created), v.tags.get("soil.benchmark_rmse", ""))
            for v in found
        ]
        show_table(("model", "version", "aliases", "registered", "RMSE on the benchmark"), rows)


@registry_app.command("show")
def registry_show(
    name: Name,
    version: Annotated[
        str, typer.Argument(help="Version number or alias; without it, what is in production, else staging.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show one version: where it stands, what it was registered with, and its moves.

    Exit code 1 when an alias is not where the history says it should be.
    """
    from soil_assets.adapters import journal

    registry = _registry(load_settings())
    found = _chosen(registry, name, version)
    history = journal.read(registry, name)
    if history.objection:
        say(f"the history of {name} is not to be believed: {history.objection}")
    moves = [e for e in history.entries if found.version in (e.version, *e.places.values())]
    astray = _astray(registry, name, history)
    if as_json:
        show_json({**_facts(found), "moves": [_entry(e) for e in moves], "astray": astray})
    else:
        evidence = _facts(found)["evidence"] or {"checks": {}, "data": {}, "commit": "", "report": ""}
        failed = [c for c, passed in evidence["checks"].items() if not passed]
        checks = (
            f"{len(evidence['checks'])} blocking checks passed"
            if not failed
            else f"FAILED: {', '.join(failed)}"
        )
        rows = [
            ("aliases", ", ".join(found.aliases) or "none"),
            ("registered", _day(found.created)),
            ("evidence", checks if evidence["checks"] else "none: it cannot be promoted"),
            ("RMSE on the benchmark", found.tags.get("soil.benchmark_rmse", "")),
            ("code", evidence["commit"]),
            ("report", evidence["report"]),
            ("data", ", ".join(f"{k} {v[:12]}" for k, v in evidence["data"].items())),
            ("MLflow run", found.run_id),
        ]
        show_table(("", f"{found.name} version {found.version}"), rows)
        _show_moves(moves)
    if astray:
        raise GateFailed("; ".join(astray) + f"; mend with: soil registry settle {name}")


@registry_app.command("history")
def registry_history(name: Name, as_json: AsJson = False) -> None:
    """Show every move of a model's aliases, the newest last: who, when, why, on which evidence.

    Exit code 1 when an entry was altered or taken out after it was written.
    """
    from soil_assets.adapters import journal

    registry = _registry(load_settings())
    history = journal.read(registry, name)
    if not history.entries and name not in registry.names():
        registry.version(name, 0)  # says which models there are
    if as_json:
        show_json(
            {
                "name": name,
                "places": history.places,
                "entries": [_entry(e) for e in history.entries],
                "void": [_entry(e) for e in history.void],
                "broken": list(history.broken),
                "objection": history.objection,
            }
        )
    else:
        _show_moves(history.entries)
        if history.void:
            say(f"{len(history.void)} entries came second to another writer's and do not count")
    if history.objection:
        raise GateFailed(f"the history of {name} is not to be believed: {history.objection}")


@registry_app.command("accept")
def registry_accept(
    name: Name, by: By = None, why: Why = None, link: Links = None, as_json: AsJson = False
) -> None:
    """Take an altered history as it is, once a person has found out why: an entry in their name, aliases stay.

    No alias moves while a history was altered, cut or lost.
    """
    from soil_assets.adapters.registry import accept

    settings = load_settings()
    may_move(settings)
    registry, anchors = _registry(settings), []
    if settings.release.manifests():
        from soil_assets.defs.releases import releases_of

        for environment in settings.release.overlays:
            anchors += releases_of(settings, registry, environment).anchors().get(name, [])
    history = accept(registry, name, because(by, why, link), anchors)
    if as_json:
        show_json({"name": name, "places": history.places, "entries": [_entry(e) for e in history.entries]})
    else:
        _show_moves(history.entries)


@registry_app.command("promote")
def registry_promote(
    name: Name,
    version: Annotated[int, typer.Argument(help="Version number; it must have been staged.")],
    by: By = None,
    why: Why = None,
    link: Links = None,
    as_json: AsJson = False,
) -> None:
    """Move production to a staged version; the version before becomes `previous`.

    Where a manifest repository is set, production moves by `soil release switch` instead.
    """
    from soil_assets.adapters.registry import promote

    settings = load_settings()
    may_move(settings)
    _not_by_release(settings)
    _moved(promote(_registry(settings), name, version, because(by, why, link)), as_json)


@registry_app.command("rollback")
def registry_rollback(
    name: Name, by: By = None, why: Why = None, link: Links = None, as_json: AsJson = False
) -> None:
    """Move production back to the version before.

    Where a manifest repository is set, production moves by `soil release rollback` instead.
    """
    from soil_assets.adapters.registry import roll_back

    settings = load_settings()
    may_move(settings)
    _not_by_release(settings)
    _moved(roll_back(_registry(settings), name, because(by, why, link)), as_json)


@registry_app.command("settle")
def registry_settle(name: Name, as_json: AsJson = False) -> None:
    """Move aliases to where the history says they are: after a crash, or a move made past it."""
    from soil_assets.adapters.registry import settle

    settings = load_settings()
    may_move(settings)
    registry = _registry(settings)
    registry.version(name, max((v.version for v in registry.versions(name)), default=0))
    changed = settle(registry, name)
    if as_json:
        show_json({"name": name, "moved": changed, "aliases": registry.aliases(name)})
    else:
        for alias, version in changed.items():
            show(f"{alias}: " + (f"version {version}" if version else "taken away"))
        show("every alias is where the history says" if not changed else f"{name} is settled")


def may_move(settings: Settings) -> None:
    """Refuse to move an alias from a branch deployment."""
    if settings.deployment == "branch":
        raise BadInput(
            "a branch deployment never moves an alias",
            column="SOIL_DEPLOYMENT",
            found="branch",
            expected="local, staging or production",
        )


def because(by: str | None, why: str | None, link: list[str] | None) -> Because:
    """Return who, why and the links from the command line and from CI's environment."""
    from soil_assets.adapters.registry import Because
    from soil_assets.cli.links import links_here

    links = links_here()
    for given in link or ():
        name, _, address = given.partition("=")
        if not name or not address.startswith(("https://", "http://")):
            raise BadInput("a link is NAME=URL", column="--link", found=given, expected="report=https://...")
        links[name] = address
    return Because(by or "", why or "", report=links.get("report", ""), links=links)


def _registry(settings: Settings) -> Registry:
    from soil_assets.cli.inputs import soil_of

    return soil_of(settings).registry


def _not_by_release(settings: Settings) -> None:
    if settings.release.manifests():
        raise BadInput(
            "production moves by a commit in the manifest repository",
            column="release.repository",
            found=settings.release.manifests(),
            mend="use: soil release switch production, or soil release rollback production",
        )


def _chosen(registry: Registry, name: str, version: str) -> RegisteredVersion:
    if version.isdigit():
        return registry.version(name, int(version))
    at = registry.aliases(name)
    wanted = [version.removeprefix("@")] if version else ["production", "staging"]
    for alias in wanted:
        if alias in at:
            return registry.version(name, at[alias])
    if version and registry.versions(name):
        known = ", ".join(f"{a} (version {v})" for a, v in at.items()) or "(none)"
        raise BadInput("no such alias", found=f"{name}@{wanted[0]}", expected=known)
    return registry.version(name, 0 if not registry.versions(name) else registry.versions(name)[0].version)


def _astray(registry: Registry, name: str, history: History) -> list[str]:
    if not history.entries:
        return []
    now, wanted = registry.aliases(name), history.places
    return [
        f"{alias} is at {'version ' + str(now[alias]) if alias in now else 'no version'}, "
        f"the history says {'version ' + str(wanted[alias]) if alias in wanted else 'none'}"
        for alias in ("staging", "production", "previous")
        if now.get(alias) != wanted.get(alias)
    ]


def _moved(version: RegisteredVersion, as_json: bool) -> None:
    if as_json:
        show_json(_facts(version))
    else:
        show(f"{version.name} version {version.version}: {', '.join(version.aliases)}")


def _facts(version: RegisteredVersion) -> dict[str, Any]:
    from soil_assets.adapters.registry import EVIDENCE_TAG, Evidence

    evidence = Evidence.of(version)
    return {
        "name": version.name,
        "version": version.version,
        "aliases": version.aliases,
        "run_id": version.run_id,
        "created": version.created,
        "tags": {k: v for k, v in version.tags.items() if k != EVIDENCE_TAG},
        "evidence": None
        if evidence is None
        else {
            "checks": dict(evidence.checks),
            "data": dict(evidence.data),
            "commit": evidence.commit,
            "report": evidence.report,
        },
    }


def _entry(entry: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(entry)


def _show_moves(entries: Any) -> None:
    if not entries:
        show("no moves yet")
        return
    rows = [
        (e.number, e.when[:16].replace("T", " "), e.action, e.version, e.who, e.why, e.commit[:12])
        for e in entries
    ]
    show_table(("entry", "when (UTC)", "what", "version", "who", "why", "commit"), rows)


def _day(milliseconds: int) -> str:
    from datetime import UTC

    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")
