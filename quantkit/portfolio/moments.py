"""Expected returns and covariance: two registries of estimators, each from returns per period to numbers per period."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError, UsageError
from quantkit.core.progress import Progress, silent
from quantkit.core.registry import Registry
from quantkit.core.results import Result
from quantkit.core.returns import annualise_mean, per_period_rate, simple_returns
from quantkit.portfolio.constraints import Array, weights_vector
from quantkit.portfolio.universe import MIN_HISTORY, Universe, prepare
from quantkit.portfolio.views import MARKET_RISK_AVERSION, View, as_views, black_litterman, implied_returns

if TYPE_CHECKING:
    from quantkit.portfolio.forecast_views import ForecastView

__all__ = ["COVARIANCES", "EXPECTED_RETURNS", "Context", "Estimate", "Moments", "estimate_moments"]

#: Spans of exponential weighting in periods, PyPortfolioOpt's.
MEAN_SPAN: Final = 500
COV_SPAN: Final = 180
#: A covariance whose least eigenvalue is below this share of its largest is repaired.
SINGULAR: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Moments(Result):
    """What a portfolio is chosen from.

    Attributes
    ----------
    mu : Series by symbol
        Expected simple returns per period, decimals.
    cov : DataFrame, symbol x symbol
        Per period, positive definite.
    expected_returns, covariance : str
        Names of the estimators.
    observations : int
        Returns that were used.
    start, end : Timestamp
        First and last price that was used.
    dropped : dict of symbol to reason
        Assets left out.
    notes : tuple of str
        What was repaired or assumed.
    """

    mu: pd.Series
    cov: pd.DataFrame
    expected_returns: str
    covariance: str
    observations: int
    start: pd.Timestamp
    end: pd.Timestamp
    dropped: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not list(self.mu.index) == list(self.cov.index) == list(self.cov.columns):
            raise DataError("moments: mu and cov do not have the same symbols in the same order")
        if not (np.isfinite(self.mu.to_numpy()).all() and np.isfinite(self.cov.to_numpy()).all()):
            raise DataError("moments: mu or cov has an entry that is not a number")

    @property
    def symbols(self) -> list[str]:
        """Assets, in order."""
        return list(self.mu.index)


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What an estimator of expected returns may need beside returns and covariance.

    Attributes
    ----------
    prices : DataFrame, shape (T, N)
    benchmark : Series, shape (T - 1,) or None
        Returns of the market; the mean of all assets where it is None.
    views : tuple of View
    market : array, shape (N,)
        Weights of the market.
    risk_free : float
        Per period.
    periods_per_year : float
    horizon : int
        Periods until the next rebalancing.
    model : str
        Forecasting model behind ``forecast``.
    forecasts : mapping of symbol to ForecastView or None
        What it says, where that is known already.
    progress : Progress
    """

    prices: pd.DataFrame
    benchmark: pd.Series | None
    views: tuple[View, ...]
    market: Array
    risk_free: float
    periods_per_year: float
    horizon: int
    model: str
    forecasts: Mapping[str, ForecastView] | None = None
    progress: Progress = silent


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """An estimator's answer: means, and what else it changed or has to say.

    Attributes
    ----------
    mu : array, shape (N,)
    cov : array, shape (N, N) or None
        Where the covariance is another one after the estimate.
    notes : tuple of str
    """

    mu: Array
    cov: Array | None = None
    notes: tuple[str, ...] = ()


ExpectedReturns = Callable[[Array, Array, Context], Estimate]
Covariance = Callable[[Array], Array]

#: Estimators of expected returns by name.
EXPECTED_RETURNS: Final[Registry[ExpectedReturns]] = Registry("estimator of expected returns")
#: Estimators of the covariance by name.
COVARIANCES: Final[Registry[Covariance]] = Registry("estimator of covariance")


