"""Risk measures against empyrical-reloaded and quantstats, on real prices and on simulated returns.

Both libraries work with pandas 3.1 on these measures; quantstats compares times with a market only when neither
carries a zone, so it is handed the same returns with the zone taken off.

Measures that differ on purpose, each with its test below
    VaR, CVaR      empyrical takes an order statistic and the mean of the floor(n p) worst; quantstats a Gaussian VaR.
                   Ours interpolates, and its ES includes the fraction of an observation.
    alpha          empyrical compounds the mean residual to a year, ours and quantstats' multiply it.
    hit rate       quantstats leaves out periods without change; ours counts them as no hit.
    skew, kurtosis quantstats corrects for bias as pandas does; ours are the population's.
    information    both leave it per period; ours is annualised.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantkit.core.returns import prices_from, simple_returns
from quantkit.data.base import HistoryQuery
from quantkit.data.sample import SampleProvider
from quantkit.risk import expected_shortfall, measures, relative, value_at_risk

empyrical = pytest.importorskip("empyrical")
quantstats = pytest.importorskip("quantstats.stats")

RELATIVE = 1e-10
YEAR = {"periods_per_year": 252}


def real(symbol: str) -> pd.Series:
    provider = SampleProvider()
    query = HistoryQuery(symbol)
    bars = provider.normalise(provider.extract(provider.build(query)), query).bars
    return simple_returns(prices_from(bars)).rename(symbol)


def simulated(seed: int) -> pd.Series:
    rng = np.random.default_rng(seed)
    times = pd.date_range("2015-01-01", periods=1500, freq="D", tz="UTC", unit="us")
    returns = 0.012 * rng.standard_t(4, 1500) / np.sqrt(2)
    returns[rng.random(1500) < 0.02] = 0.0
    return pd.Series(returns, index=times, name=f"simulated {seed}")


def plain(returns: pd.Series) -> pd.Series:
    return returns.tz_localize(None)


@pytest.fixture(scope="module")
def index_returns() -> pd.Series:
    return real("^GSPC")


@pytest.fixture(scope="module", params=["AAPL", "XOM", "simulated 1", "simulated 2"])
def returns(request: pytest.FixtureRequest) -> pd.Series:
    kind, _, seed = request.param.partition(" ")
    # The index ends before the shares do.
    return simulated(int(seed)) if kind == "simulated" else real(request.param).loc[:"2022-12-28"]


@pytest.fixture
def market(returns: pd.Series, index_returns: pd.Series) -> pd.Series:
    if str(returns.name).startswith("simulated"):
        return simulated(99)
    return index_returns.loc[returns.index]


EMPYRICAL = {
    "total return": (lambda r: measures.total_return(r), lambda r: empyrical.cum_returns_final(r)),
    "annual return": (
        lambda r: measures.annual_return(r, **YEAR),
        lambda r: empyrical.annual_return(r, annualization=252),
    ),
    "volatility": (
        lambda r: measures.volatility(r, **YEAR),
        lambda r: empyrical.annual_volatility(r, annualization=252),
    ),
    "Sharpe": (
        lambda r: measures.sharpe_ratio(r, **YEAR, risk_free=1e-4),
        lambda r: empyrical.sharpe_ratio(r, risk_free=1e-4, annualization=252),
    ),
    "Sortino": (
        lambda r: measures.sortino_ratio(r, **YEAR, risk_free=1e-4),
        lambda r: empyrical.sortino_ratio(r, required_return=1e-4, annualization=252),
    ),
    "downside deviation": (
        lambda r: measures.downside_deviation(r, **YEAR, risk_free=1e-4),
        lambda r: empyrical.downside_risk(r, required_return=1e-4, annualization=252),
    ),
    "Calmar": (lambda r: measures.calmar_ratio(r, **YEAR), lambda r: empyrical.calmar_ratio(r, annualization=252)),
    "max drawdown": (lambda r: measures.max_drawdown(r), lambda r: empyrical.max_drawdown(r)),
    "Omega": (
        lambda r: measures.omega_ratio(r, risk_free=1e-4),
        lambda r: empyrical.omega_ratio(r, risk_free=1e-4, annualization=252),
    ),
    "tail ratio": (lambda r: measures.tail_ratio(r), lambda r: empyrical.tail_ratio(r)),
}
QUANTSTATS = {
    "total return": (lambda r: measures.total_return(r), lambda r: quantstats.comp(r)),
    "annual return": (lambda r: measures.annual_return(r, **YEAR), lambda r: quantstats.cagr(r, periods=252)),
    "volatility": (lambda r: measures.volatility(r, **YEAR), lambda r: quantstats.volatility(r, periods=252)),
    "Sharpe": (lambda r: measures.sharpe_ratio(r, **YEAR), lambda r: quantstats.sharpe(r, periods=252)),
    "Sortino": (lambda r: measures.sortino_ratio(r, **YEAR), lambda r: quantstats.sortino(r, periods=252)),
    "Calmar": (lambda r: measures.calmar_ratio(r, **YEAR), lambda r: quantstats.calmar(r, periods=252)),
    "max drawdown": (lambda r: measures.max_drawdown(r), lambda r: quantstats.max_drawdown(r)),
    "Omega": (lambda r: measures.omega_ratio(r), lambda r: quantstats.omega(r, periods=252)),
    "tail ratio": (lambda r: measures.tail_ratio(r), lambda r: quantstats.tail_ratio(r)),
}


@pytest.mark.parametrize("name", EMPYRICAL)
def test_equals_empyrical(name: str, returns: pd.Series) -> None:
    ours, theirs = EMPYRICAL[name]
    assert ours(returns) == pytest.approx(float(theirs(returns)), rel=RELATIVE)


@pytest.mark.parametrize("name", QUANTSTATS)
def test_equals_quantstats(name: str, returns: pd.Series) -> None:
    ours, theirs = QUANTSTATS[name]
    assert ours(returns) == pytest.approx(float(theirs(plain(returns))), rel=RELATIVE)


def test_beta_equals_both(returns: pd.Series, market: pd.Series) -> None:
    ours = relative.beta(returns, market)
    assert ours == pytest.approx(empyrical.beta(returns, market), rel=RELATIVE)
    theirs = quantstats.greeks(plain(returns), plain(market), periods=252)
    assert ours == pytest.approx(theirs["beta"], rel=RELATIVE)


def test_capture_ratios_equal_empyrical_once_days_without_change_are_left_out(
    returns: pd.Series, market: pd.Series
) -> None:
    # empyrical counts a day on which the market stood still as a fall.
    moved = market != 0
    returns, market = returns[moved], market[moved]
    up = relative.up_capture(returns, market, **YEAR)
    down = relative.down_capture(returns, market, **YEAR)
    assert up == pytest.approx(empyrical.up_capture(returns, market, period="daily"), rel=RELATIVE)
    assert down == pytest.approx(empyrical.down_capture(returns, market, period="daily"), rel=RELATIVE)


def test_alpha_is_arithmetic_like_quantstats_and_not_compounded_like_empyrical(
    returns: pd.Series, market: pd.Series
) -> None:
    ours = relative.alpha(returns, market, **YEAR)
    theirs = quantstats.greeks(plain(returns), plain(market), periods=252)
    assert ours == pytest.approx(theirs["alpha"], rel=1e-8)
    compounded = empyrical.alpha(returns, market, annualization=252)
    assert (1 + ours / 252) ** 252 - 1 == pytest.approx(compounded, rel=1e-8)
    assert ours != pytest.approx(compounded, rel=1e-4)


def test_hit_rate_counts_periods_without_change(returns: pd.Series) -> None:
    changed = float((returns != 0).mean())
    assert measures.hit_rate(returns) == pytest.approx(quantstats.win_rate(plain(returns)) * changed, rel=RELATIVE)


def test_skewness_and_kurtosis_differ_by_the_bias_correction(returns: pd.Series) -> None:
    n = len(returns)
    corrected = measures.skewness(returns) * np.sqrt(n * (n - 1)) / (n - 2)
    assert corrected == pytest.approx(quantstats.skew(plain(returns)), rel=RELATIVE)
    corrected = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * measures.excess_kurtosis(returns) + 6)
    assert corrected == pytest.approx(quantstats.kurtosis(plain(returns)), rel=1e-9)


def test_information_ratio_is_annualised(returns: pd.Series, market: pd.Series) -> None:
    ours = relative.information_ratio(returns, market, **YEAR)
    assert ours == pytest.approx(empyrical.excess_sharpe(returns, market) * np.sqrt(252), rel=1e-9)
    theirs = quantstats.information_ratio(plain(returns), plain(market))
    assert ours == pytest.approx(theirs * np.sqrt(252), rel=1e-9)


def test_var_interpolates_and_es_takes_the_fraction_that_empyrical_leaves_out(returns: pd.Series) -> None:
    ordered = np.sort(returns.to_numpy())
    n = len(ordered)
    assert value_at_risk(returns) == pytest.approx(np.percentile(ordered, 5), rel=1e-12)
    assert value_at_risk(returns) == pytest.approx(empyrical.value_at_risk(returns, 0.05), rel=1e-12)
    whole = int(n * 0.05)
    fraction = n * 0.05 - whole
    ours = (ordered[:whole].sum() + fraction * ordered[whole]) / (n * 0.05)
    assert expected_shortfall(returns) == pytest.approx(ours, rel=1e-12)
    position = int((n - 1) * 0.05)
    theirs = ordered[: position + 1].mean()
    assert empyrical.conditional_value_at_risk(returns, 0.05) == pytest.approx(theirs, rel=1e-12)
    if fraction > 0.01:
        assert theirs != pytest.approx(ours, rel=1e-6)


def test_quantstats_var_is_the_gaussian_one(returns: pd.Series) -> None:
    ours = value_at_risk(returns, method="gaussian", level=0.95)
    assert ours == pytest.approx(quantstats.value_at_risk(plain(returns), confidence=0.95), rel=RELATIVE)


def test_tail_models_equal_scipy_maximum_likelihood(returns: pd.Series) -> None:
    from scipy import stats

    from quantkit.risk.tail_models import fit_pareto, fit_student_t

    values = returns.to_numpy()
    location, scale, nu = fit_student_t(values)
    mine = stats.t.logpdf(values, nu, location, scale).sum()
    theirs = stats.t.logpdf(values, *stats.t.fit(values)).sum()
    assert mine >= theirs - 1e-3
    losses = np.sort(-values)[::-1]
    excess = losses[:100] - losses[100]
    xi, beta = fit_pareto(excess)
    shape, _, width = stats.genpareto.fit(excess / excess.mean(), floc=0)
    mine = stats.genpareto.logpdf(excess, xi, 0, beta).sum()
    theirs = stats.genpareto.logpdf(excess, shape, 0, width * excess.mean()).sum()
    assert mine >= theirs - 1e-6
    assert mine == pytest.approx(theirs, abs=1e-2)
