"""Commands on the policy: ``soil policy try``, ``soil policy table``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, GateFailed, say, show, show_json, show_table
from soil_assets.config import load_settings
from soil_assets.errors import BadInput

policy_app = typer.Typer(no_args_is_help=True, help="The thresholds of every gate.", rich_markup_mode=None)
app.add_typer(policy_app, name="policy")


@policy_app.command("try")
def policy_try(
    file: Annotated[Path, typer.Argument(help="A soil.yaml with the proposed policy.")],
    out: Annotated[Path | None, typer.Option(help="Write the trial as a page here (HTML).")] = None,
    strict: Annotated[
        bool, typer.Option(help="Exit code 1 when anything would have come out otherwise.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Judge past batches and decisions again under a proposed policy, and say what would have changed.

    Batches go through the real gates again, decisions are made again from their stored predictions; nothing is written
    to the instance.
    """
    import os

    from soil_assets.cli.inputs import soil_of
    from soil_assets.defs.build import assets_of, blocking_of
    from soil_assets.defs.evidence import decision_inputs
    from soil_assets.defs.rejudge import batch_judge, benchmark_of, past_decisions
    from soil_assets.defs.run import open_instance
    from soil_assets.reporting import html
    from soil_assets.reporting.decision_inputs import DecisionInputs
    from soil_assets.reporting.policy_trial import trial
    from soil_assets.reporting.rejudge import judged_again

    if not file.is_file():
        raise BadInput("no such file", file=str(file), expected="a soil.yaml with a policy")
    settings = load_settings()
    kept = {k: v for k, v in os.environ.items() if k != "SOIL_BASELINE"}
    proposed = load_settings(file, env=kept).policy
    soil = soil_of(settings)
    with open_instance() as instance:
        checks = blocking_of(assets_of(settings))
        past = past_decisions(instance, soil)
        now = decision_inputs(instance, soil, checks)
        if not past and not now.batches:
            raise BadInput(
                "nothing was judged on this instance yet",
                expected="batches and decision reports of the past",
                mend="soil demo makes some; or name the instance with SOIL_HOME",
            )
        past = past or [("now", now)]
        benchmark = benchmark_of(soil)
        judge_batch = batch_judge(instance, soil, checks, proposed)

        def again(facts: DecisionInputs, policy: Any) -> DecisionInputs:
            say(f"judging again: {facts.candidate}")
            fair = benchmark if _same_benchmark(facts, benchmark) else None
            judged = judged_again(facts, policy, fair)
            return judged.model_copy(update={"batches": tuple(judge_batch(b) for b in judged.batches)})

        tried = trial(past, proposed, again)
    if out is not None:
        out.write_text(html.render(tried.document()), encoding="utf-8")
    if as_json:
        show_json({**tried.to_dict(), "page": None if out is None else str(out)})
    else:
        facts = tried.to_dict()
        show("\n".join(facts["differences"]) or "the policies are equal")
        show(
            f"{facts['judged']} judgements of the past, {len(facts['changed'])} would have come out otherwise"
        )
        if tried.changed:
            show_table(
                ("report", "of", "was", "would be", "why"),
                [(j.report, j.subject, j.before, j.after, j.why) for j in tried.changed],
            )
    if strict and tried.changed:
        raise GateFailed(f"{len(tried.changed)} judgements would have come out otherwise")


@policy_app.command("table")
def policy_table(
    page: Annotated[
        Path | None, typer.Option(help="An SOP page whose criteria table is made anew in place.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the criteria for merging, with the values of soil.yaml in them; or renew them in the SOP page."""
    from soil_assets.reporting.sop import criteria_table, with_criteria

    policy = load_settings().policy
    table = criteria_table(policy)
    if page is not None:
        try:
            page.write_text(with_criteria(page.read_text(encoding="utf-8"), policy), encoding="utf-8")
        except ValueError as error:
            raise BadInput("not a page with a criteria table", file=str(page), found=str(error)) from None
    if as_json:
        show_json({"table": table, "page": None if page is None else str(page)})
    elif page is None:
        show(table.rstrip())
    else:
        show(f"renewed in {page}")


def _same_benchmark(facts: Any, benchmark: dict[str, dict[str, tuple[str, float]]]) -> bool:
    """Whether a past report was measured on the benchmark of today: its groups are known then."""
    from soil_assets.reporting.decision_figures import rows

    return all(
        {str(r.get("sample_id")) for r in rows(p.candidate)} == set(benchmark.get(p.name, ()))
        for p in facts.properties
        if p.candidate is not None
    )
