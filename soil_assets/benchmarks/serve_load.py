"""Requests at a steady rate, from a process of their own.

Belongs here: the generator. Does not belong here: what is measured (``bench_serve``).

An open loop: request i is due at i / rate whatever became of those before it, and its latency counts from when it
was due if every connection was busy then; a service that stalls is charged for all that it kept waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit


class _Run:
    def __init__(self, rate: float, seconds: float) -> None:
        self.rate = rate
        self.seconds = seconds
        self.began = 0.0
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.first_seen: dict[str, float] = {}
        self._next = iter(range(int(rate * seconds)))

    def due(self) -> Iterator[float]:
        while not self.rate and time.perf_counter() < self.began + self.seconds:
            yield time.perf_counter()
        for i in self._next:
            yield self.began + i / self.rate


async def _connection(run: _Run, host: str, port: int, request: bytes, marks: list[bytes]) -> None:
    reader = writer = None
    for due in run.due():
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
            due = time.perf_counter()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection(host, port)
            assert reader is not None  # noqa: S101  # opened with the writer
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await asyncio.wait_for(reader.readexactly(length), 30)
            if not head.startswith(b"HTTP/1.1 200"):
                run.failures.append(head[:60].decode("latin-1"))
            for mark in marks:
                if mark.decode() not in run.first_seen and mark in body:
                    run.first_seen[mark.decode()] = time.time()
        except (OSError, asyncio.IncompleteReadError, TimeoutError, IndexError, ValueError) as error:
            run.failures.append(type(error).__name__)
            if writer is not None:
                writer.close()
            writer = None
        run.latencies.append(time.perf_counter() - due)
    if writer is not None:
        writer.close()


async def _generate(arguments: argparse.Namespace) -> dict[str, Any]:
    with open(arguments.body, "rb") as file:
        body = file.read()
    parts = urlsplit(arguments.url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    run = _Run(arguments.rate, arguments.seconds)
    run.began = time.perf_counter() + 0.2
    marks = [m.encode() for m in arguments.mark]
    where = parts.hostname or "127.0.0.1", parts.port or 80
    await asyncio.gather(
        *(_connection(run, *where, head.encode() + body, marks) for _ in range(arguments.connections))
    )
    return {"latencies": run.latencies, "failures": run.failures, "first_seen": run.first_seen}


def main() -> None:
    """Send at a rate and print latencies (seconds), failures, and when each marked text was first seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--body", required=True, help="file with the JSON to send")
    parser.add_argument(
        "--rate", type=float, required=True, help="requests per second; 0 for as many as are answered"
    )
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--mark", action="append", default=[], help="text to look for in answers")
    json.dump(asyncio.run(_generate(parser.parse_args())), sys.stdout)


if __name__ == "__main__":
    main()
