"""Reference pages written from the code: commands, settings, assets and checks, HTTP and Python interfaces.

Belongs here: what each page says. Does not belong here: MkDocs (``events.py``), and facts that the code does not tell.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("spectra", "quality", "drift", "modeling", "reporting", "delivery")
NOTE = "*This page is written from the code when the site is built.*\n"


def pages() -> dict[str, str]:
    """Return every generated page by its address in the site."""
    made = {
        "reference/commands.md": commands(),
        "reference/settings.md": settings(),
        "reference/assets.md": assets(),
        "reference/http.md": http(),
        "reference/api/index.md": api_index(),
    }
    return made | {f"reference/api/{room}.md": api(room) for room in ROOMS}


def cell(text: object) -> str:
    """Return text for one cell of a table."""
    plain = re.sub(r"\s+", " ", str(text)).strip()
    plain = plain.replace("|", "\\|")
    return plain if plain.startswith(("`", "[`")) else plain.replace("<", "&lt;")


def table(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ("---",) * len(header), *(tuple(cell(c) for c in row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def walk() -> Iterator[tuple[str, Any]]:
    """Yield every command of ``soil`` with its words, in the order of the help."""
    import typer.main

    from soil_assets.cli import app

    def below(command: Any, words: str) -> Iterator[tuple[str, Any]]:
        yield words, command
        for name, child in getattr(command, "commands", {}).items():
            yield from below(child, f"{words} {name}")

    return below(typer.main.get_command(app), "soil")


def commands() -> str:
    """Return the page of all commands with their arguments and options."""
    parts = ["# Commands\n", NOTE]
    for words, command in walk():
        parts.append(f"{'##' if words.count(' ') < 2 else '###'} `{words}`\n")
        parts.append(inspect.cleandoc(command.help or "") + "\n")
        rows = [(_parameter(p), p.help or "", _default(p)) for p in command.params if p.name != "help"]
        if rows:
            parts.append(table(("argument or option", "what it is", "default"), rows))
    return "\n".join(parts)


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{(parameter.metavar or parameter.name or '').upper().strip('[]')}`"
    return ", ".join(f"`{o}`" for o in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    value = parameter.default
    if callable(value) or "Sentinel" in type(value).__name__ or "Unset" in type(value).__name__:
        value = None
    if value in (None, "", (), [], False):
        return "required" if parameter.required else ""
    return f"`{value}`"


def settings() -> str:
    """Return the page of ``soil.yaml``: every key with its kind, default and meaning."""
    from soil_assets.config import Settings

    said = _said_in_soil_yaml()
    parts = [
        "# soil.yaml\n",
        NOTE,
        "Every key has a default; an unknown key is an error. Files are addressed by URL; `{home}` is `SOIL_HOME`.\n",
    ]
    sections: list[tuple[str, Any]] = [("", Settings)]
    while sections:
        path, model = sections.pop(0)
        parts.append(f"## {f'`{path}`' if path else 'Top level'}\n")
        parts.append((inspect.cleandoc(model.__doc__ or "")).split("\n\n")[0] + "\n")
        rows, remarks = [], _remarks(model)
        for name, field in model.model_fields.items():
            key = f"{path}.{name}" if path else name
            inner = _section(field.annotation)
            if inner is not None:
                sections.append((key if inner[1] else f"{key}.NAME", inner[0]))
                continue
            meaning = said.get(key) or field.description or remarks.get(name, "")
            rows.append((f"`{name}`", _kind(field.annotation), f"`{_shown(field)}`", meaning))
        if rows:
            parts.append(table(("key", "kind", "default", "meaning"), rows))
    return "\n".join(parts)


def _section(annotation: Any) -> tuple[Any, bool] | None:
    """Return a key's own section, and whether it is one section or one a name."""
    from typing import get_args

    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, True
    for part in get_args(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part, False
    return None


def _kind(annotation: Any) -> str:
    """Return the kind of a value in words."""
    from typing import Annotated, Literal, get_args, get_origin

    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(parts[0])
    if origin is Literal:
        return " or ".join(f"`{p}`" for p in parts)
    if origin is tuple:
        return f"list of {_kind(parts[0])}" if parts[-1] is ... else f"{len(parts)} x {_kind(parts[0])}"
    if origin is dict:
        return f"{_kind(parts[1])} by name"
    if parts:  # a union
        return " or ".join(_kind(p) for p in parts)
    words = {str: "text", float: "number", int: "whole number", bool: "true or false", type(None): "null"}
    return words.get(annotation, str(annotation))


def _shown(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return json.dumps(value, default=str) if isinstance(value, (bool, str, tuple, dict, list)) else str(value)


def _said_in_soil_yaml() -> dict[str, str]:
    """Return the comment beside each key of the repository's own soil.yaml, else the lines above it."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    above: list[str] = []
    for line in (ROOT / "soil.yaml").read_text(encoding="utf-8").splitlines():
        match = re.match(r"^( *)([a-z]\w*):(.*?)(?:\s#\s+(.*))?$", line)
        if match:
            path = [p for p in path if p[0] < len(match[1])] + [(len(match[1]), match[2])]
            said = match[4] or " ".join(above)
            if said:
                found[".".join(name for _, name in path)] = said
        above = [*above, line.lstrip("# ")] if line.startswith("#") else []
    return found


def _remarks(model: Any) -> dict[str, str]:
    """Return the comment lines above each field of a settings class."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.getsource(model).splitlines():
        comment = re.match(r"^    #:? (.*)", line)
        named = re.match(r"^    (\w+): .*?(?:  # (.*))?$", line)
        if comment:
            above.append(comment[1])
        elif named:
            found[named[1]] = " ".join([*above, named[2] or ""]).strip()
            above = []
        else:
            above = []
    return found


def assets() -> str:
    """Return the page of assets, checks, jobs, schedules and sensors."""
    from soil_assets.defs.build import build_definitions

    definitions = build_definitions()
    parts = ["# Assets and checks\n", NOTE, "A blocking check that fails stops what is downstream of it.\n"]
    checks: dict[str, list[tuple[object, ...]]] = {}
    groups: dict[str, list[Any]] = {}
    for asset in definitions.assets or []:
        for spec in getattr(asset, "specs", [asset]):
            groups.setdefault(spec.group_name or "", []).append(spec)
        for check in getattr(asset, "check_specs", ()):
            rows = checks.setdefault(check.asset_key.to_user_string(), [])
            rows.append((f"`{check.name}`", "blocks" if check.blocking else "warns", check.description or ""))
    for group, specs in groups.items():
        parts.append(f"## {group}\n")
        for spec in specs:
            name = spec.key.to_user_string()
            parts.append(f"### `{name}`\n\n{(spec.description or '').strip()}\n")
            parts.append(_facts(spec))
            if name in checks:
                parts.append(table(("check", "when it fails", "what it asks"), checks[name]))
    for title, those in (
        ("Jobs", definitions.jobs),
        ("Schedules", definitions.schedules),
        ("Sensors", definitions.sensors),
    ):
        parts.append(f"## {title}\n")
        rows = [(f"`{t.name}`", getattr(t, "cron_schedule", ""), t.description or "") for t in those or []]
        parts.append(table(("name", "when", "what it does"), rows))
    return "\n".join(parts)


def _facts(spec: Any) -> str:
    names = [f"`{d.asset_key.to_user_string()}`" for d in spec.deps]
    facts = [f"Made from: {', '.join(names)}." if names else "Made from no other asset."]
    if spec.partitions_def is not None:
        kind = type(spec.partitions_def).__name__
        one = getattr(spec.partitions_def, "name", None) or "property"
        facts.append(f"One a {one.replace('_', ' ')}." if kind.startswith(("Dynamic", "Static")) else kind)
    condition = spec.automation_condition
    if condition is not None and condition.get_label():
        facts.append(f"Made by itself {condition.get_label().replace('_', ' ')}.")
    return " ".join(facts) + "\n"


def http() -> str:
    """Return the page of the prediction service's HTTP interface, from its OpenAPI."""
    from typing import cast

    from soil_assets.serving.app import create_app

    return _http(create_app(cast("Any", None)).openapi())  # the description needs no models


def _http(document: dict[str, Any]) -> str:
    parts = ["# HTTP interface\n", NOTE, f"{document['info'].get('description', '')}\n"]
    for address, methods in document["paths"].items():
        for method, told in methods.items():
            parts.append(f"## `{method.upper()} {address}`\n\n{told.get('summary', '')}\n")
            parts.append(f"{told.get('description', '')}\n")
            rows = [
                (f"`{p['name']}`", p["in"], p.get("schema", {}).get("type", ""), p.get("description", ""))
                for p in told.get("parameters", [])
            ]
            if rows:
                parts.append(table(("parameter", "where", "kind", "what it is"), rows))
            answers = [(f"`{code}`", a.get("description", "")) for code, a in told["responses"].items()]
            parts.append(table(("answer", "means"), answers))
    parts.append("## Bodies\n")
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        required = schema.get("required", [])
        rows = [
            (
                f"`{k}`",
                v.get("type") or v.get("$ref", "").rpartition("/")[2] or "any",
                "yes" if k in required else "",
                v.get("description", ""),
            )
            for k, v in schema.get("properties", {}).items()
        ]
        if rows:
            parts.append(f"### {name}\n\n{schema.get('description', '')}\n")
            parts.append(table(("key", "kind", "required", "what it is"), rows))
    return "\n".join(parts)


def api_index() -> str:
    """Return the page of the pure rooms: what each module is for."""
    parts = [
        "# Python interface\n",
        NOTE,
        "These rooms are numbers and tables in, values out; they import neither Dagster nor MLflow.\n",
    ]
    for room in ROOMS:
        rows = [(f"[`{m}`]({room}.md#{m})", said) for m, said in modules(room)]
        parts.append(f"## {room}\n\n{table(('module', 'what it is for'), rows)}")
    return "\n".join(parts)


def api(room: str) -> str:
    """Return the page of a room, for mkdocstrings to fill."""
    body = "\n".join(f"::: {module}\n" for module, _ in modules(room))
    return f"# {room}\n\n{NOTE}\n{body}"


def modules(room: str) -> list[tuple[str, str]]:
    """Return the public modules of a room with the first line of their docstring."""
    import ast

    found = []
    for file in sorted((ROOT / "soil_assets" / room).rglob("*.py")):
        if file.name.startswith("_"):
            continue
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        found.append((name, said.partition("\n")[0]))
    return found
