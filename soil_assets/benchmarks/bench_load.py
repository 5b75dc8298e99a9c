"""What loading the code location costs: every step process pays it."""

from __future__ import annotations

import statistics
import sys

from soil_assets.benchmarks.harness import Figure, run_process

_OURS = "import time; t = time.perf_counter(); import soil_assets.definitions; print(time.perf_counter() - t)"
_PEER = "import time; t = time.perf_counter(); import dagster; print(time.perf_counter() - t)"
_FORBIDDEN = (
    "mlflow", "dagster_mlflow", "dagster_k8s", "great_expectations", "fastapi", "scipy", "sklearn", "chemotools",
    "matplotlib.pyplot", "pandas",
)  # fmt: skip
_PAIRS = 9


def run() -> list[Figure]:
    """Time ``import soil_assets.definitions`` against ``import dagster``, in pairs of fresh processes."""
    for code in (_OURS, _PEER):  # a first run of each fills the disk cache
        _seconds(code)
    pairs = [(_seconds(_OURS), _seconds(_PEER)) for _ in range(_PAIRS)]
    ratio = statistics.median(ours / peer for ours, peer in pairs)
    ours = statistics.median(o for o, _ in pairs)
    peer = statistics.median(p for _, p in pairs)
    note = f"median of {_PAIRS} pairs of fresh processes: {ours:.2f} s against {peer:.2f} s"
    return [
        Figure("definitions_import_ratio", ratio, "x", _PAIRS, "import dagster", note),
        Figure(
            "forbidden_modules_imported",
            float(len(_imported())),
            "modules",
            None,
            None,
            ", ".join(_imported()),
        ),
    ]


def _seconds(code: str) -> float:
    return float(run_process([sys.executable, "-c", code]).stdout.strip().splitlines()[-1])


def _imported() -> list[str]:
    code = (
        "import dagster, sys; before = set(sys.modules); import soil_assets.definitions; "
        f"print(','.join(m for m in {_FORBIDDEN!r} if m in sys.modules and m not in before))"
    )
    return [m for m in run_process([sys.executable, "-c", code]).stdout.strip().split(",") if m]
