"""A loopback TCP proxy that cuts connections in the middle of a call."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_CHUNK = 1024


class CuttingProxy:
    """Forwards to a port of this machine; cuts every connection after so many bytes, or refuses all.

    Parameters
    ----------
    budget : int or None
        Bytes, both ways together, that each new connection may carry before it is reset; None for no limit.
    """

    def __init__(self, target: int) -> None:
        self.target, self.budget = target, None  # type: int, int | None
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_all(self) -> None:
        """Reset every connection that is open now: poolers keep them."""
        for connection in list(self._open):
            self._reset(connection)

    def close(self) -> None:
        self._listener.close()
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                self._reset(client)
                continue
            left = [self.budget]
            self._open |= {client, server}
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(one, other, left), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, left: list[int | None]) -> None:
        with contextlib.suppress(OSError):
            while content := one.recv(_CHUNK):
                if left[0] is not None:
                    content = content[: left[0]]
                    left[0] -= len(content)
                other.sendall(content)
                if left[0] == 0:
                    self.cuts += 1
                    self._reset(one)
                    self._reset(other)
                    return
            other.shutdown(socket.SHUT_WR)

    def _reset(self, connection: socket.socket) -> None:
        """Close with a reset, as a peer that died does, not with a polite end."""
        self._open.discard(connection)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            connection.close()


@contextmanager
def cutting(target: int) -> Iterator[CuttingProxy]:
    """Run a proxy for the length of the block."""
    proxy = CuttingProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
