"""What goes in and out of the REST API, as its OpenAPI document says it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from quantkit.api.forms import model_of
from quantkit.data.quote import Quote
from quantkit.forecast import FORECASTERS, Explanation, Forecast, Leaderboard, TrackRecord, VolatilityLeaderboard
from quantkit.forecast.explain import Contribution
from quantkit.portfolio import OBJECTIVES, Allocation, Frontier, PortfolioBacktest
from quantkit.portfolio.moments import COVARIANCES, EXPECTED_RETURNS
from quantkit.risk import Correlation, RiskReport

__all__ = [
    "BacktestBody",
    "BacktestRequest",
    "CorrelationBody",
    "ExplanationBody",
    "FrontierBody",
    "FrontierRequest",
    "Health",
    "HistoryBody",
    "Job",
    "LeaderboardBody",
    "OptimizeBody",
    "OptimizeRequest",
    "PredictionBody",
    "PriceBody",
    "RiskBody",
    "StressBody",
    "StressRequest",
    "SymbolsBody",
    "TrackRecordBody",
    "VolatilityBody",
]  # fmt: skip

MOST_SYMBOLS: Final = 500


def _plain_number(value: Any) -> Any:
    if isinstance(value, (bool, str)):
        raise ValueError("expected a number")
    return value


#: JSON numbers only: no text that looks like one, no booleans, nothing infinite, nothing beyond any use.
Number = Annotated[float, BeforeValidator(_plain_number), Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(_plain_number), Field(ge=-100, le=100, allow_inf_nan=False)]
Symbol = Annotated[str, Field(min_length=1, max_length=32, examples=["AAPL"], description="Yahoo's spelling")]
Range = Annotated[list[Share], Field(min_length=2, max_length=2)]
ByAsset = Annotated[dict[str, Share], Field(max_length=MOST_SYMBOLS)]


class Form(BaseModel):
    """A body that is sent: unknown names are refused rather than ignored."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, given: Any) -> Any:
        """pydantic alone would say that a name is one too many, and not which there are."""
        for name in given if isinstance(given, dict) else ():
            if name not in cls.model_fields:
                said = {"name": repr(name[:40]), "choices": ", ".join(cls.model_fields)}
                raise PydanticCustomError("unknown_name", "unknown name {name}; choose from {choices}", said)
        return given


class ConstraintsForm(Form):
    """Limits on a portfolio; every weight is a share of the capital, 0.1 for 10 %."""

    bounds: Range | None = Field(None, description="Least and most of every asset; [0, 1] is long-only",
                                 examples=[[0.0, 0.4]])  # fmt: skip
    asset_bounds: Annotated[dict[str, Range], Field(max_length=MOST_SYMBOLS)] | None = Field(
        None, description="Instead of bounds for single assets", examples=[{"AAPL": [0.05, 0.3]}]
    )
    sectors: Annotated[dict[str, str], Field(max_length=MOST_SYMBOLS)] | None = Field(
        None, description="Sector by symbol", examples=[{"AAPL": "technology", "XOM": "energy"}]
    )
    sector_bounds: Annotated[dict[str, Range], Field(max_length=MOST_SYMBOLS)] | None = Field(
        None, description="Least and most of a sector's sum", examples=[{"technology": [0.0, 0.5]}]
    )
    net: Share | Range | None = Field(None, description="Sum of the weights, or its least and most", examples=[1.0])
    gross: Share | None = Field(None, ge=0, description="Most of the sum of absolute weights")
    turnover: Share | None = Field(
        None, ge=0, description="Most that is traded, bought plus sold; needs current_weights"
    )
    cost_bps: Number | None = Field(None, ge=0, le=10_000, description="Cost of trading, basis points")
    holding_periods: int | None = Field(
        None, ge=1, le=10_000, strict=True, description="Periods to the next rebalancing"
    )
    tracking_error: Share | None = Field(None, ge=0, description="Most a year beside benchmark_weights")
    benchmark_weights: ByAsset | None = None


class ViewForm(Form):
    """The portfolio of `assets` will earn `expected_return` a year."""

    assets: ByAsset = Field(min_length=1, description="Weights by symbol", examples=[{"AAPL": 1.0, "MSFT": -1.0}])
    expected_return: Share = Field(description="Annual, a decimal", examples=[0.02])
    confidence: Annotated[float, BeforeValidator(_plain_number)] = Field(0.5, ge=0, le=1, description="0 to 1")


