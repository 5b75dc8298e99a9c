"""``POST /v1/predict`` from the server's hands to the service and back, past the framework's machinery.

Belongs here: the head of a request to predict, its answer or refusal as ASGI messages, what is written down of every
request. Does not belong here: the other routes and the description (``serving.app``), how a request is answered
(``serving.service``).

The framework's routing, its stacks of middleware and its request and response objects take longer than the answer
does. Its description of this route stays: ``serving.app`` declares it.
"""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING, Any

import orjson

from soil_assets.errors import BadInput
from soil_assets.serving.body import PROGRESS, Arriving, ClientLeft
from soil_assets.serving.refusals import Refused, facts_of, status_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from soil_assets.serving.service import PredictionService

PREDICT = "/v1/predict"
#: Of every answer.
EVERYWHERE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_JSON = (b"content-type", b"application/json")
_FAILED = "the service failed; its log says why"
_LEFT = "the client left before its request was answered"


class Direct:
    """Answers requests to predict; everything else goes on to the application.

    Parameters
    ----------
    app : ASGI application
        What answers everything else.
    service : PredictionService
    operation_port : int
        Requests to predict are not answered there.
    """

    def __init__(self, app: ASGIApp, service: PredictionService, operation_port: int = 0) -> None:
        self.app = app
        self.service = service
        self._operation_port = operation_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        mine = scope["type"] == "http" and scope["path"] == PREDICT and scope["method"] == "POST"
        if not mine or (self._operation_port and port_of(scope) == self._operation_port):
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = new_id()
        facts: dict[str, Any] = {}
        arriving = Arriving(scope, receive)
        status = 500
        try:
            with contextlib.ExitStack() as holding:
                status, headers, content = await self._answer(arriving, request_id, facts, holding)
                await send(
                    {
                        "type": "http.response.start",
                        "status": status,
                        "headers": [
                            (b"content-length", b"%d" % len(content)), _JSON, *headers, *EVERYWHERE,
                            (b"x-request-id", request_id.encode()),
                        ],
                    }
                )  # fmt: skip
                await _send_body(send, content)
        finally:
            account(self.service, "POST", PREDICT, status, request_id, facts, time.perf_counter() - began)

    async def _answer(
        self, arriving: Arriving, request_id: str, facts: dict[str, Any], holding: contextlib.ExitStack
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Return status, headers and content."""
        extra: dict[str, str] = {}
        try:
            authorise(self.service, arriving.header(b"authorization"), arriving.header(b"x-api-key"), facts)
            return 200, [], await self.service.predict(arriving, request_id, facts, holding)
        except BadInput as error:
            status, said = status_of(error), facts_of(error)
            extra = error.headers if isinstance(error, Refused) else {}
        except ClientLeft:
            status, said = 400, {"what": _LEFT}
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets JSON and the log its kind
            status, said = 500, {"what": _FAILED}
            facts["error"] = f"{type(error).__name__}: {error}"[:300]
        facts.setdefault("error", said["what"])
        if "read" not in facts and arriving.has_body:
            extra = {**extra, "connection": "close"}  # what is left of the body is not read
        headers = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in extra.items()]
        told = {"error": said, "request_id": request_id}
        return status, headers, orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY)


async def _send_body(send: Send, content: bytes) -> None:
    """Send content in pieces, so that a client that takes one is seen to take it."""
    if len(content) <= PROGRESS:
        await send({"type": "http.response.body", "body": content})
        return
    for start in range(0, len(content), PROGRESS):
        following = start + PROGRESS < len(content)
        piece = content[start : start + PROGRESS]
        await send({"type": "http.response.body", "body": piece, "more_body": following})


def port_of(scope: Scope) -> int:
    """Return the port that a request came in by."""
    return int((scope.get("server") or ("", 0))[1] or 0)


def new_id() -> str:
    """Return a name for a request; it is no secret."""
    return f"{random.getrandbits(64):016x}"


def authorise(service: PredictionService, bearer: str, key: str, facts: dict[str, Any]) -> None:
    """Check the key that a request offers in one of its two headers, and note whose it is.

    Raises
    ------
    Refused
        401.
    """
    if not service.keys.wanted:
        return
    scheme, _, offered = bearer.partition(" ")
    if name := service.keys.name_of(offered.strip() if scheme.lower() == "bearer" else key or None):
        facts["key"] = name


def account(
    service: PredictionService, method: str, route: str, status: int, request_id: str, facts: dict[str, Any],
    seconds: float,
) -> None:  # fmt: skip
    """Count a request and write its line of log."""
    service.figures.request(route, status, seconds)
    if route.startswith("/v1/") or status >= 400:
        service.tell(
            "request",
            {"id": request_id, "method": method, "route": route, "status": status,
             "ms": round(1e3 * seconds, 2), **facts},
        )  # fmt: skip
