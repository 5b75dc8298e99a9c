"""Many clients that send, take and leave as they like, and one that only wants an answer."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
import socket
import struct
import time
from collections.abc import Iterator

import pytest
import requests

from soil_assets.serving.keys import add_key
from soil_assets.serving.places import Arrivals, Lane, Places
from soil_assets.serving.refusals import Refused
from soil_assets_tests.serving.registered import PATIENCE, Client, Home, body, client_of

JSON = {"content-type": "application/json"}
FILE = {"content-type": "application/octet-stream"}
TABLE = b"sample_id,1000,1002\n" + b"a,1,2\n" * 200


def head(length: int, kind: str = "application/json", query: str = "", **more: str) -> bytes:
    lines = [
        f"POST /v1/predict{query} HTTP/1.1",
        "Host: x",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
    ]
    return "\r\n".join([*lines, *(f"{n}: {v}" for n, v in more.items()), "", ""]).encode()


@contextlib.contextmanager
def crowd(client: Client, n: int, *sent: bytes) -> Iterator[list[socket.socket]]:
    """``n`` connections that have sent something and go on waiting."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(n):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE))
            for part in sent:
                one.sendall(part)
            clients.append(one)
        yield clients


def leave(client: socket.socket) -> None:
    """Leave at once: a reset, as when a program is killed."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def wait_for(holds: object, client: Client) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, len(client.service.places)
        time.sleep(0.02)


def answered(client: Client) -> bool:
    return client.post("/v1/predict", json=body([60])).status_code == 200


CHUNKED = (
    b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
CROWDS = {
    "bodies of one byte": (head(2_000) + b"{",),
    "large bodies of one byte": (head(1 << 20) + b"{",),
    "chunks without an end": (CHUNKED + b"1\r\n{\r\n",),
    "a gzip that stalls": (
        head(5_000, **{"Content-Encoding": "gzip"}) + gzip.compress(bytes(1 << 20))[:200],
    ),
    "files of one byte": (head(5_000, "application/octet-stream") + b"x",),
    "whole files": (head(len(TABLE), "text/csv", "?filename=a.csv") + TABLE,),
}


@pytest.mark.parametrize("name", CROWDS)
def test_one_client_is_answered_beside_a_crowd(home: Home, name: str) -> None:
    with (
        client_of(home, max_requests=8, max_per_client=8) as client,
        crowd(client, 64, *CROWDS[name]) as clients,
    ):
        for _ in range(5):
            assert answered(client)
        assert client.get("/healthz").status_code == 200
        for one in clients:
            leave(one)
        wait_for(lambda: len(client.service.places) == 0 and client.service._active == 0, client)
        assert client.service.bodies._budget == client.service.settings.memory_mb << 20


def test_files_of_clients_that_left_are_not_read(home: Home) -> None:
    with client_of(home, file_seconds=3600.0, answer_seconds=3600.0) as client:
        slow = b"sample_id," + b",".join(b"%d" % i for i in range(1000, 2000)) + b"\n" + b"a,1\n" * 100_000
        sent = head(len(slow), "text/csv", "?filename=a.csv") + slow
        with crowd(client, 16, sent) as clients:
            wait_for(lambda: len(client.service.places) > 0, client)
            for one in clients:
                leave(one)
            wait_for(lambda: len(client.service.places) == 0, client)
        reply = client.post("/v1/predict?filename=a.csv", data=TABLE, headers=FILE)
        assert reply.status_code in (200, 422)


def test_work_for_a_client_that_left_is_given_up(home: Home) -> None:
    large = json.dumps(body([60]) | {"spectra": body([60])["spectra"] * 10_000}).encode()
    with (
        client_of(home, answer_seconds=3600.0) as client,
        crowd(client, 4, head(len(large)) + large) as clients,
    ):
        wait_for(lambda: len(client.service.places) > 0, client)
        for one in clients:
            leave(one)
        wait_for(lambda: len(client.service.places) == 0, client)
        assert client.service.bodies._budget == client.service.settings.memory_mb << 20
        [count] = re.findall(r'soil_requests_total.*status="400".* ([0-9.]+)', client.get("/metrics").text)
        assert float(count) >= 2  # one may have been answered while the others sent


def test_a_client_has_its_share_of_places(home: Home) -> None:
    keys = home.folder / "keys.yaml"
    first, second = add_key(keys, "lab-a", None), add_key(keys, "lab-b", None)
    with client_of(home, keys=str(keys), max_per_client=2) as client:
        waiting = head(1 << 20, Authorization=f"Bearer {first}") + b"{"
        with crowd(client, 2, waiting):
            wait_for(lambda: len(client.service.places) == 2, client)
            url = "/v1/predict?filename=a.csv"
            reply = client.post(url, data=TABLE, headers={**FILE, "authorization": f"Bearer {first}"})
            assert reply.status_code == 503
            assert "this client" in reply.json()["error"]["what"]
            assert (
                client.post(
                    url, data=TABLE, headers={**FILE, "authorization": f"Bearer {second}"}
                ).status_code
                != 503
            )


def test_who_sends_slowly_is_told_so_and_who_goes_on_may(home: Home) -> None:
    content = json.dumps(body([60])).encode()
    with client_of(home, body_seconds=1.0) as client:
        with crowd(client, 1, head(len(content)) + content[:10]) as [slow]:
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:  # a byte now and then is no progress
                with contextlib.suppress(OSError):
                    slow.sendall(content[10:11])
                slow.settimeout(0.1)
                try:
                    said = slow.recv(200)
                    break
                except TimeoutError:
                    continue
            assert said.startswith(b"HTTP/1.1 408")
        large = json.dumps(body([60]) | {"spectra": body([60])["spectra"] * 3_000}).encode()
        with crowd(client, 1, head(len(large))) as [steady]:
            for start in range(0, len(large), 2 << 20):
                steady.sendall(large[start : start + (2 << 20)])
                time.sleep(0.4)
            assert steady.recv(12) == b"HTTP/1.1 200"


def test_who_does_not_take_an_answer_is_cut_off(home: Home) -> None:
    large = json.dumps(body([60]) | {"spectra": body([60])["spectra"] * 9_000}).encode()
    with client_of(home, body_seconds=1.0) as client, contextlib.ExitStack() as stack:
        one = stack.enter_context(socket.socket())
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.settimeout(PATIENCE)
        one.connect(("127.0.0.1", client.port))
        one.sendall(head(len(large)) + large)
        wait_for(lambda: len(client.service.places) == 1, client)
        wait_for(lambda: len(client.service.places) == 0, client)
        taken = b""
        with contextlib.suppress(ConnectionError):
            while more := one.recv(1 << 16):
                taken += more
        whole = int(taken.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert len(taken) < whole


@pytest.mark.parametrize(
    "sent",
    [
        [b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (1 << 20)],
        [b"GET /healthz HTTP/1.1\r\nHost: x\r\n"] + [b"X: 1\r\n" * 10_000] * 10,
        [CHUNKED + b"0\r\n"]
        + [b"X: " + b"x" * 60_000 + b"\r\n"] * 10,
        [CHUNKED]
        + [b"1;" + b"x" * 60_000 + b"\r\n \r\n"] * 10,
    ],
    ids=["long header", "many headers", "trailers", "extensions"],
)  # fmt: skip
def test_what_is_not_body_is_bounded_too(home: Home, sent: list[bytes]) -> None:
    with (
        client_of(home) as client,
        socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE) as one,
    ):
        answer = b""
        with contextlib.suppress(ConnectionError):
            for part in sent:
                one.sendall(part)
            while more := one.recv(1 << 16):
                answer += more
        assert not answer or answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
        assert answered(client)


# -- turns ------------------------------------------------------------------------------------------------


def test_clients_take_turns() -> None:
    async def story() -> list[str]:
        lane, order = Lane(), []

        async def work(client: str) -> None:
            async with lane.turn(client):
                order.append(client)
                await asyncio.sleep(0)

        await asyncio.gather(*(work(c) for c in "aaaaaabbc"))
        assert not lane.busy
        return order

    assert "".join(asyncio.run(story())) == "aabcabaaa"


def test_a_turn_that_nobody_takes_goes_on() -> None:
    async def story() -> None:
        lane = Lane()

        async def work(client: str) -> str:
            async with lane.turn(client):
                return client

        async with lane.turn("x"):
            waiting = [asyncio.ensure_future(work(c)) for c in "aab"]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.sleep(0)
        waiting[2].cancel()  # as its turn comes, or before
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert done[1] == "a"
        assert not lane.busy

    asyncio.run(story())


def test_places_of_all_and_of_one() -> None:
    places = Places(3, 2)
    with places.place("a"), places.place("a"):
        with pytest.raises(Refused, match="this client"), places.place("a"):
            pass
        with places.place("b"), pytest.raises(Refused, match="too many requests"), places.place("c"):
            pass
    assert len(places) == 0


def test_the_longest_wait_makes_room() -> None:
    async def story() -> list[str]:
        arrivals, ends = Arrivals(2), []

        async def arrive(name: str) -> None:
            try:
                async with asyncio.timeout(3600) as patience:
                    with arrivals.place(patience):
                        await asyncio.sleep(0 if name == "whole" else 3600)
                        ends.append(name)
            except TimeoutError:
                ends.append(f"{name} is late")

        tasks = [asyncio.ensure_future(arrive(n)) for n in ("first", "second", "whole")]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        while len(ends) < 2:
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return ends

    assert sorted(asyncio.run(story())) == ["first is late", "whole"]


def test_an_address_counts_where_there_are_no_keys(home: Home) -> None:
    with client_of(home, max_per_client=1) as client, crowd(client, 1, head(1 << 20) + b"{"):
        wait_for(lambda: len(client.service.places) == 1, client)
        url = f"http://127.0.0.1:{client.port}/v1/predict?filename=a.csv"
        assert requests.post(url, data=TABLE, headers=FILE, timeout=PATIENCE).status_code == 503
