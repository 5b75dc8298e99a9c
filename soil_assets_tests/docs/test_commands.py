"""Every command of the documentation is run as it stands there, in a copy of this repository."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from soil_assets.cli import app
from soil_assets_tests.docs.pages import BIN, DOCS, Checkout, blocks, soil_words
from soil_assets_tests.warm import warm_soil, write_script

#: Run in this order in one checkout: each starts from the store that the first left.
LESSONS = (
    "tutorial/index.md",
    "tutorial/batch.md",
    "tutorial/release.md",
    *sorted(f"labs/{f.name}" for f in (DOCS / "labs").glob("*.md")),
    *sorted(f"how-to/{f.name}" for f in (DOCS / "how-to").glob("*.md")),
    "tutorial/pull-request.md",
)
PAGES = sorted(f.relative_to(DOCS).as_posix() for f in DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    if shutil.which("make") is None or shutil.which("git") is None:
        pytest.skip("no make or no git")
    made = Checkout.make(Path(tmp_path_factory.mktemp("reader")))
    script, end = warm_soil(made.folder, str(BIN / "soil"))
    write_script(made.folder / ".venv" / "bin" / "soil", script)
    assert made.run("tutorial/batch.md") == []
    yield made
    end()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", LESSONS)
def test_a_page_goes_as_it_says(checkout: Checkout, page: str) -> None:
    different = checkout.run(page)
    assert different == [], "\n".join(different)


def test_lessons_say_something() -> None:
    for page in LESSONS:
        assert [c for b in blocks(page) for c in b.commands], page


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page: str) -> None:
    """What is not run (it needs a cluster, or stands on a page beside the lessons) is at least no invention."""
    for block in blocks(page):
        for command in block.commands:
            words = soil_words(command)
            if words:
                _exists(page, words)


def _exists(page: str, words: list[str]) -> None:
    import typer.main

    command, rest = typer.main.get_command(app), words[1:]
    options = {o for p in command.params for o in p.opts} | {"--help"}
    while rest and (rest[0] in getattr(command, "commands", {}) or rest[0].startswith("-")):
        if rest[0].startswith("-"):
            assert rest[0] in options, f"{page}: {' '.join(words)}: no option {rest[0]}"
            rest = rest[1 if rest[0] in ("--help", "--repository") else 2 :]
            continue
        command, rest = command.commands[rest[0]], rest[1:]
        options = {o for p in command.params for o in p.opts} | {"--help"}
    assert not getattr(command, "commands", None) or "--help" in words, (
        f"{page}: {' '.join(words)}: no such command"
    )
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in options, f"{page}: {' '.join(words)}: no option {word}"


def test_an_invented_option_is_found() -> None:
    with pytest.raises(AssertionError, match="no option --nonsense"):
        _exists("page", ["soil", "registry", "list", "--nonsense"])
    with pytest.raises(AssertionError, match="no such command"):
        _exists("page", ["soil", "registry", "invent"])
    assert CliRunner().invoke(app, ["registry", "list", "--help"]).exit_code == 0