def estimate_moments(
    prices: pd.DataFrame | Universe,
    *,
    expected_returns: str | None = None,
    covariance: str = "ledoit_wolf",
    views: Sequence[View | Mapping[str, Any]] | Mapping[str, float] | None = None,
    benchmark: pd.Series | None = None,
    market_weights: Mapping[str, float] | None = None,
    risk_free: float = 0.0,
    periods_per_year: float = 252.0,
    horizon: int = 21,
    model: str = "arima",
    min_history: int = MIN_HISTORY,
    forecasts: Mapping[str, ForecastView] | None = None,
    progress: Progress = silent,
) -> Moments:
    """Estimate expected returns and covariance from prices.

    Parameters
    ----------
    prices : DataFrame, shape (T, N), or Universe
        Adjusted prices; NaN where there is none. A Universe is taken as it is.
    expected_returns : str, optional
        One of ``EXPECTED_RETURNS``; ``black_litterman`` where views are given, else ``bayes_stein``.
    covariance : str
        One of ``COVARIANCES``.
    views : sequence of View, or annual returns by symbol
        For ``black_litterman``.
    benchmark : Series
        Prices of the market, for ``capm``.
    market_weights : mapping of symbol to weight
        For ``black_litterman`` and ``forecast``; equal where it is not given, which is said.
    risk_free : float
        Annual, a decimal.
    periods_per_year : float
    horizon : int
        Periods until the next rebalancing, at which ``forecast`` forecasts.
    model : str
        Of :data:`quantkit.forecast.FORECASTERS`, for ``forecast``.
    min_history : int
        Fewest returns that the assets must share.
    forecasts : mapping of symbol to ForecastView
        What ``forecast`` is to take instead of walking the model forward.

    Raises
    ------
    DataError
        No asset has enough history, or a price is not positive.
    UsageError
        An estimator is unknown, or views are given to one that does not use them.
    """
    opinions = as_views(views)
    name = expected_returns or ("black_litterman" if opinions else "bayes_stein")
    mean_of, cov_of = EXPECTED_RETURNS[name], COVARIANCES[covariance]
    if opinions and name != "black_litterman":
        raise UsageError(f"views are used by black_litterman only, not by {name}")
    universe = prices if isinstance(prices, Universe) else prepare(prices, min_history=min_history)
    clean = universe.prices
    symbols = list(clean.columns)
    if unknown := sorted({each for view in opinions for each in view.assets} - {*symbols, *universe.dropped}):
        raise UsageError(f"views name {', '.join(unknown)}, not among {', '.join(symbols)}")
    returns = simple_returns(clean).to_numpy()
    notes = list(universe.notes)
    cov, said = _repaired(cov_of(returns), covariance, returns.shape)
    notes += said
    if market_weights is None and name in ("black_litterman", "forecast"):
        notes.append("market weights are not known: equal weights stand for the market")
    market = weights_vector(market_weights, symbols) if market_weights else np.ones(len(symbols))
    if market.sum() <= 0.0:
        raise UsageError(f"market_weights {market_weights!r} have no positive sum over {', '.join(symbols)}")
    context = Context(
        prices=clean,
        benchmark=None if benchmark is None else _aligned(benchmark, clean, notes),
        views=opinions,
        market=market / market.sum(),
        risk_free=per_period_rate(risk_free, periods_per_year=periods_per_year),
        periods_per_year=periods_per_year,
        horizon=horizon,
        model=model,
        forecasts=forecasts,
        progress=progress,
    )
    estimate = mean_of(returns, cov, context)
    if estimate.cov is not None:
        cov, said = _repaired(estimate.cov, name, returns.shape)
        notes += said
    return Moments(
        mu=pd.Series(estimate.mu, index=pd.Index(symbols), name="mu"),
        cov=pd.DataFrame(cov, index=pd.Index(symbols), columns=pd.Index(symbols)),
        expected_returns=name,
        covariance=covariance,
        observations=len(returns),
        start=clean.index[0],
        end=clean.index[-1],
        dropped=dict(universe.dropped),
        notes=(*notes, *estimate.notes),
    )


