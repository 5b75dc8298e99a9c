"""Ask an advisory service about every pin of every lock: ``make audit``.

Exit code 0: no known weakness (or the service cannot be reached, which is said), 1: a weakness, or no answer on GitHub.
``.ci/audit-accepted.txt`` accepts a weakness until a day, with a reason.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = (
    "requirements-dev.txt",
    "requirements-cloud.txt",
    "deploy/docker/requirements.txt",
    ".ci/requirements-sbom.txt",
    ".github/requirements-dagster-cloud.txt",
)
SERVICE = "https://api.osv.dev/v1/query"
ACCEPTED = ROOT / ".ci" / "audit-accepted.txt"


def accepted(file: Path, today: datetime.date) -> list[str]:
    """Return the ids that are accepted today; each line is an id, ``until`` a day, and a reason."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.split(maxsplit=3)
        if len(parts) < 4 or parts[1] != "until":
            sys.exit(f"{file.name}: {line!r}: expected ID until YYYY-MM-DD REASON")
        if datetime.date.fromisoformat(parts[2]) >= today:
            found.append(parts[0])
    return found


def reachable(service: str) -> bool:
    """Whether the service answers at all, whatever it says."""
    try:
        urllib.request.urlopen(urllib.request.Request(service, data=b"{}"), timeout=10).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        return error.code < 500 and error.code not in (403, 407)  # a proxy's no is not the service's
    except OSError:
        return False
    return True


def main(locks: list[str]) -> int:
    """Audit the locks; return the exit code."""
    service = os.environ.get("SOIL_ADVISORIES", SERVICE)
    if not reachable(service):
        required = os.environ.get("GITHUB_ACTIONS") == "true"
        word = "FAILED" if required else "SKIPPED"
        print(f"audit {word}: the advisory service cannot be reached; nothing was audited")  # noqa: T201
        return 1 if required else 0
    ignored = accepted(Path(os.environ.get("SOIL_AUDIT_ACCEPTED", ACCEPTED)), datetime.date.today())
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--progress-spinner", "off"]
    command += ["--vulnerability-service", "osv", "--osv-url", service]
    command += [f"--requirement={lock}" for lock in locks] + [f"--ignore-vuln={i}" for i in ignored]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(LOCKS)))
