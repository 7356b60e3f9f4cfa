"""The endpoints: DESIGN.md section 5, and what programs ask beside it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

import quantkit
from quantkit.api import schemas
from quantkit.api.answers import weights_from
from quantkit.api.health import readiness
from quantkit.api.jobs import JobOfServer, Jobs
from quantkit.api.problems import Problem, RefusedError
from quantkit.api.replies import ARROW, Format, reply_of
from quantkit.api.service import Service
from quantkit.api.stream import MEDIA_TYPE as EVENTS
from quantkit.api.stream import quotes
from quantkit.core.calendars import PERIODS
from quantkit.core.errors import UsageError
from quantkit.core.schema import check_symbols
from quantkit.forecast import FORECASTERS
from quantkit.risk.correlation import CORRELATION_METHODS

__all__ = ["router"]

router = APIRouter()

_PERIOD: Final = {"json_schema_extra": {"enum": list(PERIODS)}}
Symbol = Annotated[str, Query(min_length=1, max_length=32, description="Yahoo's spelling", examples=["AAPL"])]
Symbols = Annotated[
    str, Query(min_length=1, max_length=8000, description="Separated by commas", examples=["AAPL,MSFT,JPM,XOM"])
]
Interval = Annotated[Literal["1d", "1m"], Query(description="Of the bars")]
Period = Annotated[str, Query(max_length=8, description="Counted back from the last bar", **_PERIOD)]  # type: ignore[arg-type]
When = Annotated[str | None, Query(max_length=40, description="Date or time, ISO 8601 in UTC", examples=["2023-01-31"])]
AsOf = Annotated[
    str | None, Query(max_length=40, description="Answer as the store stood then", examples=["2022-06-30"])
]
Level = Annotated[float, Query(gt=0, lt=1, description="Probability, such as 0.95")]
Horizon = Annotated[int, Query(ge=1, le=60, description="Bars ahead")]
Model = Annotated[
    str, Query(max_length=32, json_schema_extra={"enum": list(FORECASTERS)}, description="A model, or auto")
]
Table = Annotated[Format, Query(alias="format", description="json, or the table as csv or as an Arrow stream")]
Wait = Annotated[float, Query(ge=0, le=60, allow_inf_nan=False,
                              description="Seconds to wait for the answer before a job is told")]  # fmt: skip
Id = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="A fingerprint")]

_TABLE: Final[dict[str, Any]] = {
    "text/csv": {"schema": {"type": "string"}},
    ARROW: {"schema": {"type": "string", "format": "binary"}},
}
_JOB: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "model": schemas.Job,
        "description": "Under way; `Location` says where it is told",
        "headers": {"Location": {"schema": {"type": "string"}}, "Retry-After": {"schema": {"type": "string"}}},
    }
}


def _gives(model: Any, *, table: bool = False, **more: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, **({"content": dict(_TABLE)} if table else {})}, **more.get("also", {})}


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _reply(request: Request, question: str, form: Format = "json", **arguments: Any) -> Response:
    service = _service(request)
    reply = await service.reply(question, arguments, form=form, address=_address(request))
    return await service.send(request, service.key(question, arguments, form), reply)


def _address(request: Request) -> str:
    """Where the question was asked, for the page that follows."""
    return f"{request.app.state.prefix}/v1{request.url.path}?{request.url.remove_query_params('after').query}"


@router.get("/price", responses=_gives(schemas.PriceBody), tags=["Market data"], summary="Latest price")
async def price(request: Request, symbol: Symbol) -> Response:
    """Last session of a symbol, gathered from minutes where those reach further than its daily bars."""
    return await _reply(request, "price", symbol=symbol)


@router.get("/symbols", responses=_gives(schemas.SymbolsBody, table=True), tags=["Market data"], summary="Symbols")
async def symbols(request: Request, form: Table = "json") -> Response:
    """What can be asked for."""
    return await _reply(request, "symbols", form)


@router.get("/history", responses=_gives(schemas.HistoryBody, table=True), tags=["Market data"], summary="Bars")
async def history(
    request: Request,
    symbol: Symbol,
    period: Annotated[
        str | None, Query(max_length=8, description="1y where neither start nor end is given", **_PERIOD)  # type: ignore[arg-type]
    ] = None,
    start: When = None,
    end: When = None,
    interval: Interval = "1d",
    adjusted: Annotated[bool, Query(description="False: as traded on the day, splits undone")] = True,
    as_of: AsOf = None,
    limit: Annotated[int, Query(ge=1, le=100_000, description="Bars on a page")] = 10_000,
    after: When = None,
    form: Table = "json",
) -> Response:
    """Bars, oldest first. A long history comes in pages: `next`, and the header `Link`, say where the next one is."""
    return await _reply(
        request, "history", form, symbol=symbol, period=period, start=start, end=end, interval=interval,
        adjusted=adjusted, as_of=as_of, limit=limit, after=after,
    )  # fmt: skip


@router.get("/prediction", responses=_gives(schemas.PredictionBody, table=True), tags=["Forecasts"], summary="Forecast")
async def prediction(
    request: Request,
    symbol: Symbol,
    model: Model = "auto",
    horizon: Horizon = 5,
    level: Level = 0.95,
    interval: Interval = "1d",
    as_of: AsOf = None,
    form: Table = "json",
) -> Response:
    """The next bars' prices with the measured coverage and skill beside them, and the next step's value at risk."""
    return await _reply(
        request, "prediction", form, symbol=symbol, model=model, horizon=horizon, level=level, interval=interval,
        as_of=as_of,
    )  # fmt: skip


@router.get(
    "/leaderboard",
    responses=_gives(schemas.LeaderboardBody, table=True, also=_JOB),
    tags=["Forecasts"],
    summary="Models compared",
)
async def leaderboard(
    request: Request,
    symbol: Symbol,
    models: Annotated[
        str | None, Query(max_length=200, description="Names separated by commas; all quick ones if left out")
    ] = None,
    horizon: Horizon = 5,
    origins: Annotated[int, Query(ge=40, le=5000, description="Past decisions that are scored")] = 250,
    interval: Interval = "1d",
    level: Level = 0.95,
    as_of: AsOf = None,
    wait: Wait = 2.0,
    form: Table = "json",
) -> Response:
    """Every model on the same walk through the past, beside naive, with significance. A job where it takes long."""
    arguments = {"symbol": symbol, "models": _names(models), "horizon": horizon, "origins": origins,
                 "interval": interval, "level": level, "as_of": as_of}  # fmt: skip
    return await _job(request, "leaderboard", arguments, wait, form)


@router.get("/explain", responses=_gives(schemas.ExplanationBody, table=True), tags=["Forecasts"], summary="Why")
async def explain(
    request: Request,
    symbol: Symbol,
    model: Model = "auto",
    horizon: Horizon = 1,
    interval: Interval = "1d",
    as_of: AsOf = None,
    form: Table = "json",
) -> Response:
    """What each input contributed to a forecast, in return and in price."""
    return await _reply(request, "explain", form, symbol=symbol, model=model, horizon=horizon, interval=interval,
                        as_of=as_of)  # fmt: skip


@router.get(
    "/volatility",
    responses=_gives(schemas.VolatilityBody, table=True, also=_JOB),
    tags=["Risk"],
    summary="Volatility models compared",
)
async def volatility(
    request: Request,
    symbol: Symbol,
    models: Annotated[str | None, Query(max_length=200, description="Names separated by commas")] = None,
    horizon: Horizon = 5,
    interval: Interval = "1d",
    origins: Annotated[int, Query(ge=40, le=5000, description="Past decisions that are scored")] = 250,
    as_of: AsOf = None,
    wait: Wait = 2.0,
    form: Table = "json",
) -> Response:
    """Volatility forecasts of every model walked through the past, ranked by QLIKE. A job where it takes long."""
    arguments = {"symbol": symbol, "models": _names(models), "horizon": horizon, "interval": interval,
                 "origins": origins, "as_of": as_of}  # fmt: skip
    return await _job(request, "volatility", arguments, wait, form)


@router.get(
    "/track-record",
    responses=_gives(schemas.TrackRecordBody),
    tags=["Forecasts"],
    summary="What forecasts were worth",
)
async def track_record(
    request: Request,
    symbol: Symbol,
    model: Annotated[str | None, Query(max_length=32, description="A model; all if left out")] = None,
    interval: Interval = "1d",
) -> Response:
    """Forecasts published before their outcome was known, beside what came."""
    return await _reply(request, "track_record", symbol=symbol, model=model, interval=interval)


@router.get("/risk", responses=_gives(schemas.RiskBody, table=True), tags=["Risk"], summary="Risk report")
async def risk(
    request: Request,
    symbol: Annotated[str | None, Query(min_length=1, max_length=32, examples=["AAPL"])] = None,
    weights: Annotated[
        str | None, Query(max_length=8000, description="Instead of a symbol", examples=["AAPL=0.5,MSFT=0.5"])
    ] = None,
    period: Period = "5y",
    level: Level = 0.95,
    interval: Interval = "1d",
    benchmark: Annotated[str, Query(max_length=32, description="A symbol, or none")] = "^GSPC",
    risk_free: Annotated[float, Query(gt=-1, le=10, description="Annual, a decimal")] = 0.0,
    horizon: Annotated[int, Query(ge=1, le=20, description="Periods ahead of VaR and ES")] = 1,
    side: Annotated[Literal["long", "short"], Query()] = "long",
    position_value: Annotated[
        float | None, Query(gt=0, le=1e15, description="Value held; one share if left out")
    ] = None,
    as_of: AsOf = None,
    form: Table = "json",
) -> Response:
    """Measures, volatility, VaR and ES of a symbol or of weights, each VaR with its backtest."""
    if (symbol is None) == (weights is None):
        raise UsageError("give a symbol, or weights such as AAPL=0.5,MSFT=0.5")
    return await _reply(
        request, "risk", form, symbol=symbol if weights is None else weights_from(weights.split(",")), period=period,
        level=level, interval=interval, benchmark=None if benchmark == "none" else benchmark, risk_free=risk_free,
        horizon=horizon, side=side, position_value=position_value, as_of=as_of,
    )  # fmt: skip


@router.get("/correlation", responses=_gives(schemas.CorrelationBody, table=True), tags=["Risk"], summary="Correlation")
async def correlation(
    request: Request,
    symbols: Symbols,
    period: Period = "1y",
    method: Annotated[
        str, Query(max_length=16, json_schema_extra={"enum": list(CORRELATION_METHODS)}, description="Estimator")
    ] = "pearson",
    interval: Interval = "1d",
    as_of: AsOf = None,
    form: Table = "json",
) -> Response:
    """Correlation of returns, in the order of a hierarchical clustering."""
    return await _reply(request, "correlation", form, symbols=check_symbols(_few(symbols)), period=period,
                        method=method, interval=interval, as_of=as_of)  # fmt: skip


@router.post(
    "/portfolio/frontier", responses=_gives(schemas.FrontierBody, table=True), tags=["Portfolios"], summary="Frontier"
)
async def frontier(request: Request, asked: schemas.FrontierRequest, form: Table = "json") -> Response:
    """The exact efficient frontier under constraints, annualised."""
    return await _reply(request, "frontier", form, **asked.arguments())


@router.post("/portfolio/optimize", responses=_gives(schemas.OptimizeBody), tags=["Portfolios"], summary="Optimize")
async def optimize(request: Request, asked: schemas.OptimizeRequest) -> Response:
    """Weights for an objective, the shares for a capital, the frontier, and what the objective would have earned."""
    return await _reply(request, "optimize", **asked.arguments())


@router.post(
    "/portfolio/backtest",
    responses=_gives(schemas.BacktestBody, table=True, also=_JOB),
    tags=["Portfolios"],
    summary="Backtest",
)
async def backtest(
    request: Request, asked: schemas.BacktestRequest, wait: Wait = 2.0, form: Table = "json"
) -> Response:
    """An objective walked forward after costs, beside 1/N and the benchmark. A job where it takes long."""
    return await _job(request, "backtest", asked.arguments(), wait, form)


@router.post("/portfolio/stress", responses=_gives(schemas.StressBody), tags=["Portfolios"], summary="Stress")
async def stress(request: Request, asked: schemas.StressRequest) -> Response:
    """Crises of the past replayed on today's weights, factor shocks through beta, and scenarios of one's own."""
    return await _reply(request, "stress", **asked.arguments())


@router.get(
    "/stream",
    responses={200: {"content": {EVENTS: {"schema": {"type": "string"}}}, "description": "Events, one quote each"}},
    tags=["Market data"],
    summary="Quotes as they come",
    response_class=Response,
)
async def stream(request: Request, symbols: Symbols) -> Response:
    """Server-sent events: the latest price of each symbol at once, and again whenever it changes."""
    return await quotes(_service(request), check_symbols(_few(symbols, most=100)))


@router.get("/jobs/{id}", responses=_gives(schemas.Job), tags=["Jobs"], summary="How far a job is")
async def job(request: Request, id: Id) -> Response:
    """Progress of a question that takes long; `result` says where the answer is."""
    found = await _jobs(request).find(id)
    return _told(found, 200)


_OUTCOME: Final[dict[str, Any]] = {
    "description": "As the question's own endpoint answers",
    "content": {
        "application/json": {"schema": {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in
                                                  ("Leaderboard", "Backtest", "VolatilityLeaderboard")]}},
        **_TABLE,
    },
}  # fmt: skip


@router.get(
    "/jobs/{id}/result",
    responses={200: _OUTCOME, **_JOB},
    tags=["Jobs"],
    summary="What came out",
    response_class=Response,
)
async def result(request: Request, id: Id, form: Table = "json") -> Response:
    """The answer, which never changes; 202 while it is not there."""
    found = await _jobs(request).find(id)
    return await _outcome(request, found, form, lasting=True)


@router.delete("/jobs/{id}", responses=_gives(schemas.Job), tags=["Jobs"], summary="Withdraw a job")
async def cancel(request: Request, id: Id) -> Response:
    """End a job for everybody who asked it; one that has ended stays as it is."""
    return _told(await _jobs(request).cancel(id), 200)


@router.get("/health/live", responses=_gives(schemas.Health), tags=["Health"], summary="Is it alive?")
async def live() -> dict[str, Any]:
    """200 as long as the server runs."""
    return {"status": "live", "version": quantkit.__version__, "checks": {}}


@router.get("/health/ready", responses=_gives(schemas.Health, also={503: {"model": schemas.Health}}), tags=["Health"],
            summary="Can it answer?")  # fmt: skip
async def ready(request: Request) -> Response:
    """Store, bus, vendor's freshness and where heavy questions run; 503 where it cannot answer."""
    from fastapi.responses import JSONResponse

    service = _service(request)
    checks = await service.run(lambda progress: readiness(service.desk))
    failed = service.stopping.is_set() or any(check["state"] == "failed" for check in checks.values())
    body = {"status": "unready" if failed else "ready", "version": quantkit.__version__, "checks": checks}
    return JSONResponse(body, 503 if failed else 200, {"Cache-Control": "no-store"})