def _aligned(benchmark: pd.Series, prices: pd.DataFrame, notes: list[str]) -> pd.Series:
    """Returns of the benchmark at the times of `prices`; a day without one repeats the last level."""
    level = benchmark.dropna().reindex(prices.index.union(benchmark.index)).ffill().reindex(prices.index)
    missing = int(level.isna().sum())
    if missing > len(level) // 10:
        raise DataError(f"benchmark {benchmark.name}: {missing} of {len(level)} days have no level")
    if missing:
        notes.append(f"the benchmark has no level on the first {missing} days, which count as unchanged")
        level = level.bfill()
    return simple_returns(level)


def _repaired(cov: Array, name: str, shape: tuple[int, int]) -> tuple[Array, list[str]]:
    """`cov`, made positive definite by raising its small eigenvalues where it is not, and what was done, in words."""
    cov = (cov + cov.T) / 2.0
    volatility = np.sqrt(np.diag(cov))
    if not (volatility > 0.0).all():
        raise DataError("covariance: an asset's price does not change in this window")
    correlation = cov / np.outer(volatility, volatility)
    values, vectors = np.linalg.eigh(correlation)
    floor = SINGULAR * values[-1]
    if values[0] >= floor:
        return cov, []
    # Raised well above the floor, so that the repair holds after rounding; variances stay what they were.
    values = np.maximum(values, 1e-7 * values[-1])
    mended = (vectors * values) @ vectors.T
    unit = np.sqrt(np.diag(mended))
    mended = mended / np.outer(unit, unit) * np.outer(volatility, volatility)
    count = int((np.linalg.eigvalsh(correlation) < floor).sum())
    said = (
        f"the {name} covariance of {shape[1]} assets from {shape[0]} returns is singular: "
        f"{count} eigenvalues were raised; ledoit_wolf needs no such repair"
    )
    return (mended + mended.T) / 2.0, [said]


@COVARIANCES.add("ledoit_wolf")
def _ledoit_wolf(returns: Array) -> Array:
    """Sample covariance shrunk towards equal variances (Ledoit and Wolf, 2004).

    ``(1 - d) S + d (tr S / N) I``, `S` with denominator T and the share ``d`` of least expected squared error.

    References
    ----------
    Ledoit, O. and Wolf, M. (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of
    Multivariate Analysis 88(2).
    """
    if returns.shape[1] == 1:
        return _sample(returns)
    from sklearn.covariance import ledoit_wolf

    return np.asarray(ledoit_wolf(returns)[0])


@COVARIANCES.add("sample")
def _sample(returns: Array) -> Array:
    """Sample covariance, denominator T - 1.

    ``S = sum_t (r[t] - m) (r[t] - m)' / (T - 1)`` with ``m`` the means.

    References
    ----------
    Markowitz, H. (1952). Portfolio selection. Journal of Finance 7(1).
    """
    return np.atleast_2d(np.cov(returns, rowvar=False))


@COVARIANCES.add("ewma")
def _ewma_cov(returns: Array) -> Array:
    """Covariance with weights that fall by half in 62 periods (span 180).

    ``sum_k d^k (r[T-k] - m) (r[T-k] - m)' / sum_k d^k`` with ``d = 1 - 2 / (span + 1)`` and ``m`` the plain means.

    References
    ----------
    RiskMetrics Technical Document, 4th ed. (1996), section 5.2. J. P. Morgan.
    """
    centred = returns - returns.mean(axis=0)
    weights = (1.0 - 2.0 / (COV_SPAN + 1.0)) ** np.arange(len(returns) - 1, -1, -1)
    return (centred * (weights / weights.sum())[:, None]).T @ centred


