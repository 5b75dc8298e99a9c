"""The judge of pull requests against artifacts that were tampered with, and against changes of every kind.

Both are tests of the repository; the bench tries more of the mutations than a test run can, and counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

from soil_assets.benchmarks.harness import Figure
from soil_assets.errors import BadInput

_ROOT = Path(__file__).resolve().parents[2]
_TABLE = "soil_assets_tests/pull_request/test_unscripted_changes.py"
#: Of the mutations every third is tried, beginning elsewhere in every case.
_STEP = 3


def run() -> list[Figure]:
    """Try the mutations of every case that does not pass, and run the table of changes."""
    if not (_ROOT / _TABLE).is_file():
        raise BadInput(
            "this bench needs a checkout", file=str(_ROOT / _TABLE), expected="the tests beside the package"
        )
    sys.path.insert(0, str(_ROOT))
    from soil_assets_tests.pull_request.mutations import CASES

    with ProcessPoolExecutor(max_workers=2) as pool:
        counts = list(pool.map(_tried_and_green, CASES, range(len(CASES))))
    tried, green = (sum(column) for column in zip(*counts, strict=True))
    rows, right = _table()
    note = f"single mutations of {len(CASES)} artifacts that do not pass: removed, emptied, NaN, exchanged"
    return [
        Figure("artifact_mutations", tried, "mutations", tried, None, note),
        Figure("artifact_mutations_green", green, "mutations", tried, None, note),
        Figure(
            "unscripted_right",
            right / rows,
            "share",
            rows,
            None,
            "changes through the real chain and decision",
        ),
    ]


def _tried_and_green(name: str, offset: int) -> tuple[int, int]:
    sys.path.insert(0, str(_ROOT))
    from soil_assets.reporting.decision import build
    from soil_assets_tests.pull_request.mutations import case, mutations

    change, state = case(name)
    report = json.loads(json.dumps(build(change).data))
    states = [state(text()) for _, text in islice(mutations(report), offset, None, _STEP)]
    return len(states), states.count("success")


def _table() -> tuple[int, int]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            _TABLE,
            f"--junitxml={file}",
        ]
        env = {**os.environ, "UNSCRIPTED_CHANGES": "all"}
        done = subprocess.run(command, cwd=_ROOT, env=env, capture_output=True, text=True, check=False)
        if not file.is_file():
            raise BadInput("the table of changes could not be run", found=done.stdout[-500:])
        suites = ElementTree.parse(file).getroot().iter("testsuite")  # noqa: S314  # written by pytest just now
        totals = [{k: int(s.get(k, 0)) for k in ("tests", "failures", "errors", "skipped")} for s in suites]
    rows = sum(t["tests"] for t in totals)
    if not rows:
        raise BadInput("the table of changes is empty", found=done.stdout[-500:])
    return rows, rows - sum(t["failures"] + t["errors"] + t["skipped"] for t in totals)
