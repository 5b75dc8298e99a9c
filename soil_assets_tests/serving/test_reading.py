"""The process that reads uploaded files: there while files come, gone when none do, there again with the next."""

from __future__ import annotations

import asyncio

import pytest

from soil_assets.serving import reading
from soil_assets.serving.incoming import Asked
from soil_assets.serving.reading import FileQuery, FileReader
from soil_assets.serving.settings import Service

_BANDS = range(1000, 1100, 2)
TABLE = "\n".join(
    [",".join(["sample_id", *map(str, _BANDS)]), ",".join(["a", *(str(b / 5000) for b in _BANDS)])]
).encode()
QUERY = FileQuery(filename="a.csv", quantity="absorbance", axis_unit="cm-1")


async def read_in_turn(files: FileReader) -> Asked:
    async with files.turn("a client"):
        return await files.read(TABLE, QUERY)


async def gone(process: asyncio.subprocess.Process) -> None:
    await asyncio.wait_for(process.wait(), 60)


def test_it_ends_when_no_file_comes_and_starts_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "IDLE_SECONDS", 0.01)

    async def story() -> None:
        files = FileReader(Service())
        numbers = []
        for _ in range(2):
            asked = await files.read(TABLE, QUERY)
            assert asked.ids == ["a"]
            process = files._process
            assert process is not None
            numbers.append(process.pid)
            await gone(process)
        assert len(set(numbers)) == 2
        await files.close()

    asyncio.run(story())


def test_files_that_come_one_after_another_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "IDLE_SECONDS", 3600.0)

    async def story() -> None:
        files = FileReader(Service())
        answers = await asyncio.gather(*(read_in_turn(files) for _ in range(3)))
        assert [a.ids for a in answers] == [["a"]] * 3
        process = files._process
        assert process is not None
        assert files._left == reading._FILES_A_PROCESS - 3
        assert process.returncode is None
        await files.close()
        await gone(process)

    asyncio.run(story())


def test_a_file_under_way_is_not_cut_by_the_rest_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        files = FileReader(Service())
        await files.read(TABLE, QUERY)
        async with files.turn("a client"):  # the next one has begun just as the time of rest is over
            await files._end()
            assert files._process is not None
        await files._end()
        assert files._process is None

    asyncio.run(story())
