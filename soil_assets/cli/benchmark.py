"""Commands on official benchmarks: ``soil benchmark list``, ``run``, ``looks``, ``choose``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from soil_assets.cli.app import app
from soil_assets.cli.console import AsJson, say, show, show_json, show_table
from soil_assets.config import load_settings

benchmark_app = typer.Typer(
    no_args_is_help=True,
    help="Official benchmarks: frozen sets with their split, published results, and a book of every look.\n\n"
    "Add one of your own: a YAML file with name, title, source, sha256, obtain, licence, citation, split, targets, "
    "fold (column) and, if there are some, group, sensors, published. Its path is its name here.",
    rich_markup_mode=None,
)
app.add_typer(benchmark_app, name="benchmark")


@benchmark_app.command("list")
def list_benchmarks(as_json: AsJson = False) -> None:
    """List the shipped benchmarks: what they are, whether their data are here, how often they were looked at."""
    from soil_assets.benchmarks.official import data_file, definition, names
    from soil_assets.benchmarks.run_one import book_of
    from soil_assets.errors import BadInput

    book = book_of(load_settings().home)
    rows: list[dict[str, Any]] = []
    for name in names():
        frozen = definition(name)
        try:
            if not frozen.source.startswith("limesoda:"):
                data_file(frozen.source, frozen.sha256)
            here = "yes"
        except BadInput as error:
            here = str(error)
        looks, recipes = book.count(name)
        rows.append(
            {
                "name": name, "title": frozen.title, "split": frozen.split, "licence": frozen.licence,
                "obtain": frozen.obtain, "data_here": here, "looks": looks, "recipes": recipes,
            }
        )  # fmt: skip
    if as_json:
        show_json({"benchmarks": rows})
    else:
        show_table(
            ("name", "title", "split", "data here", "looks", "recipes"),
            [(r["name"], r["title"], r["split"], r["data_here"], r["looks"], r["recipes"]) for r in rows],
        )


@benchmark_app.command("run")
def run_benchmark(
    name: Annotated[
        str, typer.Argument(help="A name of 'soil benchmark list', or a definition's YAML file.")
    ],
    learner: Annotated[str, typer.Option(help="Learner to score, such as stack, pls, svr, local.")] = "stack",
    only: Annotated[
        list[str] | None, typer.Option("--set", help="One set of a benchmark of several; may be repeated.")
    ] = None,
    also_random: Annotated[
        bool,
        typer.Option(
            "--also-random", help="Also split samples at random, and show the gap to the real split."
        ),
    ] = False,
    why: Annotated[
        str, typer.Option(help="Why you look: it is written into the book.")
    ] = "soil benchmark run",
    as_json: AsJson = False,
) -> None:
    """Score a learner on a benchmark's own split, beside its published results; the look is written down.

    The stack's recipe for a set is the one that the other sets chose by inner results ('soil benchmark choose').
    """
    from soil_assets.benchmarks.run_one import book_of, run, summary

    book = book_of(load_settings().home)
    found = run(
        name,
        book,
        why,
        learner_name=learner,
        only=tuple(only or ()),
        also_random=also_random,
        report=lambda what: say(f"benchmark {name}: {what}"),
    )
    looks, recipes = book.count(found.frozen.name)
    if as_json:
        totals = {**summary(found), "looks": looks, "recipes_looked_with": recipes}
        show_json({"benchmark": found.frozen.name, "recipe": found.recipe, **totals, "rows": found.rows})
        return
    columns = list(dict.fromkeys(k for row in found.rows for k in row))
    show_table(columns, [[_cell(row.get(c)) for c in columns] for row in found.rows], found.frozen.title)
    totals = summary(found)
    show(f"{found.recipe}; split: {found.frozen.split}")
    if totals["with_published"]:
        show(
            f"better than published in {totals['wins']} of {totals['with_published']} tasks, "
            f"median RMSE ratio {totals['median_ratio']:.3f}"
        )
    show(f"looks at this benchmark on this machine: {looks}, with {recipes} recipe(s)")


@benchmark_app.command("looks")
def list_looks(as_json: AsJson = False) -> None:
    """Print the book: every look at test samples on this machine, and those of the recipe's makers."""
    from soil_assets.benchmarks.official import earlier_looks
    from soil_assets.benchmarks.run_one import book_of

    entries = book_of(load_settings().home).entries()
    if as_json:
        show_json({"looks": entries, "earlier_looks": earlier_looks()})
        return
    show_table(
        ("at", "task", "recipe", "why", "rmse"),
        [(e["at"], e["task"], e["recipe"][:12], e["why"], _cell(e["rmse"])) for e in entries],
    )
    show_table(
        ("variant tried while the recipe was made", "decision"),
        [(look["variant"], look["decision"]) for look in earlier_looks()],
    )


@benchmark_app.command("choose")
def choose_recipe(
    out: Annotated[Path, typer.Option(help="Where the record is written.")],
    as_json: AsJson = False,
) -> None:
    """Measure all variants of the stack's recipe by inner results and choose for every set without that set.

    Takes some twenty minutes. The shipped record is soil_assets/benchmarks/recipe_choice.json.
    """
    from soil_assets.benchmarks.recipe_choice import choose, measure, write

    results = measure(report=lambda what: say(f"choosing: {what}"))
    write(results, out)
    best, scores = choose(results, "")
    if as_json:
        show_json({"chosen_from_all": best, "mean_log_ratio_to_plain": scores, "record": str(out)})
    else:
        show_table(("variant", "mean log ratio"), [(v, f"{s:+.4f}") for v, s in scores.items()])
        show(f"chosen from all sets: {best}; the choice for every set without it is in {out}")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
