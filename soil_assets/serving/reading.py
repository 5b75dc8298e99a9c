"""Uploaded files, read by the same readers as a landed batch, in a process of their own.

Belongs here: that process, and how a file goes there and spectra come back. A file that makes a reader loop, take
all memory or crash costs that process, never the service; and the service itself loads neither pandas nor any
format's reader. Does not belong here: formats (``spectra.readers``).

The two processes exchange lines of JSON and files in a folder of the request's own; nothing is pickled.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field

from soil_assets.errors import BadInput
from soil_assets.serving.incoming import Asked, Quantity, Scale, Wanted
from soil_assets.serving.lists import few_values
from soil_assets.serving.places import Lane
from soil_assets.serving.refusals import Refused, too_large
from soil_assets.serving.settings import Service
from soil_assets.spectra.axis import Axis

#: A fresh process after this many files: whatever a format's library leaks goes with the old one.
_FILES_A_PROCESS = 200
#: What a file may need beside the libraries that read it: so much, and so many times its size.
_ROOM, _ROOM_RATIO = 96 << 20, 12
#: The process ends, and its memory is free, when no file came for this long.
IDLE_SECONDS = 10.0
_LONGEST_LINE = 64 << 20
_ENVIRONMENT = (
    "PATH", "PYTHONPATH", "VIRTUAL_ENV", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SYSTEMROOT",
)  # fmt: skip
#: A semicolon that stands in no brackets.
#: Threads and allocators that take memory ahead would count as the file's.
_FRUGAL = {
    "ARROW_DEFAULT_MEMORY_POOL": "system", "ARROW_IO_THREADS": "1", "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2",
}  # fmt: skip
_BETWEEN_NOTES = re.compile(r"; (?![^(]*\))")


class FileQuery(Wanted):
    """What the query of an uploaded file may say; what the file states itself is never overridden."""

    model_config = ConfigDict(strict=False)

    filename: Annotated[str, Field(max_length=300)] = Field(
        default="upload", description="The file's name; its extension helps to tell text formats apart."
    )
    quantity: Quantity | None = Field(default=None, description="For a file that does not tell.")
    scale: Scale | None = Field(default=None, description="For a file that does not tell.")
    axis_unit: Literal["cm-1", "nm"] | None = Field(
        default=None, description="For a file that does not tell."
    )


class FileReader:
    """Reads uploaded files, one at a time, in a process that starts with the first one and ends when none come."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._process: asyncio.subprocess.Process | None = None
        self._left = 0
        self._lane = Lane()
        self._rest: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it: files are read one at a time."""
        async with self._lane.turn(client):
            yield

    async def read(self, content: bytes | bytearray, query: FileQuery) -> Asked:
        """Return the spectra of a file; the caller has a turn.

        Raises
        ------
        BadInput
            Whatever the readers say of the file.
        Refused
            422 when reading takes longer, or more memory, than a file may; 503 when there is no room for it.
        """
        async with self._awake():
            with _folder() as folder:
                file = Path(folder) / _plain_name(query.filename)
                await asyncio.to_thread(file.write_bytes, content)
                told = await self._ask(
                    {
                        "file": str(file),
                        "out": f"{folder}/.spectra.npz",
                        "most": self.service.max_spectra,
                        "values": self.service.max_values,
                        "bytes": self.service.max_file_mb << 20,
                        "stated": {n: getattr(query, n) for n in ("quantity", "scale", "axis_unit")},
                    }
                )
                if "error" in told:
                    facts = {**told["error"], "file": told["error"].get("file") or file.name}
                    status = facts.pop("status", 422)
                    raise Refused(status, facts.pop("what"), **facts)
                return await asyncio.to_thread(_asked, told, f"{folder}/.spectra.npz", query)

    @contextlib.asynccontextmanager
    async def _awake(self) -> AsyncIterator[None]:
        """Keep the process while a file is read; let it end some time after the last one."""
        if self._rest is not None:
            self._rest.cancel()
        try:
            yield
        finally:
            loop = asyncio.get_running_loop()
            self._rest = loop.call_later(IDLE_SECONDS, self._idle)

    def _idle(self) -> None:
        self._ending = asyncio.ensure_future(self._end())  # kept: a task that nobody holds may vanish

    async def _end(self) -> None:
        if not self._lane.busy:
            async with self._lane.turn(""):
                await self._stop()

    async def close(self) -> None:
        """End the process, for good."""
        if self._rest is not None:
            self._rest.cancel()
        await self._stop()

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _ask(self, task: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self.service.file_seconds):
                process = await self._running()
                assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  # both are pipes
                process.stdin.write(json.dumps(task).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
        except (TimeoutError, OSError, ValueError):
            line = b""
        except BaseException:
            await self._stop()  # a client that left must not get its file read to someone else
            raise
        if not line:
            await self._stop()
            raise Refused(
                422,
                "the file cannot be read in the time and memory that a file may take",
                file=Path(task["file"]).name,
                expected=f"at most {self.service.file_seconds:g} s",
                mend="send fewer spectra, or check that the file is whole",
            )
        return dict(json.loads(line))

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None or self._left <= 0:
            await self._stop()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "soil_assets.serving.reading",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_LONGEST_LINE,
                # What reads strangers' files gets none of the service's secrets.
                env={**{k: v for k, v in os.environ.items() if k in _ENVIRONMENT}, **_FRUGAL},
            )
            self._left = _FILES_A_PROCESS
        self._left -= 1
        return self._process


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """Give a folder of its own for an upload.

    Raises
    ------
    Refused
        503 when there is no room.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="soil-upload-", ignore_cleanup_errors=True) as folder:
            yield folder
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise no_room(error) from None


