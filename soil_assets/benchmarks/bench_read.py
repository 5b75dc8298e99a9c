"""Reading speed and memory, each beside its peer in the same run.

Belongs here: the CSV and OPUS timings and the CSV's peak memory. Does not belong here: correctness (tests).
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from soil_assets.benchmarks.harness import Figure, run_process

ROWS, BANDS = 20_000, 1_701
_OPUS_FILES = 284
#: Real OPUS files lie beside the repository on the machines that have them.
_YAMSYS = Path("../shared/data/yamsys_mir_opus/opus")


def run() -> list[Figure]:
    """Measure and return the three figures."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "ossl_layout.csv"
        write_ossl_layout(table, ROWS)
        figures = [_csv_speed(table), _csv_memory(table)]
        table.unlink()
        return [*figures, _opus_speed(Path(folder))]


def write_ossl_layout(path: Path, rows: int) -> None:
    """Write real spectra, each row scaled and shifted a little, as a wide table with OSSL's column names."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    from soil_assets.spectra.axis import Axis
    from soil_assets.spectra.embedded import limesoda
    from soil_assets.spectra.harmonise import to_quantity

    field = to_quantity(limesoda("NRW.115"), "absorbance")
    axis = Axis.regular(600.0, 4000.0, 2.0, "cm-1")
    order = np.argsort(field.axis.values)
    real = np.stack([np.interp(axis.values, field.axis.values[order], row[order]) for row in field.spectra])
    rng = np.random.default_rng(1)
    pick = rng.integers(0, len(real), rows)
    spectra = np.round(real[pick] * rng.uniform(0.9, 1.1, (rows, 1)) + rng.normal(0, 0.001, (rows, 1)), 5)
    columns = {
        "dataset.code_ascii_txt": pa.array(["KSSL.SSL"] * rows),
        "id.layer_uuid_txt": pa.array([rng.bytes(16).hex() for _ in range(rows)]),
        "id.scan_local_c": pa.array([f"{i}XS01" for i in range(rows)]),
    } | {f"scan_mir.{p:g}_abs": pa.array(spectra[:, i]) for i, p in enumerate(axis.values)}
    arrow_csv.write_csv(pa.table(columns), path, arrow_csv.WriteOptions(quoting_style="needed"))


def _csv_speed(table: Path) -> Figure:
    import pandas as pd

    from soil_assets.spectra.read import read

    ours, peer = _alternate(lambda: read(table), lambda: pd.read_csv(table), 5)
    return Figure(
        "csv_speedup_vs_pandas", peer / ours, "x", 5, "pandas.read_csv",
        f"{ROWS} x {BANDS}, {table.stat().st_size / 2**20:.0f} MB; ours {ours:.2f} s, pandas {peer:.2f} s",
    )  # fmt: skip


def _csv_memory(table: Path) -> Figure:
    small = table.with_name("small.csv")
    with table.open("rb") as stream:
        small.write_bytes(b"".join(next(stream) for _ in range(20)))
    script = (
        "import json, sys; from soil_assets.benchmarks.harness import own_peak_bytes; "
        "from soil_assets.spectra.read import read; read(sys.argv[1]); before = own_peak_bytes(); "
        "batch = read(sys.argv[2]); print(json.dumps([before, own_peak_bytes(), batch.spectra.nbytes]))"
    )
    finished = run_process([sys.executable, "-c", script, str(small), str(table)])
    before, after, matrix = json.loads(finished.stdout)
    return Figure(
        "csv_memory_ratio", (after - before) / matrix, "x", 1, None,
        f"peak {(after - before) / 2**20:.0f} MB above the imported process, matrix {matrix / 2**20:.0f} MB",
    )  # fmt: skip


def _opus_speed(folder: Path) -> Figure:
    from brukeropus import read_opus

    from soil_assets.spectra.read import read

    if _YAMSYS.is_dir():
        files, kind = _YAMSYS, "yamsys"
    else:
        files, kind = _made_opus(folder / "opus"), "made from LimeSoDa spectra"
    paths = [str(path) for path in sorted(files.iterdir())]

    def peer() -> None:
        for path in paths:
            read_opus(path)

    ours, bare = _alternate(lambda: read(files), peer, 9)
    note = f"{len(paths)} files ({kind}); ours {1e3 * ours:.0f} ms, bare loop {1e3 * bare:.0f} ms"
    return Figure("opus_ratio_vs_brukeropus", ours / bare, "x", 9, "brukeropus.read_opus in a loop", note)


def _made_opus(folder: Path) -> Path:
    from soil_assets.benchmarks.instrument_files import opus, real_batch

    folder.mkdir()
    batch = real_batch()
    for number in range(_OPUS_FILES):
        y = batch.spectra[number % len(batch)]
        content = opus(y, 3799.0, 549.6, uncompensated=y + np.float32(0.01))
        (folder / f"soil_{number // 3}.{number % 3}").write_bytes(content)
    return folder


def _alternate(ours: Callable[[], object], peer: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the median seconds of both, run in turns so that both meet the same machine."""
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        for call, record in zip((ours, peer), times, strict=True):
            start = time.perf_counter()
            call()
            if repeat:  # the first round warms caches
                record.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])