@router.get("/", include_in_schema=False)
async def home() -> Response:
    """To the manual."""
    return RedirectResponse("/docs")


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


async def _job(request: Request, question: str, arguments: dict[str, Any], wait: float, form: Format) -> Response:
    return await _outcome(request, await _jobs(request).ask(question, arguments, wait=wait), form)


async def _outcome(request: Request, job: JobOfServer, form: Format, *, lasting: bool = False) -> Response:
    if job.status == "running":
        return _told(job, 202)
    if job.answer is None:
        if job.problem is None:
            raise RefusedError(Problem.own("internal", "the job ended without an answer"))
        raise RefusedError(job.problem)
    key = ("job", job.id, form, lasting)
    service, answer = _service(request), job.answer
    reply = service.at_hand(key)
    if reply is None:
        version, change = service.desk.store.data_version(), service.desk.store.last_change()
        reply = await service.run(lambda progress: reply_of(answer, form, lasting=lasting))
        service.keep(key, reply, version, change, 600.0)
    return await service.send(request, key, reply)


def _told(job: JobOfServer, status: int) -> Response:
    from fastapi.responses import JSONResponse

    headers = {"Location": job.location, "Cache-Control": "no-store"}
    if job.status == "running":
        headers["Retry-After"] = "1"
    return JSONResponse(job.body(), status, headers)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _few(symbols: str, most: int = schemas.MOST_SYMBOLS) -> str:
    if symbols.count(",") >= most:
        raise UsageError(f"{symbols.count(',') + 1} symbols given; at most {most} are answered at once")
    return symbols