def no_room(error: OSError) -> Refused:
    """Return the refusal of an upload that cannot be put down."""
    return Refused(
        503,
        "there is no room for an uploaded file",
        found=error.strerror,
        mend="send it again later; the folder for temporary files must have room for service.max_file_mb",
        headers={"Retry-After": "10"},
    )


def _asked(told: dict[str, Any], file: str, query: FileQuery) -> Asked:
    with np.load(file, allow_pickle=False) as arrays:
        spectra, positions = arrays["spectra"], arrays["positions"]
    wanted = Wanted.model_construct(**{name: getattr(query, name) for name in Wanted.model_fields})
    axis = Axis(positions, told["unit"])
    return Asked(
        told["ids"],
        spectra,
        axis,
        told["quantity"],
        told["scale"],
        wanted,
        tuple(told["notes"]),
        told["rows"],
    )


def _plain_name(name: str) -> str:
    """Return the last part of a client's file name, of harmless letters; readers look at its extension only."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name.replace("\\", "/").rsplit("/", 1)[-1]).lstrip(".")
    return plain[-100:].lstrip(".") or "upload"


# -- the other process -----------------------------------------------------------------------------------


def _serve() -> None:
    """Read tasks from standard input until it ends; answer each with a line."""
    import warnings

    import soil_assets.spectra.read  # noqa: F401  # what is loaded now is not counted as the file's

    warnings.filterwarnings("ignore")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a library that prints must not write into the answers
    for line in sys.stdin.buffer:
        task = json.loads(line)
        _limit_memory(_ROOM + _ROOM_RATIO * os.path.getsize(task["file"]))
        told = json.dumps(_read(task), ensure_ascii=False)
        answers.write(
            told.encode("utf-8", "replace") + b"\n"
        )  # a damaged name has letters that no text can hold


def _limit_memory(more: int) -> None:
    """Let this process have so much more memory than it has now."""
    import resource

    with contextlib.suppress(OSError):  # no /proc: another system, where the service is tried and not run
        with open("/proc/self/statm", encoding="ascii") as sizes:
            pages = int(sizes.read().split()[5])  # data and stack, which is what RLIMIT_DATA bounds
        most = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _read(task: dict[str, Any]) -> dict[str, Any]:
    from soil_assets.spectra.read import read
    from soil_assets.spectra.readers.scans import Limits, ReadOptions

    limits = Limits(file_bytes=task["bytes"], total_bytes=task["bytes"], files=task["most"])
    try:
        batch = read(task["file"], ReadOptions(limits=limits, **task["stated"]))
        if not len(batch):
            raise BadInput("no spectra in it")
        if len(batch) > task["most"]:
            raise too_large("too many spectra in one file", str(len(batch)), f"at most {task['most']}")
        few_values(len(batch), batch.spectra.shape[1], task["values"])
        os.unlink(task["file"])  # its room is needed for what was read
        np.savez(task["out"], spectra=batch.spectra, positions=batch.axis.values)
    except Refused as error:
        return {"error": {**error.to_dict(), "status": error.status}}
    except BadInput as error:
        return {"error": {k: _told(v, task) for k, v in error.to_dict().items()}}
    except MemoryError:
        return {"error": {"what": "the file needs more memory to read than a file may take"}}
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        refusal = no_room(error)
        return {"error": {**refusal.to_dict(), "status": refusal.status}}
    samples = batch.samples
    ids = [
        str(i + 1) if name != name or name is None else str(name)[:200]
        for i, name in enumerate(samples["sample_id"])
    ]
    notes = [note for note in _BETWEEN_NOTES.split(str(batch.origin.get("inferred", ""))) if note]
    places = {"source_file": "file", "source_row": "row"}
    known = {new: samples[old].tolist() for old, new in places.items() if old in samples}
    rows = [
        {
            k: (int(v[i]) if k == "row" else str(v[i]))
            for k, v in known.items()
            if v[i] == v[i] and v[i] is not None
        }
        for i in range(len(batch))
    ]
    return {
        "ids": ids,
        "unit": batch.axis.unit,
        "quantity": batch.quantity,
        "scale": batch.scale,
        "notes": notes,
        "rows": rows,
    }


def _told(value: Any, task: dict[str, Any]) -> Any:
    """Leave this machine's folders out of what a client is told."""
    return value.replace(str(Path(task["file"]).parent) + "/", "") if isinstance(value, str) else value


if __name__ == "__main__":
    _serve()
