"""Commands on the reference profile: ``soil reference show``, ``soil reference update``."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, say, show, show_json, show_table
from soil_assets.config import load_settings
from soil_assets.errors import BadInput

reference_app = typer.Typer(
    no_args_is_help=True, help="The profile that batches are compared with.", rich_markup_mode=None
)
app.add_typer(reference_app, name="reference")

_SHOWN = ("when", "who", "why", "fingerprint", "reference", "soils")


@reference_app.command("show")
def reference_show(as_json: AsJson = False) -> None:
    """Show every profile there was: who fitted it, when, why, of which reference; the last is in use."""
    from soil_assets.cli.inputs import soil_of
    from soil_assets.defs.reference_profile import records

    found = records(soil_of(load_settings()))
    if as_json:
        show_json(found)
    elif found:
        show_table(_SHOWN, [[r[k] for k in _SHOWN] for r in found], "Reference profiles, the last in use")
    else:
        show("no profile yet: the first batch through the drift gate fits one")


@reference_app.command("update")
def reference_update(
    why: Annotated[str, typer.Option(help="The reason, for those who read it later.")],
    who: Annotated[str, typer.Option(help="Your name (default: the account's).")] = "",
    judge: Annotated[
        bool, typer.Option("--judge", help="Judge every batch again with the new profile, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fit the profile of the golden reference anew, recorded with who, when and why.

    Nothing else ever replaces it: not a new batch, not a changed soil.yaml, not a merge. Verdicts reached with the old
    profile stay as they are until their batch is judged again (--judge, or soil run drift_reports --partition).
    Exit code 1 when, with --judge, a batch is held by the new profile.
    """
    from soil_assets.cli.inputs import soil_of
    from soil_assets.defs.build import build_definitions
    from soil_assets.defs.io import has_value, load_value
    from soil_assets.defs.reference_profile import refresh, report_to_dagster
    from soil_assets.defs.run import open_instance

    settings = load_settings()
    soil = soil_of(settings)
    if not has_value(soil.data, "reference_spectra"):
        raise BadInput(
            "the golden reference was not read yet",
            found="nothing",
            mend="soil run reference_spectra, then this again",
        )
    record = refresh(soil, load_value(soil.data, "reference_spectra"), who=who or getpass.getuser(), why=why)
    facts: dict[str, Any] = dict(record)
    with open_instance() as instance:
        report_to_dagster(instance, record)
        if judge:
            facts["judged"] = _judge_all(build_definitions(settings), instance)
    if as_json:
        show_json(facts)
    else:
        same = record["fingerprint"] == record["replaces"]
        show(
            f"profile {record['fingerprint']} of {record['soils']} soils is in use"
            + (": the same as before" if same else f", in place of {record['replaces'] or 'none'}")
        )
        for batch, verdict in facts.get("judged", {}).items():
            show(f"  {batch}: {verdict}")
    if "held" in facts.get("judged", {}).values():
        from soil_assets.cli.console import GateFailed

        raise GateFailed("a batch is held by the new profile")


def _judge_all(definitions: Any, instance: Any) -> dict[str, str]:
    """Judge every batch that came as far as the drift gate again; return what became of each."""
    from soil_assets.defs.partitions import BATCH
    from soil_assets.defs.run import run_selection
    from soil_assets.defs.verdicts import materialization

    outcome = {}
    for batch in sorted(instance.get_dynamic_partitions(BATCH)):
        if materialization(instance, "drift_reports", batch) is None:
            continue
        say(f"judging {batch}")
        run = run_selection(definitions, instance, "drift_reports", batch)
        outcome[batch] = "goes on" if run.success else ("held" if run.gate_failed else "its run failed")
    return outcome
