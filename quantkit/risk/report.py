"""Everything that quantkit says about the risk of one symbol or portfolio, as one result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError, QuantkitError, UsageError
from quantkit.core.fingerprint import fingerprint as hash_of
from quantkit.core.progress import Progress, silent
from quantkit.core.results import Result
from quantkit.core.returns import annualise_volatility, per_period_rate
from quantkit.risk import measures, relative
from quantkit.risk.arrays import align, matrix
from quantkit.risk.backtest_results import VarBacktests
from quantkit.risk.drawdowns import Drawdown, worst_drawdowns
from quantkit.risk.sharpe_inference import probabilistic_sharpe
from quantkit.risk.tail_models import VAR_METHODS
from quantkit.risk.value_at_risk import Side, check_horizon, check_side, check_tail_level, tail_risk, value_at_risk
from quantkit.risk.var_backtest import AUTO, backtest_var
from quantkit.risk.volatility import (
    VOLATILITY_METHODS,
    VolatilityForecast,
    next_volatility,
    term_structure,
    volatility_series,
)

__all__ = ["RiskReport", "risk_question", "risk_report"]

#: Fewest returns that a report is made of: below it not even historical simulation has a tail.
MINIMUM: Final = 100
_HEADLINE_LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class RiskReport(Result):
    """The risk of one symbol or portfolio.

    Attributes
    ----------
    symbol : str
        Or the portfolio's name.
    currency : str
    as_of, start : Timestamp
        Last and first return.
    observations : int
    periods_per_year : float
    level : float
    horizon : int
    side : {"long", "short"}
    risk_free : float
        Annual, a decimal.
    last_price : float
        NaN for a portfolio.
    position_value : float
        What the figures in currency are of: the position asked about, else one share.
    predicted_volatility : float
        Standard deviation of the next return, a decimal, by `predicted_volatility_method`.
    value_at_risk_95 : float
        95 % VaR of the next period as profit and loss of one share held long, in currency, by `value_at_risk_method`,
        the choice of `auto`; NaN for a portfolio. `value_at_risk_95_return` is the same as a return.
    volatility, volatility_annual : dict of float
        By method, at `as_of`, per period and annualised; NaN where `notes` says why.
    value_at_risk, expected_shortfall : dict of float
        By method and for ``auto``: returns over the horizon at the level asked, negative for a loss.
    value_at_risk_currency, expected_shortfall_currency : dict of float
        The same times `position_value`.
    notes : dict of str
        Why a figure is NaN, by ``quantity.method``.
    term_structure : VolatilityForecast or None
    total_return ... probabilistic_sharpe : float
        The measures of :mod:`quantkit.risk.measures`; ``annual_`` ones are annualised.
    benchmark : str
        Empty without one; the figures beside it (`beta` to `down_capture`) are then NaN.
    benchmark_dropped : int
        Returns left out of those figures, since the benchmark has no return then.
    drawdowns : tuple of Drawdown
        The five deepest.
    backtests : VarBacktests or None
        At the level, horizon and side asked.
    fingerprint : str
    """

    symbol: str
    currency: str
    as_of: pd.Timestamp
    start: pd.Timestamp
    observations: int
    periods_per_year: float
    level: float
    horizon: int
    side: str
    risk_free: float
    last_price: float
    position_value: float
    predicted_volatility: float
    predicted_volatility_method: str
    value_at_risk_95: float
    value_at_risk_95_return: float
    value_at_risk_method: str
    volatility: dict[str, float]
    volatility_annual: dict[str, float]
    value_at_risk: dict[str, float]
    expected_shortfall: dict[str, float]
    value_at_risk_currency: dict[str, float]
    expected_shortfall_currency: dict[str, float]
    notes: dict[str, str]
    term_structure: VolatilityForecast | None
    total_return: float
    annual_return: float
    annual_volatility: float
    downside_deviation: float
    sharpe: float
    sortino: float
    calmar: float
    omega: float
    max_drawdown: float
    max_drawdown_duration: int
    skewness: float
    excess_kurtosis: float
    tail_ratio: float
    hit_rate: float
    best: float
    worst: float
    probabilistic_sharpe: float
    benchmark: str
    benchmark_dropped: int
    beta: float
    alpha: float
    correlation: float
    tracking_error: float
    information_ratio: float
    up_capture: float
    down_capture: float
    drawdowns: tuple[Drawdown, ...]
    backtests: VarBacktests | None
    fingerprint: str

    def __post_init__(self) -> None:
        for method, figure in self.value_at_risk.items():
            if np.isnan(figure) and f"value_at_risk.{method}" not in self.notes:
                raise DataError(f"{self.symbol}: value_at_risk.{method} is NaN without a reason")
        if not -1.0 <= self.max_drawdown <= 0.0:
            raise DataError(f"{self.symbol}: max_drawdown {self.max_drawdown} is not in [-1, 0]")

    def to_frame(self) -> pd.DataFrame:
        """One row a VaR method: VaR, ES, breaches, expected, verdict."""
        rows = {}
        for method, var in self.value_at_risk.items():
            row = self.backtests.rows.get(method) if self.backtests is not None else None
            rows[method] = {
                "value_at_risk": var,
                "expected_shortfall": self.expected_shortfall[method],
                "breaches": row.breaches if row else np.nan,
                "expected": row.expected if row else np.nan,
                "p_kupiec": row.kupiec.p_value if row else np.nan,
                "p_conditional": row.conditional_coverage.p_value if row else np.nan,
                "power": row.power if row else np.nan,
                "verdict": self.notes.get(f"value_at_risk.{method}", "")
                or ("not tested" if row is None else row.verdict),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")

    def measures(self) -> pd.Series:
        """The measures by name, for a table."""
        names = (
            "total_return", "annual_return", "annual_volatility", "downside_deviation", "sharpe", "sortino", "calmar",
            "omega", "max_drawdown", "max_drawdown_duration", "skewness", "excess_kurtosis", "tail_ratio", "hit_rate",
            "best", "worst", "probabilistic_sharpe", "beta", "alpha", "correlation", "tracking_error",
            "information_ratio", "up_capture", "down_capture",
        )  # fmt: skip
        return pd.Series({name: float(getattr(self, name)) for name in names}, name=self.symbol)

    def in_words(self) -> str:
        """Two sentences: the next period's VaR with its proof, and the past's worst."""
        said = f"{self.symbol}: in 19 of 20 periods the next return should be above {self.value_at_risk_95_return:.2%}"
        said += f" ({self.value_at_risk_method}"
        row = self.backtests.rows.get(AUTO) if self.backtests is not None else None
        if row is not None and (self.level, self.horizon, self.side) == (_HEADLINE_LEVEL, 1, "long"):
            said += f"; backtest: {row.breaches} breaches in {row.origins}, {row.expected:.1f} expected"
        return said + f"). Deepest drawdown so far {self.max_drawdown:.1%}."

    def _repr_html_(self) -> str:
        table = self.to_frame().to_html(float_format=lambda value: f"{value:.4f}", na_rep="–")
        return f"<p>{self.in_words()}</p>{table}"


def risk_question(
    *,
    level: float = 0.95,
    horizon: int = 1,
    side: Side = "long",
    periods_per_year: float = 252.0,
    risk_free: float = 0.0,
    position_value: float | None = None,
    origins: int = 1000,
    seed: int = 0,
) -> dict[str, object]:
    """The question that :func:`risk_report` answers, checked, as its fingerprint sees it."""
    if not -1.0 < risk_free < np.inf:
        raise UsageError(f"risk_free {risk_free!r} is not an annual rate above -1, such as 0.03")
    if position_value is not None and not 0.0 < position_value < np.inf:
        raise UsageError(f"position_value {position_value!r} is not a positive amount; a short is side='short'")
    if isinstance(origins, bool) or not isinstance(origins, int) or origins < 1:
        raise UsageError(f"origins {origins!r} is not a whole number of at least 1")
    return {
        "kind": "risk",
        "level": check_tail_level(level),
        "horizon": check_horizon(horizon),
        "side": check_side(side),
        "periods_per_year": float(periods_per_year),
        "risk_free": float(risk_free),
        "position_value": position_value,
        "origins": origins,
        "seed": seed,
    }


def risk_report(
    returns: pd.Series,
    bars: pd.DataFrame | None = None,
    benchmark: pd.Series | None = None,
    *,
    level: float = 0.95,
    horizon: int = 1,
    side: Side = "long",
    periods_per_year: float = 252.0,
    risk_free: float = 0.0,
    position_value: float | None = None,
    currency: str = "",
    origins: int = 1000,
    seed: int = 0,
    fingerprint: str = "",
    progress: Progress = silent,
) -> RiskReport:
    """Measure the risk of one series of returns.

    Parameters
    ----------
    returns : Series, shape (T,)
        Simple per-period returns, at least 100; its name is the report's symbol.
    bars : DataFrame, optional
        The bars the returns come from: the last price, and estimators that look into the bar.
    benchmark : Series, optional
        Returns; what stands beside it uses the times that both have, and nothing else changes.
    level : float in (0.5, 1)
    horizon : int in 1..20
        Of VaR, ES and their backtests.
    side : {"long", "short"}
        Of VaR, ES and their backtests; the measures are the instrument's.
    periods_per_year : float
    risk_free : float
        Annual, a decimal.
    position_value : float, optional
        In `currency`; one share by default.
    currency : str
        By default that of `bars`.
    origins : int
        Of the backtests, at most.
    seed : int
    fingerprint : str
        Where the caller has made one; by default of the question and the data.
    progress : Progress

    Returns
    -------
    RiskReport

    Raises
    ------
    DataError
        NaN (names the first bad date), fewer than 100 returns, a benchmark that does not overlap.
    UsageError
        A level, horizon, side, rate or amount that makes no sense.
    """
    question = risk_question(
        level=level, horizon=horizon, side=side, periods_per_year=periods_per_year, risk_free=risk_free,
        position_value=position_value, origins=origins, seed=seed,
    )  # fmt: skip
    name = str(returns.name or "returns")
    matrix(returns, minimum=MINIMUM, name=name)
    notes: dict[str, str] = {}
    last_price = float("nan") if bars is None else float(bars["close"].iloc[-1])
    worth = last_price if position_value is None else float(position_value)

    asked = _backtest(returns, level, horizon, side, origins, seed, notes, progress)
    headline = (_HEADLINE_LEVEL, 1, "long")
    same = (level, horizon, side) == headline
    first = asked if same else _backtest(returns, *headline, origins, seed, {}, progress)  # type: ignore[arg-type]
    headline_method, var_95 = next(
        (method, figure)
        for method in _candidates(first)
        if not np.isnan(figure := value_at_risk(returns, level=_HEADLINE_LEVEL, method=method))  # type: ignore[arg-type]
    )
    var, es = _tails(returns, level, horizon, side, seed, asked, notes)
    per_period = _volatilities(returns, bars, notes)
    predicted, predicted_method = next_volatility(returns)
    rate = per_period_rate(risk_free, periods_per_year=periods_per_year)
    annual = {"periods_per_year": periods_per_year}
    excess = {**annual, "risk_free": rate}
    return RiskReport(
        symbol=name,
        currency=currency or str((bars.attrs if bars is not None else {}).get("currency", "")),
        as_of=returns.index[-1],
        start=returns.index[0],
        observations=len(returns),
        periods_per_year=periods_per_year,
        level=level,
        horizon=horizon,
        side=side,
        risk_free=risk_free,
        last_price=last_price,
        position_value=worth,
        predicted_volatility=predicted,
        predicted_volatility_method=predicted_method,
        value_at_risk_95=var_95 * last_price,
        value_at_risk_95_return=var_95,
        value_at_risk_method=headline_method,
        volatility=per_period,
        volatility_annual={
            method: annualise_volatility(each, periods_per_year=periods_per_year) for method, each in per_period.items()
        },
        value_at_risk=var,
        expected_shortfall=es,
        value_at_risk_currency={method: each * worth for method, each in var.items()},
        expected_shortfall_currency={method: each * worth for method, each in es.items()},
        notes=notes,
        term_structure=_term_structure(returns, notes),
        total_return=measures.total_return(returns),
        annual_return=measures.annual_return(returns, **annual),
        annual_volatility=measures.volatility(returns, **annual),
        downside_deviation=measures.downside_deviation(returns, **excess),
        sharpe=measures.sharpe_ratio(returns, **excess),
        sortino=measures.sortino_ratio(returns, **excess),
        calmar=measures.calmar_ratio(returns, **annual),
        omega=measures.omega_ratio(returns, risk_free=rate),
        max_drawdown=measures.max_drawdown(returns),
        max_drawdown_duration=int(measures.max_drawdown_duration(returns)),
        skewness=measures.skewness(returns),
        excess_kurtosis=measures.excess_kurtosis(returns),
        tail_ratio=measures.tail_ratio(returns),
        hit_rate=measures.hit_rate(returns),
        best=measures.best(returns),
        worst=measures.worst(returns),
        probabilistic_sharpe=probabilistic_sharpe(returns, risk_free=rate),
        **_beside(returns, benchmark, rate, periods_per_year),  # type: ignore[arg-type]
        drawdowns=worst_drawdowns(returns),
        backtests=asked,
        fingerprint=fingerprint or _fingerprint(question, returns, bars, benchmark),
    )


def _backtest(
    returns: pd.Series,
    level: float,
    horizon: int,
    side: Side,
    origins: int,
    seed: int,
    notes: dict[str, str],
    progress: Progress,
) -> VarBacktests | None:
    try:
        return backtest_var(
            returns, level=level, horizon=horizon, side=side, origins=origins, seed=seed, progress=progress
        )
    except DataError as error:
        notes["backtests"] = str(error)
        return None


def _tails(
    returns: pd.Series,
    level: float,
    horizon: int,
    side: Side,
    seed: int,
    backtests: VarBacktests | None,
    notes: dict[str, str],
) -> tuple[dict[str, float], dict[str, float]]:
    var, es = {}, {}
    for method, model in VAR_METHODS.items():
        if len(returns) < model.minimum:
            var[method] = es[method] = float("nan")
            notes[f"value_at_risk.{method}"] = f"{method} needs at least {model.minimum} returns; got {len(returns)}"
            continue
        tail = tail_risk(returns, level=level, method=method, horizon=horizon, side=side, seed=seed)  # type: ignore[arg-type]
        var[method], es[method] = tail.value_at_risk, tail.expected_shortfall
        if tail.reason:
            quantity = "value_at_risk" if np.isnan(tail.value_at_risk) else "expected_shortfall"
            notes[f"{quantity}.{method}"] = tail.reason
    stands_on = next(method for method in _candidates(backtests) if not np.isnan(var[method]))
    var[AUTO], es[AUTO] = var[stands_on], es[stands_on]
    if backtests is not None and backtests.auto_note:
        notes[AUTO] = backtests.auto_note
    if backtests is not None and stands_on != backtests.auto_method:
        notes[AUTO] = f"{backtests.auto_method} has no figure today; {stands_on} is used"
    return var, es


def _candidates(backtests: VarBacktests | None) -> list[str]:
    """Methods for `auto`, first choice first; historical simulation always has a figure."""
    tested = [] if backtests is None else [backtests.auto_method, *backtests.ranking]
    return [*tested, "historical"]


def _volatilities(returns: pd.Series, bars: pd.DataFrame | None, notes: dict[str, str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for method in VOLATILITY_METHODS:
        try:
            found[method] = float(volatility_series(returns, method=method, bars=bars).iloc[-1])
        except QuantkitError as error:
            found[method] = float("nan")
            notes[f"volatility.{method}"] = str(error)
    return found


def _term_structure(returns: pd.Series, notes: dict[str, str]) -> VolatilityForecast | None:
    try:
        return term_structure(returns, method="garch")
    except QuantkitError as error:
        notes["term_structure"] = str(error)
        return None


def _beside(
    returns: pd.Series, benchmark: pd.Series | None, rate: float, periods_per_year: float
) -> dict[str, float | int | str]:
    names = ("beta", "alpha", "correlation", "tracking_error", "information_ratio", "up_capture", "down_capture")
    if benchmark is None:
        return {"benchmark": "", "benchmark_dropped": 0, **dict.fromkeys(names, float("nan"))}
    name = str(benchmark.name or "benchmark")
    mine, market, dropped = align(returns, benchmark, name=name)
    annual = {"periods_per_year": periods_per_year}
    return {
        "benchmark": name,
        "benchmark_dropped": dropped,
        "beta": relative.beta(mine, market, risk_free=rate),
        "alpha": relative.alpha(mine, market, **annual, risk_free=rate),
        "correlation": relative.correlation_with(mine, market),
        "tracking_error": relative.tracking_error(mine, market, **annual),
        "information_ratio": relative.information_ratio(mine, market, **annual),
        "up_capture": relative.up_capture(mine, market, **annual),
        "down_capture": relative.down_capture(mine, market, **annual),
    }


def _fingerprint(
    question: dict[str, object], returns: pd.Series, bars: pd.DataFrame | None, benchmark: pd.Series | None
) -> str:
    return hash_of(question, *(each for each in (returns, bars, benchmark) if each is not None))
