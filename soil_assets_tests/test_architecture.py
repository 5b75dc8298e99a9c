"""The walls of the house, each as a test."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "soil_assets"
PURE = ("spectra", "quality", "drift", "modeling", "reporting", "delivery")
FORBIDDEN_IN_PURE = {
    "dagster",
    "dagster_mlflow",
    "dagster_k8s",
    "mlflow",
    "great_expectations",
    "fastapi",
    "typer",
    "soil_assets.defs",
    "soil_assets.adapters",
    "soil_assets.cli",
    "soil_assets.serving",
    "soil_assets.demo",
    "soil_assets.benchmarks",
}
#: Which rooms a pure room may look into; nothing looks back at its callers.
MAY_USE = {
    "spectra": set(),
    "quality": {"spectra"},
    "modeling": {"spectra"},
    "drift": {"spectra", "modeling"},
    "reporting": {"spectra", "quality", "drift", "modeling"},
    "delivery": set(),
}
HEAVY = (
    "mlflow",
    "dagster_mlflow",
    "dagster_k8s",
    "great_expectations",
    "fastapi",
    "scipy",
    "sklearn",
    "chemotools",
    "matplotlib.pyplot",
    "pandas",
)


def test_tests_name_the_data_beside_a_checkout_in_one_place() -> None:
    """A test that reads them by another way would never run where they are absent."""
    tests = PACKAGE.parent / "soil_assets_tests"
    readers = {
        f"soil_assets.benchmarks.{f.stem}"
        for f in (PACKAGE / "benchmarks").glob("*.py")
        if re.search(r"""["'/.]shared["'/]""", f.read_text(encoding="utf-8"))
    }
    assert len(readers) >= 3
    while more := {
        f"soil_assets.benchmarks.{f.stem}"
        for f in (PACKAGE / "benchmarks").glob("*.py")
        if _imports(f) & readers and f"soil_assets.benchmarks.{f.stem}" not in readers
    }:
        readers |= more
    for file in tests.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if file.name in ("shared.py", "test_architecture.py"):
            continue
        beside = r"""["'](?:\.\./)*shared(?:/[^"']*)?["']"""
        assert not re.search(beside, text.replace('"shared: ', "")), f"{file}: use soil_assets_tests.shared"
        reads = "soil_assets_tests.shared" in _imports(file) or _imports(file) & readers
        if reads and file.name.startswith("test_"):
            assert "pytest.mark.shared" in text, f"{file}: pytestmark = pytest.mark.shared"


def _files(*rooms: str) -> list[Path]:
    return sorted(f for room in rooms for f in (PACKAGE / room).rglob("*.py"))


def _imports(file: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{a.name}" for a in node.names}
    return found


def _touches(imported: set[str], forbidden: set[str]) -> set[str]:
    return {i for i in imported for f in forbidden if i == f or i.startswith(f + ".")}


@pytest.mark.parametrize("file", _files(*PURE), ids=lambda f: f.relative_to(PACKAGE).as_posix())
def test_pure_rooms_import_no_tool_and_no_caller(file: Path) -> None:
    assert not _touches(_imports(file), FORBIDDEN_IN_PURE)


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_look_only_downwards(room: str) -> None:
    others = {f"soil_assets.{r}" for r in PURE if r != room and r not in MAY_USE[room]}
    through = {f.name: _touches(_imports(f), others) for f in _files(room)}
    assert not {name: t for name, t in through.items() if t}


def test_only_defs_imports_dagster() -> None:
    elsewhere = [
        f.relative_to(PACKAGE).as_posix()
        for f in PACKAGE.rglob("*.py")
        if not f.is_relative_to(PACKAGE / "defs") and _touches(_imports(f), {"dagster"})
    ]
    assert elsewhere == []


def test_adapters_import_their_tool_inside_functions() -> None:
    tools = {"great_expectations", "mlflow", "dvc", "git", "requests", "httpx", "ruamel"}
    for file in _files("adapters"):
        assert not _touches(_imports(file, top_level_only=True), tools), file.name


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    code = (
        "import dagster, sys; before = set(sys.modules); import soil_assets.definitions; "
        f"print(sorted(m for m in {HEAVY!r} if m in sys.modules and m not in before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("room", PURE)
def test_importing_a_pure_module_is_cheap(room: str) -> None:
    """Rooms are imported inside steps; what is heavy waits until it is used."""
    modules = [
        ".".join(f.relative_to(PACKAGE.parent).with_suffix("").parts)
        for f in _files(room)
        if f.stem != "__init__"
    ]
    heavy = tuple(h for h in HEAVY if h != "pandas")
    code = (
        f"import importlib, sys; [importlib.import_module(m) for m in {modules!r}]; "
        f"print(sorted(m for m in {heavy!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_assets_do_no_arithmetic() -> None:
    """An asset reads, calls, returns: no operator works on numbers there."""
    for file in _files("defs/assets"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.BinOp):
                assert isinstance(node.op, ast.BitOr), f"{file.name}:{node.lineno}"


def test_files_stay_small() -> None:
    long = {
        f.relative_to(PACKAGE).as_posix(): n
        for f in PACKAGE.rglob("*.py")
        if (n := len(f.read_text(encoding="utf-8").splitlines())) > 380
    }
    assert long == {}


def test_every_module_says_what_belongs_in_it() -> None:
    silent = [
        f.relative_to(PACKAGE).as_posix()
        for f in PACKAGE.rglob("*.py")
        if not ast.get_docstring(ast.parse(f.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_nothing_is_pickled() -> None:
    """The one unpickler builds arrays only (the embedded package stores its column names that way)."""
    using = [
        f.relative_to(PACKAGE).as_posix()
        for f in PACKAGE.rglob("*.py")
        if _touches(_imports(f), {"pickle", "joblib", "cloudpickle", "dill"})
        or "allow_pickle=True" in f.read_text(encoding="utf-8")
    ]
    assert using == ["spectra/embedded.py"]