@EXPECTED_RETURNS.add("bayes_stein")
def _bayes_stein(returns: Array, cov: Array, context: Context) -> Estimate:
    """Means shrunk towards that of the least volatile portfolio (Jorion, 1986).

    With ``m`` the sample means of N assets over T periods, ``C`` the covariance and ``g`` the mean of the
    minimum-variance portfolio::

        mu = (1 - w) m + w g
        w = (N + 2) / (N + 2 + T (m - g)' C^-1 (m - g))

    References
    ----------
    Jorion, P. (1986). Bayes-Stein estimation for portfolio analysis. Journal of Financial and Quantitative Analysis
    21(3).
    """
    count, size = returns.shape
    mean = returns.mean(axis=0)
    inverse = np.linalg.inv(cov)
    target = float(inverse.sum(axis=0) @ mean / inverse.sum())
    spread = mean - target
    share = (size + 2.0) / (size + 2.0 + count * float(spread @ inverse @ spread))
    return Estimate((1.0 - share) * mean + share * target)


@EXPECTED_RETURNS.add("james_stein")
def _james_stein(returns: Array, cov: Array, context: Context) -> Estimate:
    """Means shrunk towards their common mean by as much as their noise asks for (James and Stein, 1961).

    With ``m`` the sample means over T periods, ``b`` their mean and ``C`` the covariance of the returns::

        mu = (1 - w) m + w b
        w = (tr C - 2 largest eigenvalue of C) / (T |m - b|^2), kept within [0, 1]

    References
    ----------
    James, W. and Stein, C. (1961). Estimation with quadratic loss. Proc. 4th Berkeley Symposium 1. Meucci, A. (2005).
    Risk and Asset Allocation, section 4.4.
    """
    count = len(returns)
    mean = returns.mean(axis=0)
    values = np.linalg.eigvalsh(cov)
    spread = mean - mean.mean()
    share = (values.sum() - 2.0 * values[-1]) / float(spread @ spread) / count if spread.any() else 1.0
    share = float(np.clip(share, 0.0, 1.0))
    said = ("james_stein does not shrink here: one factor carries over half of the variance",) if share == 0.0 else ()
    return Estimate((1.0 - share) * mean + share * mean.mean(), notes=said)


@EXPECTED_RETURNS.add("historical")
def _historical(returns: Array, cov: Array, context: Context) -> Estimate:
    """Arithmetic mean of the returns.

    ``mu = sum_t r[t] / T``. Its standard error is the volatility over the square root of T: decades of returns tell
    the means of two stocks apart poorly.

    References
    ----------
    Merton, R. (1980). On estimating the expected return on the market. Journal of Financial Economics 8(4).
    """
    return Estimate(returns.mean(axis=0))


@EXPECTED_RETURNS.add("ewma")
def _ewma_mean(returns: Array, cov: Array, context: Context) -> Estimate:
    """Mean with weights that fall by half in 173 periods (span 500).

    ``sum_k d^k r[T-k] / sum_k d^k`` with ``d = 1 - 2 / (span + 1)``.

    References
    ----------
    PyPortfolioOpt, ``ema_historical_return``, which computes it.
    """
    from pypfopt.expected_returns import ema_historical_return

    frame = pd.DataFrame(returns)
    found = ema_historical_return(frame, returns_data=True, compounding=False, span=MEAN_SPAN, frequency=1)
    return Estimate(found.to_numpy())


@EXPECTED_RETURNS.add("capm")
def _capm(returns: Array, cov: Array, context: Context) -> Estimate:
    """Risk-free rate plus beta times the market's mean excess return (Sharpe, 1964).

    ``mu[i] = f + beta[i] (mean(r_m) - f)`` with ``beta[i] = cov(r[i], r_m) / var(r_m)``.

    References
    ----------
    Sharpe, W. (1964). Capital asset prices: a theory of market equilibrium under conditions of risk. Journal of
    Finance 19(3).
    """
    from pypfopt.expected_returns import capm_return

    frame = pd.DataFrame(returns)
    market = None if context.benchmark is None else pd.DataFrame({"mkt": context.benchmark.to_numpy()})
    found = capm_return(
        frame, market, returns_data=True, risk_free_rate=context.risk_free, compounding=False, frequency=1
    )
    said = () if market is not None else ("no benchmark is given: the mean of all assets stands for the market",)
    return Estimate(found.to_numpy(), notes=said)


