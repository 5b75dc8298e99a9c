"""The process: one event loop behind one port.

Belongs here: uvicorn's settings, and the patience with clients that are slow before their request has begun.
Does not belong here: the application.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import time
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from soil_assets.errors import BadInput
from soil_assets.serving.app import create_app
from soil_assets.serving.direct import Direct
from soil_assets.serving.service import PredictionService

#: Longest that a client may take to send a request's head, or to leave a connection without one.
HEAD_SECONDS = 10.0
_KEEP_ALIVE = 65  # longer than the 60 seconds after which common load balancers drop an idle connection
_DRAIN = 30
_LOOKS = 4
_RUBBISH = (50_000, 20, 20)
#: Bytes of a request beside its body: its head, and what a chunked body adds, which is six bytes to one at worst.
_MOST_OVERHEAD, _OVERHEAD_RATIO = 64 << 10, 8
_TOO_LARGE_HEAD = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself waits for ever: for a request's head, for a client that takes its answer.

    Nor does it bound what is not body: a head, a chunked body's sizes and trailers.
    """

    #: Longest that a client may take to take in what was sent.
    taking_seconds = HEAD_SECONDS
    _begun: float
    _look: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _fed = _content = _looks_closing = 0

    def connection_made(self, transport: Any) -> None:
        """Start to count."""
        super().connection_made(transport)
        self._begun = time.monotonic()
        self._look = self.loop.call_later(HEAD_SECONDS, self._still_here)

    def data_received(self, data: bytes) -> None:
        """Count from the first byte of every request."""
        if self._idle() and self._begun == 0.0:
            self._begun = time.monotonic()
        self._fed += len(data)
        super().data_received(data)
        if self._fed > _MOST_OVERHEAD + _OVERHEAD_RATIO * self._content:
            self._too_much()
        if not self._idle():
            self._begun = 0.0

    def on_message_begin(self) -> None:
        """Count what belongs to this request anew."""
        super().on_message_begin()
        self._fed = self._content = 0

    def on_body(self, body: bytes) -> None:
        """Count what is body."""
        self._content += len(body)
        super().on_body(body)

    def pause_writing(self) -> None:
        """Give the client its time to take what was sent."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.taking_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """See that it was taken."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to count."""
        for timer in (self._look, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _too_much(self) -> None:
        if not self.transport.is_closing():
            if self._idle():
                self.transport.write(_TOO_LARGE_HEAD)
                self.transport.close()
            else:
                self.transport.abort()

    def _still_here(self) -> None:
        if self.transport.is_closing():  # and waits for the client to take the rest of its answer
            self._looks_closing += 1
            if self._looks_closing > _LOOKS:
                self.transport.abort()
        elif self._idle() and self._begun and time.monotonic() - self._begun >= HEAD_SECONDS:
            self.transport.close()
        self._look = self.loop.call_later(HEAD_SECONDS / _LOOKS, self._still_here)


def configuration(service: PredictionService, operation_port: int = 0) -> uvicorn.Config:
    """Return uvicorn's settings around a service.

    Parameters
    ----------
    service : PredictionService
    operation_port : int
        Port on which figures and readiness answer instead; 0 for none.
    """
    patient = type("Patient", (PatientProtocol,), {"taking_seconds": service.settings.body_seconds})
    return uvicorn.Config(
        Direct(create_app(service, operation_port), service, operation_port),
        loop="auto",  # uvloop where there is one
        http=patient,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # nobody asks where a request is from
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_DRAIN,
    )


def serve(service: PredictionService, host: str, port: int) -> None:
    """Answer until the process is told to stop; requests under way are finished first.

    Raises
    ------
    BadInput
        When a port cannot be listened on.
    """
    ports = [port, *filter(None, [service.settings.operation_port])]
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(listening(host, one)) for one in ports]
        # Models and libraries stay for good: looking through them again for rubbish would only delay requests.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_RUBBISH)
        config = configuration(service, service.settings.operation_port)
        uvicorn.Server(config).run(sockets=sockets)


def listening(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address.

    Raises
    ------
    BadInput
        When it is taken, or is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.set_inheritable(False)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise BadInput(
            "cannot listen at this address",
            found=f"{host}:{port} ({error.strerror or error})",
            mend="take another --host or --port, or end what listens there",
        ) from None
    return bound
