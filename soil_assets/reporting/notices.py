"""Comments that are no decision report: documentation only, and a run that could not be decided."""

from __future__ import annotations

from soil_assets.reporting.escaping import markdown_text


def documentation_only(files: list[str]) -> str:
    """Comment on a change that touches documentation alone."""
    return f"**soil: documentation only** ({len(files)} files). No data, recipe or code of a gate changed."


def error_comment(reason: str, details: list[str], run_url: str = "") -> str:
    """Comment on a run that could not be decided."""
    lines = [f"## Soil models: could not be decided\n\n{markdown_text(reason)}"]
    lines += [f"- {markdown_text(d)}" for d in details]
    if run_url:
        lines.append(f"\nThe run: {run_url}")
    return "\n".join(lines)
