"""Mutated instrument files: whatever happens to a file, the readers give spectra or a reason.

Belongs here: mutations and the bookkeeping of what became of each case. Does not belong here: the readers.

Every case is seeded by its number, so a finding can be repeated. Cases run in child processes with bounded
address space; a child that hangs or dies is a finding of its own and does not end the bench.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soil_assets.benchmarks.harness import Figure, own_peak_bytes

if TYPE_CHECKING:
    from soil_assets.spectra.readers.source import Source

CASES = 20_000
#: A case that takes longer than this hangs, one that takes more memory than this is out of bounds.
MOST_SECONDS, MOST_BYTES = 2.0, 1 << 30
_CASES_A_CHILD = 1_000
_SEED = 20260101
_REAL_FILES, _LARGEST_REAL = Path("../shared/data/instrument_files"), 400_000


def run(cases: int = CASES) -> tuple[list[Figure], dict[str, Any]]:
    """Fuzz every format and return the three figures, and a table of what became of the cases by format."""
    findings: list[dict[str, Any]] = []
    outcomes: dict[str, dict[str, int]] = {}
    for first in range(0, cases, _CASES_A_CHILD):
        for record in _child(first, min(first + _CASES_A_CHILD, cases)):
            by_format = outcomes.setdefault(record["format"], {})
            by_format[record["outcome"]] = by_format.get(record["outcome"], 0) + 1
            if record["outcome"] in ("unhandled", "hang", "memory"):
                findings.append(record)
        print(f"fuzz: {min(first + _CASES_A_CHILD, cases)} of {cases}", file=sys.stderr)  # noqa: T201
    done = sum(sum(by_format.values()) for by_format in outcomes.values())
    unhandled = sum(f["outcome"] == "unhandled" for f in findings)
    note = f"seed {_SEED}, {len(outcomes)} files to start from"
    figures = [
        Figure("cases", done, "files", done, note=note),
        Figure("unhandled_exceptions", unhandled, "files", done),
        Figure("hangs", len(findings) - unhandled, "files", done, note="over 2 s or over 1 GB"),
    ]
    return figures, {"outcomes": outcomes, "findings": findings[:50]}


def mutate(raw: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Return ``raw`` damaged one to four times, as files get damaged or as an attacker would do it."""
    for _ in range(int(rng.integers(1, 5))):
        if not raw:
            return raw
        # Headers are where the damage is: half of all positions lie in the first kilobyte.
        reach = len(raw) if rng.random() < 0.5 else min(len(raw), 1024)
        at = int(rng.integers(0, reach))
        size = int(rng.integers(1, min(64, len(raw)) + 1))
        kind = int(rng.integers(0, 9))
        data = bytearray(raw)
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            for place in rng.integers(0, reach, 8):
                data[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 2:
            data[at : at + size] = rng.bytes(size)
        elif kind == 3:
            extreme = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\xc0\x7f")
            data[at : at + 4] = extreme[int(rng.integers(0, len(extreme)))]
        elif kind == 4:
            del data[at : at + size]
        elif kind == 5:
            data[at:at] = rng.bytes(size)
        elif kind == 6:
            data[at : at + size * 16] = data[:at][-size * 16 :]
        elif kind == 7:
            data = data[:at] + other[int(rng.integers(0, len(other))) :]
        else:
            words = (
                b"NaN",
                b"1e999",
                b"-",
                b"\n",
                b",",
                b'"',
                b"##",
                b";;;;",
                b"\xfe\xff",
                b"9" * 40,
                b"Z9999999",
            )
            data[at:at] = words[int(rng.integers(0, len(words)))]
        raw = bytes(data)
    return raw


def _child(first: int, last: int) -> Iterator[dict[str, Any]]:
    """Run cases in a child; when it dies or hangs, say so of the case it was at and go on after it."""
    while first < last:
        command = [sys.executable, "-m", "soil_assets.benchmarks.bench_fuzz", str(first), str(last)]
        patience = 60 + (last - first)
        seen: list[dict[str, Any]] = []
        died = "killed"
        try:
            finished = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
            output, died = finished.stdout, finished.stderr[-300:]
        except subprocess.TimeoutExpired as error:
            output = error.stdout.decode() if isinstance(error.stdout, bytes) else (error.stdout or "")
        for line in output.splitlines():
            record = json.loads(line)
            seen.append(record)
            yield record
        first = seen[-1]["case"] + 1 if seen else first
        if first < last:
            yield {"case": first, "format": "unknown", "outcome": "hang", "what": died}
            first += 1


def cases(first: int, last: int, limit_address_space: bool = True) -> None:
    """Run cases in this process and print one JSON line each."""
    import resource
    import warnings

    from soil_assets.errors import BadInput
    from soil_assets.spectra.readers.container import expand
    from soil_assets.spectra.readers.scans import Limits
    from soil_assets.spectra.readers.source import Source

    corpus = _corpus()
    _warm_up(corpus)
    warnings.simplefilter("error")  # a warning is something that nobody thought of
    if limit_address_space:
        resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
    for case in range(first, last):
        rng = np.random.default_rng([_SEED, case])
        name, raw = corpus[case % len(corpus)]
        damaged = mutate(raw, rng, corpus[int(rng.integers(0, len(corpus)))][1])
        # Processor seconds: a busy machine is no hang. (A case that sleeps for ever meets the parent's
        # patience.)
        before, start = own_peak_bytes(), time.process_time()
        outcome, what = "read", ""
        try:
            with expand(Source.of_bytes(damaged, name), Limits()) as found:
                for source in found:
                    _read(source)
        except BadInput:
            outcome = "refused"
        except BaseException as error:  # noqa: BLE001  (finding these is what the bench is for)
            outcome, what = "unhandled", f"{type(error).__name__}: {error}"[:200]
        if time.process_time() - start > MOST_SECONDS:
            outcome = "hang"
        elif own_peak_bytes() - before > MOST_BYTES:
            outcome = "memory"
        record = {"case": case, "format": name, "outcome": outcome, "what": what}
        print(json.dumps(record), flush=True)  # noqa: T201  (the parent reads it)


def _corpus() -> list[tuple[str, bytes]]:
    """Return a made file of every format, and real instruments' files where they are at hand."""
    from soil_assets.benchmarks.instrument_files import all_formats

    real = [
        p for p in sorted(_REAL_FILES.glob("*/*")) if p.is_file() and 0 < p.stat().st_size < _LARGEST_REAL
    ]
    return [*all_formats().items(), *((path.name, path.read_bytes()) for path in real)]


def _read(source: Source) -> None:
    from soil_assets.spectra.read import read_source
    from soil_assets.spectra.readers.assemble import check
    from soil_assets.spectra.readers.scans import ReadOptions, Scans

    options = ReadOptions()
    for piece in read_source(source, options):
        if isinstance(piece, Scans):
            check(piece, options)


def _warm_up(corpus: list[tuple[str, bytes]]) -> None:
    """Read every file once: imports and caches are not a case's memory."""
    from soil_assets.errors import BadInput
    from soil_assets.spectra.readers.container import expand
    from soil_assets.spectra.readers.scans import Limits
    from soil_assets.spectra.readers.source import Source

    for name, raw in corpus:
        with suppress(BadInput), expand(Source.of_bytes(raw, name), Limits()) as found:
            for source in found:
                _read(source)


if __name__ == "__main__":
    cases(int(sys.argv[1]), int(sys.argv[2]))