@EXPECTED_RETURNS.add("black_litterman")
def _black_litterman(returns: Array, cov: Array, context: Context) -> Estimate:
    """What the market's weights imply, blended with the views (Black and Litterman, 1992).

    With ``w`` the market's weights, ``P`` the views' portfolios, ``q`` their returns, ``c`` their confidences and
    ``Omega`` diagonal::

        prior = delta C w
        mu = prior + tau C P' (tau P C P' + Omega)^-1 (q - P prior)
        Omega[k] = tau (1 - c[k]) / c[k] * P[k] C P[k]'

    References
    ----------
    Black, F. and Litterman, R. (1992). Global portfolio optimization. Financial Analysts Journal 48(5). Walters, J.
    (2014). The Black-Litterman model in detail.
    """
    symbols = list(context.prices.columns)
    views = [view for view in context.views if set(view.assets) <= set(symbols)]
    said = tuple(
        f"the view on {', '.join(view.assets)} is left out: an asset of it was dropped"
        for view in context.views
        if view not in views
    )
    picks = np.array([weights_vector(view.assets, symbols) for view in views]).reshape(-1, len(symbols))
    # An annual mean is the mean per period times the periods, so that the inverse is a year seen as one period.
    annual = np.array([view.expected_return for view in views])
    values = annualise_mean(annual, periods_per_year=1.0 / context.periods_per_year)
    confidences = np.array([view.confidence for view in views])
    return _blended(cov, picks, values, confidences, context, said)


@EXPECTED_RETURNS.add("forecast")
def _forecast(returns: Array, cov: Array, context: Context) -> Estimate:
    """What the market's weights imply, blended with forecasts as far as they have shown skill out of sample.

    As ``black_litterman``, each forecast a view on one asset with the confidence ``c = max(R2, 0)``: its out-of-sample
    ``R2 = 1 - sum (r - forecast)^2 / sum (r - past mean)^2`` at the rebalancing horizon.

    References
    ----------
    Campbell, J. and Thompson, S. (2008). Predicting excess stock returns out of sample. Review of Financial Studies
    21(4).
    """
    from quantkit.portfolio.forecast_views import walk_forecasts

    found = context.forecasts
    if found is None:
        walks = walk_forecasts(context.prices, model=context.model, horizon=context.horizon, progress=context.progress)
        found = walks.at(len(context.prices) - 1)
    found = {symbol: found[symbol] for symbol in context.prices.columns}
    skilled = {symbol: each for symbol, each in found.items() if each.r_squared > 0.0}
    picks = np.array([[float(symbol == column) for column in context.prices] for symbol in skilled])
    values = np.array([each.expected_return for each in skilled.values()])
    confidences = np.array([min(each.r_squared, 1.0) for each in skilled.values()])
    told = ", ".join(f"{symbol} {each.r_squared:.1%}" for symbol, each in skilled.items())
    said = (
        f"{context.model} at {context.horizon} periods has out-of-sample skill for {told}"
        if skilled
        else f"{context.model} at {context.horizon} periods has no out-of-sample skill for any asset: the prior stands",
    )
    return _blended(cov, picks.reshape(-1, len(cov)), values, confidences, context, said)


def _blended(
    cov: Array, picks: Array, values: Array, confidences: Array, context: Context, said: tuple[str, ...]
) -> Estimate:
    prior = implied_returns(cov, context.market, risk_aversion=MARKET_RISK_AVERSION)
    # Views are on total returns, the prior is in excess of the risk-free rate.
    excess = values - picks.sum(axis=1) * context.risk_free
    posterior = black_litterman(prior, cov, picks, excess, confidences=confidences)
    changed = posterior.cov is not cov
    return Estimate(posterior.mu + context.risk_free, posterior.cov if changed else None, said)