class PortfolioRequest(Form):
    """What every question about a portfolio says."""

    symbols: list[Symbol] = Field(min_length=1, max_length=MOST_SYMBOLS, examples=[["AAPL", "MSFT", "JPM", "XOM"]])
    constraints: ConstraintsForm | None = None
    expected_returns: str | None = Field(None, max_length=32, description=f"One of {', '.join(EXPECTED_RETURNS)}")
    covariance: str | None = Field(None, max_length=32, description=f"One of {', '.join(COVARIANCES)}")
    risk_free: Share = Field(0.0, gt=-1, le=10, description="Annual, a decimal")
    as_of: str | None = Field(
        None, max_length=40, description="Answer as the store stood then", examples=["2022-06-30"]
    )

    def arguments(self) -> dict[str, Any]:
        """What the desk is asked with."""
        return self.model_dump(exclude_none=True)


class OptimizeRequest(PortfolioRequest):
    """Body of ``POST /portfolio/optimize``."""

    objective: str = Field("max_sharpe", max_length=32, description=f"One of {', '.join(OBJECTIVES)}",
                           examples=["max_sharpe"])  # fmt: skip
    period: str = Field("5y", max_length=8, description="Of the history the estimates are made from",
                        examples=["5y"])  # fmt: skip
    views: Annotated[list[ViewForm], Field(max_length=MOST_SYMBOLS)] | None = Field(
        None, description="Opinions, blended in after Black and Litterman"
    )
    capital: Number | None = Field(None, gt=0, description="Cash and holdings, in the symbols' currency; buys shares",
                                   examples=[100000])  # fmt: skip
    current_weights: ByAsset | None = Field(None, description="What is held now")
    target_return: Share | None = Field(None, description="Annual, for the objective of that name")
    target_volatility: Share | None = Field(None, gt=0, description="Annual, for the objective of that name")
    risk_aversion: Number | None = Field(None, gt=0, le=1e6, description="For max_utility")
    infeasible: Literal["raise", "nearest"] | None = Field(
        None, description="Whether the nearest portfolio is answered where none meets the constraints"
    )


class FrontierRequest(PortfolioRequest):
    """Body of ``POST /portfolio/frontier``."""

    period: str = Field("5y", max_length=8, examples=["5y"])
    points: int = Field(50, ge=2, le=500, strict=True, description="Evenly spaced in expected return")


class BacktestRequest(PortfolioRequest):
    """Body of ``POST /portfolio/backtest``."""

    objective: str = Field("max_sharpe", max_length=32, description=f"One of {', '.join(OBJECTIVES)}")
    rebalance: str = Field("1mo", max_length=8, description="1w, 1mo, 3mo, 6mo or 1y", examples=["1mo"])
    cost_bps: Number = Field(10.0, ge=0, le=10_000, description="Basis points of what is bought plus sold")
    period: str = Field("max", max_length=8, examples=["max"])
    benchmark: Symbol | None = Field("^GSPC", description="Shown beside; null for none")
    window: int | None = Field(None, ge=30, le=10_000, strict=True, description="Returns that a decision sees at most")
    target_return: Share | None = None
    target_volatility: Share | None = Field(None, gt=0)

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"benchmark": self.benchmark}


class StressRequest(Form):
    """Body of ``POST /portfolio/stress``."""

    weights: ByAsset = Field(min_length=1, description="Sum to 1", examples=[{"AAPL": 0.5, "XOM": 0.5}])
    shocks: Annotated[dict[str, Share], Field(max_length=20)] | None = Field(
        None, description="Returns by factor that happen together", examples=[{"^GSPC": -0.2}]
    )
    own: Annotated[dict[str, ByAsset], Field(max_length=20)] | None = Field(
        None, description="Scenarios by name, each with returns by symbol"
    )
    value: Number | None = Field(None, gt=0, description="Of the portfolio, in its currency")
    as_of: str | None = Field(None, max_length=40)

    def arguments(self) -> dict[str, Any]:
        """What the desk is asked with."""
        return self.model_dump(exclude_none=True)


PriceBody = create_model("Price", __base__=model_of(Quote), __doc__="The latest price of a symbol.")


class SymbolRow(BaseModel):
    """One thing that can be asked for."""

    symbol: str = Field(examples=["AAPL"])
    name: str = Field(examples=["Apple"])
    currency: str = Field(description="ISO 4217, or GBX for pence", examples=["USD"])
    calendar: str = Field(description="ISO 10383 exchange code", examples=["XNYS"])
    intervals: list[str] = Field(examples=[["1d"]])
    first: datetime | None = Field(description="First stored bar; null until it is asked for")
    last: datetime | None = Field(description="Last stored bar")
    source: str = Field(examples=["sample"])


class SymbolsBody(BaseModel):
    """What can be asked for."""

    symbols: list[SymbolRow]


