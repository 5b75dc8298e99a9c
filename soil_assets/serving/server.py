"""The process: one event loop behind one port.

Belongs here: uvicorn's settings, and the patience with clients that are slow before their request has begun.
Does not belong here: the application.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from soil_assets.serving.app import create_app
from soil_assets.serving.direct import Direct
from soil_assets.serving.service import PredictionService

#: Longest that a client may take to send a request's head, or to leave a connection without one.
HEAD_SECONDS = 10.0
_KEEP_ALIVE = 65  # longer than the 60 seconds after which common load balancers drop an idle connection
_DRAIN = 30
_RUBBISH = (50_000, 20, 20)


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself waits for ever for the first request of a connection."""

    _begun: float
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start to count."""
        super().connection_made(transport)
        self._begun = time.monotonic()
        self._look = self.loop.call_later(HEAD_SECONDS, self._still_here)

    def data_received(self, data: bytes) -> None:
        """Count from the first byte of every request."""
        if self._idle() and self._begun == 0.0:
            self._begun = time.monotonic()
        super().data_received(data)
        if not self._idle():
            self._begun = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to count."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _still_here(self) -> None:
        if self._idle() and self._begun and time.monotonic() - self._begun >= HEAD_SECONDS:
            self.transport.close()
            return
        self._look = self.loop.call_later(HEAD_SECONDS / 4, self._still_here)


def configuration(service: PredictionService, host: str, port: int) -> uvicorn.Config:
    """Return uvicorn's settings around a service."""
    return uvicorn.Config(
        Direct(create_app(service), service),
        host=host,
        port=port,
        loop="auto",  # uvloop where there is one
        http=PatientProtocol,
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
    """Answer until the process is told to stop; requests under way are finished first."""
    # Models and libraries stay for good: looking through them again for rubbish would only delay requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_RUBBISH)
    uvicorn.Server(configuration(service, host, port)).run()
