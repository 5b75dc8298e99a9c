"""Look for secrets in every tracked file: ``make secrets``, and before a commit.

``.ci/secrets.json`` holds what looks like one and is none, with the reason; only the SHA-1 of the text is kept there.
Lines may move: a finding is known by its file, its kind and that hash. ``--write`` adds what is found now; a person
writes its reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings, get_settings

ROOT = Path(__file__).resolve().parents[1]
KNOWN = ROOT / ".ci" / "secrets.json"
#: Locks are hashes throughout; pictures are no text; models and figures name their data by hash.
LEFT_OUT = (
    r"(^|/)requirements[^/]*\.txt$",
    r"\.(png|svg|parquet|xlsx|zip|gz|lock)$",
    r"(golden/.*|recipe_choice|\.ci/secrets)\.json$",
)
#: A checksum or a commit that says what it is.
LINES = (
    r"(sha256|md5|commit|checksum|recipes?)\b.{0,4}\s*[:=]",
    r"uses: \S+@[0-9a-f]{40}",
    r"image: .*@sha256:",
)
#: Tests make up passwords; what has the form of a real token or key is looked for there, too.
MADE_UP = ("Secret Keyword", "Basic Auth Credentials")

Finding = tuple[str, str, str, int]


def found_in(files: Iterable[str]) -> list[Finding]:
    """Return (file, kind, hash, line) of everything in the files that looks like a secret; nobody is asked about it."""
    with default_settings():
        heuristics = [p for p in get_settings().filters if p.startswith("detect_secrets.filters.heuristic")]
        get_settings().configure_filters(
            [
                *({"path": p} for p in (*heuristics, "detect_secrets.filters.allowlist.is_line_allowlisted")),
                {"path": "detect_secrets.filters.regex.should_exclude_file", "pattern": list(LEFT_OUT)},
                {"path": "detect_secrets.filters.regex.should_exclude_line", "pattern": list(LINES)},
            ]
        )
        return sorted(
            (name, secret.type, secret.secret_hash, secret.line_number)
            for name in files
            for secret in scan_file(name)
            if not (name.startswith("soil_assets_tests/") and secret.type in MADE_UP)
        )


def known() -> dict[tuple[str, str, str], str]:
    """Return what is known to be none, with its reason."""
    kept = json.loads(KNOWN.read_text(encoding="utf-8"))
    return {(k["file"], k["kind"], k["sha1"]): k["reason"] for k in kept}


def main(arguments: list[str]) -> int:
    """Look through the files named (else all tracked ones); return the exit code."""
    write = "--write" in arguments
    files = [a for a in arguments if a != "--write"] or tracked()
    reasons = known()
    found = found_in(files)
    new = [f for f in found if f[:3] not in reasons]
    if write:
        kept = {f[:3]: reasons.get(f[:3], "TODO: why this is no secret") for f in found}
        rows = [{"file": f, "kind": k, "sha1": h, "reason": r} for (f, k, h), r in sorted(kept.items())]
        KNOWN.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        return 0
    for name, kind, _, line in new:
        print(f"{name}:{line}: looks like a secret ({kind})")  # noqa: T201
    if new:
        print(  # noqa: T201
            "Take it out, and withdraw it if it was real: history keeps it. If it is none: "
            "python .ci/find_secrets.py --write, and say why in .ci/secrets.json."
        )
    return 1 if new else 0


def tracked() -> list[str]:
    """Return the tracked files, relative to the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
