"""What a candidate stands against in the report: main by its name, its figures, its past, and how to get it all again.

Belongs here: the words and figures of main, and the commit of this code. Does not belong here: the candidate's own
figures (``evidence``), bringing main (``pull_request.baseline``).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from soil_assets.config import Settings
from soil_assets.defs.resources import MAIN_ALIAS, Soil

if TYPE_CHECKING:
    pass


def main_in_words(soil: Soil, properties: list[str]) -> str:
    """Return what the candidate is compared with; empty where there is no main."""
    from soil_assets.defs import change

    settings = soil.settings
    known = change.baseline_of(settings)
    if known is not None:
        if known.source == "retrained":
            return f"{known.commit[:12]} (trained again)"
        versions = {p: m.get("version") for p, m in known.models.items()}
    else:
        versions = {p: _main_version(soil, p) for p in properties}
    return ", ".join(f"{settings.model_name(p)} version {v}" for p, v in versions.items() if v)


def reproduce(settings: Settings, properties: list[str]) -> tuple[str, ...]:
    """Return the commands that give this report again: of a checkout, or of an instance."""
    if settings.baseline:
        ours = commit().get("commit")
        checkout = (f"git checkout {ours}",) if ours else ()
        return (*checkout, "make setup", "soil baseline", "dvc repro", "soil --repository report")
    return (
        "soil run training_set",
        *(
            f"soil run trained_models,benchmark_evaluations,model_comparisons --partition {p}"
            for p in properties
        ),
        "soil report",
    )


def _main_version(soil: Soil, prop: str) -> int | None:
    found = soil.registry.version_at(soil.settings.model_name(prop), MAIN_ALIAS)
    return None if found is None else found.version


def commit() -> dict[str, str]:
    """Return the commit of the code in short, under the key ``commit``; nothing where there is none."""
    full = code_commit()
    return {"commit": full[:12]} if full else {}


def code_commit() -> str:
    """Return the commit of the code, from CI's environment or from git; empty where there is neither."""
    named = os.environ.get("GITHUB_SHA")
    if not named:
        try:
            asked = subprocess.run(
                ["git", "rev-parse", "HEAD"],
                cwd=Path(__file__).parent,
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        named = asked.stdout.strip()
    return named
