"""The REST API as an ASGI application: the desk's answers for programs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

import quantkit
from quantkit.api import alerts
from quantkit.api.guard import Guard, Keys, Rate, Traffic
from quantkit.api.jobs import Jobs
from quantkit.api.problems import MEDIA_TYPE, Problem, RefusedError, problem_of
from quantkit.api.replies import AtHand
from quantkit.api.routes import router
from quantkit.api.service import Service
from quantkit.core.errors import QuantkitError
from quantkit.desk import Desk
from quantkit.settings import Settings

__all__ = ["create_app"]

log = logging.getLogger("quantkit.api")

_DESCRIPTION = """\
Market data, forecasts with their proof, risk and portfolios: the same figures as in the dashboards, the command line
and `Desk` in Python, to the last bit. Equal fingerprints mean equal figures.

Times are ISO 8601 in UTC, returns and volatilities are decimals (0.017 is 1.7 %), losses are negative, and null stands
for what cannot be said. Every path is served under `/v1` and without it. Errors are RFC 9457 problem documents whose
`type` is stable. Answers carry an `ETag`; ask again with `If-None-Match` and get a 304. What takes long is answered
with 202 and a job.
"""


def create_app(
    desk: Desk | None = None,
    settings: Settings | None = None,
    *,
    check_host: bool = True,
    grace: float = 20.0,
    base_url: str = "/",
) -> FastAPI:
    """The application.

    Parameters
    ----------
    desk : Desk, optional
        What answers; it stays the caller's. By default one is opened with the application and closed with it.
    settings : Settings, optional
        By default the desk's, else those in force: keys, limits, time-out, CORS.
    check_host : bool
        Whether, without keys, only this machine's own names are served, as is right on loopback.
    grace : float
        Seconds that running jobs are given when the server stops.
    base_url : str
        Path under which a proxy serves it: ``/`` or ``/api/``.
    """
    settings = settings or (desk.settings if desk is not None else Settings.load())
    keys = Keys(None if settings.api_keys is None else settings.api_keys.get_secret_value())
    traffic = Traffic()
    prefix = f"/{base_url.strip('/')}".rstrip("/")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        own = desk if desk is not None else Desk.open(settings)
        service = app.state.service = Service(own, timeout=settings.api_timeout)
        jobs = app.state.jobs = Jobs(service, prefix)
        own.compute.warm()
        try:
            yield
        finally:
            service.stopping.set()
            left = await jobs.finish(grace)
            service.close()
            if desk is None:
                own.close()
            log.info("%d requests taken, %d answered, %d jobs left unfinished", traffic.taken, traffic.answered, left)

    app = FastAPI(
        title="quantkit", version=quantkit.__version__, description=_DESCRIPTION, lifespan=lifespan,
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.state.traffic = traffic
    app.state.prefix = prefix
    app.include_router(router)
    app.include_router(alerts.router)
    _handle_errors(app)
    app.add_api_route("/openapi.json", lambda: JSONResponse(app.openapi()), include_in_schema=False)
    app.add_api_route("/docs", lambda: _manual(app), include_in_schema=False)
    app.openapi = lambda: _document(app, keyed=bool(keys))  # type: ignore[method-assign]
    app.add_middleware(AtHand, find=lambda path, query: app.state.service.in_the_same_words(path, query))
    hosts: Iterable[str] | None = () if check_host and not keys else None
    rate = Rate(settings.api_rate_limit)
    app.add_middleware(Guard, keys=keys, rate=rate, hosts=hosts, traffic=traffic, prefix=prefix)
    if settings.api_cors_origins:
        _allow_origins(app, settings.api_cors_origins)
    return app


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(QuantkitError)
    async def on_purpose(_: Request, error: QuantkitError) -> Response:
        return problem_of(error)

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return error.problem

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        faults = [
            {"where": ".".join(str(part) for part in fault["loc"]), "said": fault["msg"]}
            for fault in error.errors()[:20]
        ]
        if any(fault["type"] == "json_invalid" for fault in error.errors()):
            return Problem.own("malformed", "the body is not JSON", errors=faults)
        said = "; ".join(f"{fault['where']}: {fault['said']}" for fault in faults[:3])
        return Problem.own("invalid", said, errors=faults)

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        kinds = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 400: "malformed"}
        kind = kinds.get(error.status_code, "internal")
        path = request.url.path[:80]
        said = {
            "not-found": f"nothing is served at {path}; /docs lists what is",
            "method-not-allowed": f"{path} is not asked with {request.method}",
            "malformed": "the body cannot be read as JSON",
            "too-large": "the body is too large",
        }.get(kind, "the request cannot be answered")
        return Problem.own(kind, said, headers=dict(error.headers or {}))


def _allow_origins(app: FastAPI, origins: tuple[str, ...]) -> None:
    from starlette.middleware.cors import CORSMiddleware

    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["X-API-Key", "Authorization", "Content-Type", "If-None-Match"],
        expose_headers=["ETag", "Link", "Location", "Retry-After"],
        max_age=600,
    )


def _document(app: FastAPI, *, keyed: bool) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with problem documents for what goes wrong."""
    if app.openapi_schema:
        return app.openapi_schema
    prefix = app.state.prefix
    servers = [
        {"url": f"{prefix}/v1", "description": "This version"},
        {"url": prefix or "/", "description": "The same, unversioned"},
    ]
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, servers=servers,
    )  # fmt: skip
    schemas = found["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    known = {
        "400": "The body is not JSON", "401": "A key is needed", "404": "Unknown symbol, or no data",
        "410": "Cancelled", "413": "The body is too large", "421": "Not this host",
        "422": "The question cannot be understood, or no portfolio meets it", "429": "Too many requests",
        "502": "A market data vendor refused or failed", "503": "Store, time-out, or stopping",
    }  # fmt: skip
    waiting = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds"}}
    for path, methods in found["paths"].items():
        for operation in methods.values():
            for status, said in known.items():
                if status == "422" or (status not in operation["responses"] and not path.startswith("/health")):
                    headers = {"headers": waiting} if status in ("429", "503") else {}
                    operation["responses"][status] = {"description": said, "content": problem, **headers}
    if keyed:
        found["components"]["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        found["security"] = [{"key": []}]
        for path, methods in found["paths"].items():
            if path.startswith("/health"):
                for operation in methods.values():
                    operation["security"] = []
    app.openapi_schema = found
    return found


_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "Stable name", "examples": ["urn:quantkit:problem:unknown-symbol"]},
        "title": {"type": "string", "examples": ["Unknown symbol"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["TSLA is not known; did you mean ...?"]},
        "errors": {"type": "array", "items": {"type": "object"}, "description": "Where a question is wrong"},
        "binding": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Constraints that cannot hold together",
        },
        "relaxed": {"type": "object", "description": "Least change of each with which a portfolio exists"},
        "nearest": {"type": "object", "description": "Weights of the nearest portfolio that exists"},
        "incident": {"type": "string", "description": "Under which the server's log tells it"},
    },
}


def _manual(app: FastAPI) -> HTMLResponse:
    from quantkit.api.manual import page, policy

    return HTMLResponse(page(app.openapi()), headers={"Content-Security-Policy": policy(), "Cache-Control": "no-cache"})