class Bar(BaseModel):
    """One session or minute, in today's share units."""

    symbol: str = Field(examples=["AAPL"])
    timestamp: datetime = Field(
        description="The session's date at 00:00 UTC, or the minute's start", examples=["2023-09-21T00:00:00+00:00"]
    )
    open: float | None = Field(description="Quote currency; null for a close-only series", examples=[174.55])
    close: float = Field(examples=[173.93])
    high: float | None = Field(examples=[176.3])
    low: float | None = Field(examples=[173.86])
    volume: float | None = Field(description="Shares", examples=[63047900.0])
    adj_close: float | None = Field(description="Close with dividends accounted for", examples=[173.93])


class HistoryBody(BaseModel):
    """Bars of one symbol, oldest first."""

    symbol: str
    interval: Literal["1d", "1m"]
    currency: str
    source: str
    price_basis: Literal["quoted", "adjusted"] = Field(
        description="`adjusted`: known only in adjusted form, so that currency figures are indicative"
    )
    next: datetime | None = Field(description="Where more follow: give it back as `after`; also in the Link header")
    bars: list[Bar]


PredictionBody = create_model(
    "Prediction",
    __base__=model_of(Forecast),
    __doc__="The next steps' prices with their measured proof, and the next step's value at risk.",
    value_at_risk_95=(
        float | None,
        Field(description="95 % VaR of the next step: profit and loss per share held long, in the quote currency",
              examples=[-4.55]),
    ),
    value_at_risk_95_return=(float | None, Field(description="The same as a return", examples=[-0.0262])),
    value_at_risk_method=(str, Field(description="Method that `auto` chose", examples=["fhs"])),
)  # fmt: skip

RiskBody = model_of(RiskReport)
LeaderboardBody = model_of(Leaderboard)
VolatilityBody = model_of(VolatilityLeaderboard)
TrackRecordBody = model_of(TrackRecord)
ContributionForm = create_model(
    "ContributionTold", __base__=model_of(Contribution), about=(str, Field(description="The input in words"))
)
ExplanationBody = create_model(
    "Explained",
    __base__=model_of(Explanation),
    __doc__="A forecast taken apart: base_return and the contributions add up to forecast_return.",
    contributions=(list[ContributionForm], Field(description="The largest first")),  # type: ignore[valid-type]
    in_words=(str, Field(description="One or two sentences")),
)
CorrelationBody = model_of(Correlation)
FrontierBody = model_of(Frontier)
BacktestBody = create_model(
    "Backtest", __base__=model_of(PortfolioBacktest), __doc__="An objective out of sample, after costs, beside 1/N.",
    in_words=(str, Field(description="One or two sentences")),
)  # fmt: skip
OptimizeBody = create_model(
    "Optimized",
    __base__=model_of(Allocation),
    __doc__="Weights, the frontier they lie on, and what the objective would have earned.",
    weights=(dict[str, float], Field(description="Shares of the capital by symbol", examples=[{"AAPL": 0.4}])),
    risk_contributions=(dict[str, float | None], Field(description="Shares of the variance by symbol")),
    shares=(dict[str, float] | None, Field(description="Whole shares by symbol; null without a capital")),
    leftover_cash=(float | None, Field(description="Cash left, in the symbols' currency; null without a capital")),
    frontier=(FrontierBody, Field(description="The efficient frontier under the same constraints")),
    out_of_sample=(BacktestBody, Field(description="The objective walked forward after costs")),
)


def _stress_body() -> type[BaseModel]:
    from quantkit.risk.scenarios import Stress

    return model_of(Stress)


StressBody = _stress_body()


class Steps(BaseModel):
    """How far a job is."""

    done: int = Field(description="Steps finished")
    total: int = Field(description="Steps in all; 1 where that is not known yet")
    doing: str = Field("", description="What it is at", examples=["arima"])


class Job(BaseModel):
    """A question that takes longer than its asker waits."""

    id: str = Field(description="The fingerprint of the answer", examples=["d36f10cdaf11d482390bc4c1159732f8"])
    question: str = Field(examples=["leaderboard"])
    status: Literal["running", "done", "failed", "cancelled"]
    progress: Steps
    location: str = Field(description="Where this is told", examples=["/v1/jobs/d36f10cdaf11d482390bc4c1159732f8"])
    result: str | None = Field(description="Where the answer is, once it is done")
    problem: dict[str, Any] | None = Field(None, description="Why there is none (RFC 9457)")


class Check(BaseModel):
    """One thing that readiness depends on."""

    state: Literal["fine", "note", "failed"]
    said: str


class Health(BaseModel):
    """Whether the server can answer."""

    status: Literal["live", "ready", "unready"]
    version: str
    checks: dict[str, Check] = Field(default_factory=dict, description="By name: store, bus, vendor, compute")


#: Names of models, for parameters that choose one.
MODELS: Final = tuple(FORECASTERS)
