"""Volatility estimators on prices whose volatility is known, and term structures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import ComputeError, DataError, UsageError
from quantkit.core.returns import simple_returns
from quantkit.risk import VolatilityForecast, next_volatility, term_structure, volatility_series
from quantkit.risk.garch import fit_garch
from quantkit.risk.volatility import VOLATILITY_METHODS

SIGMA = 0.016


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    """Three thousand days of 390 minutes each, volatility 1.6 % a day, without drift or gaps between days."""
    rng = np.random.default_rng(2)
    steps = rng.normal(0, SIGMA / np.sqrt(390), (3000, 390))
    path = np.exp(steps.cumsum().reshape(3000, 390))
    opened = np.concatenate([[1.0], path[:-1, -1]])
    index = pd.date_range("2010-01-01", periods=3000, freq="D", tz="UTC", unit="us", name="time")
    frame = pd.DataFrame(
        {
            "open": opened,
            "high": np.maximum(path.max(axis=1), opened),
            "low": np.minimum(path.min(axis=1), opened),
            "close": path[:, -1],
            "volume": 1e6,
            "adj_close": path[:, -1],
        },
        index=index,
    )
    frame.attrs["symbol"] = "SIM"
    return frame


@pytest.fixture(scope="module")
def returns(bars: pd.DataFrame) -> pd.Series:
    return simple_returns(bars["close"]).rename("SIM")


@pytest.mark.parametrize("method", VOLATILITY_METHODS)
def test_each_estimator_finds_the_volatility_that_made_the_prices(
    method: str, bars: pd.DataFrame, returns: pd.Series
) -> None:
    found = volatility_series(returns, method=method, window=63, bars=bars)
    # Ranges seen once a minute miss the extremes between: Garman and Klass (1980) give about 5 % for 390 steps.
    assert np.sqrt((found**2).mean()) == pytest.approx(SIGMA, rel=0.07)
    assert found.index[-1] == returns.index[-1]


def test_estimators_that_see_the_range_vary_less(bars: pd.DataFrame, returns: pd.Series) -> None:
    close, inside = (
        volatility_series(returns, method=each, window=21, bars=bars) for each in ("rolling", "garman_klass")
    )
    assert inside.std() < 0.5 * close.std()


def test_yang_zhang_sees_gaps_that_parkinson_does_not(bars: pd.DataFrame, returns: pd.Series) -> None:
    rng = np.random.default_rng(9)
    level = np.exp(rng.normal(0, SIGMA, len(bars)).cumsum())
    gapped = bars.copy()
    gapped[["open", "high", "low", "close", "adj_close"]] = bars[["open", "high", "low", "close", "adj_close"]].mul(
        level, axis=0
    )
    gapped.attrs = bars.attrs
    whole, inside = (
        np.sqrt((volatility_series(returns, method=each, window=63, bars=gapped) ** 2).mean())
        for each in ("yang_zhang", "parkinson")
    )
    assert whole == pytest.approx(SIGMA * np.sqrt(2), rel=0.05)
    assert inside == pytest.approx(SIGMA, rel=0.07)


def test_ewma_is_the_riskmetrics_recursion_once_the_start_has_worn_off(returns: pd.Series) -> None:
    found = volatility_series(returns, method="ewma").to_numpy() ** 2
    squares = returns.to_numpy() ** 2
    np.testing.assert_allclose(found[501:], 0.94 * found[500:-1] + 0.06 * squares[501:], rtol=1e-9)


def test_garch_recovers_the_parameters_that_made_the_returns() -> None:
    rng = np.random.default_rng(1)
    variance, values = 1.0, np.empty(8000)
    for t in range(8000):
        values[t] = np.sqrt(variance) * rng.standard_normal()
        variance = 0.05 + 0.08 * values[t] ** 2 + 0.87 * variance
    model = fit_garch(values / 100)
    assert model.parameters["alpha[1]"] == pytest.approx(0.08, abs=0.02)
    assert model.parameters["beta[1]"] == pytest.approx(0.87, abs=0.03)
    assert model.long_run_volatility == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("kind", ["garch", "gjr", "egarch"])
def test_simulated_paths_follow_the_filter(kind: str) -> None:
    rng = np.random.default_rng(7)
    past = 0.01 * rng.standard_normal(1500)
    past[1:] *= 1 + 25 * np.maximum(-past[:-1], 0)
    model = fit_garch(past, kind=kind)
    sigma = model.filter(past)[-1]
    shocks = np.array([[-2.0, 0.3, -1.0], [2.0, -0.5, 0.1]])
    for path, shock in zip(model.paths(sigma, shocks), shocks, strict=True):
        volatilities = model.filter(np.concatenate([past, path]))[1500:1503]
        np.testing.assert_allclose((path - model.mean) / volatilities, shock, rtol=1e-9)


@pytest.mark.parametrize("method", ["ewma", "garch", "gjr", "egarch"])
def test_a_term_structure_starts_at_the_next_period_and_tends_to_the_long_run(method: str, returns: pd.Series) -> None:
    shocked = returns.copy()
    shocked.iloc[-5:] = [0.05, -0.06, 0.05, -0.05, 0.04]
    found = term_structure(shocked, method=method, horizon=250)
    current = volatility_series(shocked, method=method).iloc[-1]
    assert found.per_period[0] == pytest.approx(current, rel=1e-9)
    assert found.average[0] == found.per_period[0]
    if method == "ewma":
        assert set(found.per_period) == {found.per_period[0]}
    else:
        assert abs(found.per_period[-1] - SIGMA) <= abs(found.per_period[0] - SIGMA) + 1e-4
    assert VolatilityForecast.from_dict(found.to_dict()) == found
    assert found.to_frame().shape == (250, 2)


def test_next_volatility_falls_back_to_ewma_on_a_short_series(returns: pd.Series) -> None:
    assert next_volatility(returns)[1] == "garch"
    assert next_volatility(returns.iloc[:200])[1] == "ewma"


def test_what_cannot_be_estimated_says_why(bars: pd.DataFrame, returns: pd.Series) -> None:
    closes = bars.copy()
    closes[["open", "high", "low", "volume"]] = np.nan
    closes.attrs = bars.attrs
    with pytest.raises(DataError, match="SIM: 3000 bars have no positive open"):
        volatility_series(returns, method="parkinson", bars=closes)
    with pytest.raises(UsageError, match="needs bars"):
        volatility_series(returns, method="yang_zhang")
    with pytest.raises(UsageError, match="choose from rolling"):
        volatility_series(returns, method="realised")
    with pytest.raises(ComputeError, match="at least 250"):
        fit_garch(returns.to_numpy()[:100])
    with pytest.raises(ComputeError, match="no variance"):
        fit_garch(np.full(400, 0.001))
    with pytest.raises(UsageError, match="choose from garch"):
        fit_garch(returns.to_numpy(), kind="aparch")
