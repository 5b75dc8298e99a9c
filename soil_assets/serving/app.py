"""The HTTP face: routes and their description, headers, errors as JSON.

Belongs here: what HTTP needs. Does not belong here: requests to predict (``serving.direct``) and how they are
answered (``serving.service``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soil_assets.errors import BadInput
from soil_assets.serving.answers import ErrorResponse, ModelsResponse, PredictResponse, model_facts
from soil_assets.serving.describe import REFUSALS, openapi
from soil_assets.serving.direct import EVERYWHERE, PREDICT, account, authorise, new_id, port_of
from soil_assets.serving.refusals import Refused, facts_of, status_of
from soil_assets.serving.service import PredictionService

_JSON = "application/json"
#: Answers on every port; and what may have a port of its own.
_HEALTH, _OPERATION = "/healthz", ("/metrics", "/readyz")
_PAGE = {
    "app.js": "text/javascript",
    "plot.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}
#: The page loads nothing from anywhere else and cannot be framed.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def create_app(service: PredictionService, operation_port: int = 0) -> FastAPI:
    """Return the application around a service; the service is closed when the application ends.

    Parameters
    ----------
    service : PredictionService
    operation_port : int
        Port on which figures and readiness answer, and nothing but the probes; 0 for the port of everything.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.live.watch(service.settings.poll_seconds)
        yield
        await service.close()

    app = FastAPI(
        title="soil_assets prediction service",
        version=version("soil_assets"),
        description="Soil properties from spectra: value, interval, and an honest 'outside what this model knows'. "
        "Send spectra as JSON with their own axis, or an instrument's file (OPUS, ASD, SPC, SPA, JCAMP-DX, CSV, Excel, "
        "Parquet, a zip of them) as it is.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's documentation pages load scripts from another host
        redoc_url=None,
    )
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    _add_errors(app)
    _add_probes(app, service)
    _add_page(app)

    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorResponse, "description": said} for status, said in REFUSALS.items()
    }

    @app.post(PREDICT, response_model=PredictResponse, responses=refusals, tags=["predictions"])
    async def predict() -> None:
        """Predict soil properties of spectra: a JSON request, or a file of spectra as the body."""
        # Declared here for the description and for other methods; ``Direct`` answers before it comes here.
        raise NotImplementedError

    @app.get(
        "/v1/models",
        response_model=ModelsResponse,
        responses={s: refusals[s] for s in (401, 503)},
        tags=["predictions"],
    )
    async def models(request: Request) -> Response:
        """List the models that answer now: property, unit, version, axis, levels."""
        heads = request.headers
        authorise(service, heads.get("authorization", ""), heads.get("x-api-key", ""), _facts(request))
        said = {"models": [model_facts(m) for m in service.live.current.models.values()]}
        return _json(said)

    app.add_middleware(Observed, service=service, operation_port=operation_port)
    return app


def _add_probes(app: FastAPI, service: PredictionService) -> None:
    @app.get("/healthz", tags=["operation"])
    async def healthz() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "alive"}

    @app.get(
        "/readyz",
        tags=["operation"],
        responses={401: {"description": REFUSALS[401]}, 503: {"description": "No model answers."}},
    )
    async def readyz(request: Request) -> Response:
        """Say whether models answer; a registry that is away, or a version that was refused, is told beside."""
        _operator(service, request)
        live = service.live
        ready = bool(live.current.models)
        away = live.health.unreachable_since
        return _json(
            {
                "status": "ready" if ready else "not ready",
                "models": {m.name: m.version for m in live.current.models.values()},
                "registry": {"reachable": away is None, "since": away, "reason": live.health.reason},
                "refused": dict(live.health.refused),
                "keys": {"usable": not service.keys.reason},
            },
            200 if ready else 503,
        )

    @app.get(
        "/metrics",
        tags=["operation"],
        response_class=Response,
        responses={s: {"description": REFUSALS[s]} for s in (401, 503)},
    )
    async def metrics(request: Request) -> Response:
        """Figures in Prometheus's text form."""
        _operator(service, request)
        return Response(service.figures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _operator(service: PredictionService, request: Request) -> None:
    """Check the key, where figures and readiness need one."""
    if service.settings.operation == "key":
        heads = request.headers
        authorise(service, heads.get("authorization", ""), heads.get("x-api-key", ""), _facts(request))


def _add_page(app: FastAPI) -> None:
    folder = files("soil_assets.serving") / "web"
    index = (folder / "index.html").read_bytes()
    parts = {name: (folder / name).read_bytes() for name in _PAGE}

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(index, media_type="text/html", headers={"content-security-policy": _PAGE_POLICY})

    @app.get("/page/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        if name not in parts:
            raise HTTPException(404)
        return Response(parts[name], media_type=_PAGE[name])


def _add_errors(app: FastAPI) -> None:
    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, BadInput)  # noqa: S101  # registered for it
        headers = error.headers if isinstance(error, Refused) else {}
        return _error(request, status_of(error), facts_of(error), headers)

    def by_status(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  # registered for it
        what = {404: "there is nothing at this address", 405: "this address does not take that method"}
        said: dict[str, Any] = {"what": what.get(error.status_code, str(error.detail))}
        return _error(request, error.status_code, said, dict(error.headers or {}))

    app.add_exception_handler(BadInput, refused)
    app.add_exception_handler(HTTPException, by_status)


def _error(request: Request, status: int, said: dict[str, Any], headers: dict[str, str]) -> Response:
    _facts(request)["error"] = said["what"]
    if "read" not in _facts(request) and _has_body(request):
        headers = {**headers, "connection": "close"}  # what is left of the body is not read
    return _json({"error": said, "request_id": _request_id(request)}, status, headers)


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _json(said: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    content = orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, status, headers, media_type=_JSON)


def _facts(request: Request) -> dict[str, Any]:
    facts: dict[str, Any] = request.scope["soil.facts"]
    return facts


def _request_id(request: Request) -> str:
    return str(request.scope["soil.request_id"])


class Observed:
    """Around everything: an id, headers, a line of log, figures, and a plain answer to the unforeseen."""

    def __init__(self, app: ASGIApp, service: PredictionService, operation_port: int = 0) -> None:
        self.app = app
        self.service = service
        self._operation_port = operation_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if not self._has_its_place(scope):
            scope = {**scope, "path": "/nothing-here", "raw_path": b"/nothing-here"}
        request_id = scope["soil.request_id"] = new_id()
        facts: dict[str, Any] = {}
        scope["soil.facts"] = facts
        started, status, begun = time.perf_counter(), 500, False

        async def watched(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                message["headers"] = [
                    *message["headers"], *EVERYWHERE, (b"x-request-id", request_id.encode())
                ]  # fmt: skip
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:  # whatever it is, the client gets JSON and the log its kind
            facts["error"] = f"{type(error).__name__}: {error}"[:300]
            if begun:
                raise  # the answer is under way: all that is left is to break the connection
            said = {"error": {"what": "the service failed; its log says why"}, "request_id": request_id}
            await _json(said, 500)(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - started
            account(self.service, scope["method"], route, status, request_id, facts, seconds)

    def _has_its_place(self, scope: Scope) -> bool:
        """Whether a request came by the port on which its address answers."""
        if not self._operation_port or scope["path"] == _HEALTH:
            return True
        return (port_of(scope) == self._operation_port) == (scope["path"] in _OPERATION)
