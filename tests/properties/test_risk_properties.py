"""What must hold of risk figures whatever the returns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantkit.risk import correlation, drawdown_series, measures, relative, risk_contributions, rolling, tail_risk
from quantkit.risk.coverage import conditional_coverage, kupiec
from quantkit.risk.rolling import ROLLING_MEASURES

YEAR = {"periods_per_year": 252}
QUICK = settings(max_examples=60, deadline=None)
FAST_METHODS = ("historical", "gaussian", "cornish_fisher", "student_t", "ewma")


def times(count: int) -> pd.DatetimeIndex:
    return pd.date_range("2015-01-01", periods=count, freq="D", tz="UTC", unit="us", name="time")


def of_size(count: int | st.SearchStrategy[int], low: float = -0.3, high: float = 0.3) -> st.SearchStrategy[pd.Series]:
    # Returns on a grid of a hundredth of a basis point: prices have ticks, and 1e-300 tests nothing.
    grid = st.integers(round(low * 1e6), round(high * 1e6)).map(lambda each: each / 1e6)
    return hnp.arrays(np.float64, count, elements=grid).map(lambda v: pd.Series(v, index=times(len(v)), name="X"))


def frames(columns: int, count: int = 120) -> st.SearchStrategy[pd.DataFrame]:
    def build(seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        mix = rng.standard_normal((columns, columns))
        values = 0.01 * rng.standard_t(4, (count, columns)) @ mix / np.sqrt(columns)
        return pd.DataFrame(values.clip(-0.9), index=times(count), columns=[f"S{at}" for at in range(columns)])

    return st.integers(0, 2**32 - 1).map(build)


varied = of_size(st.integers(100, 160)).filter(lambda r: r.std() > 1e-4)


@QUICK
@given(returns=varied, factor=st.sampled_from([0.1, 0.5, 2.0]))
def test_risk_scales_with_the_position(returns: pd.Series, factor: float) -> None:
    scaled = returns * factor
    for method in ("historical", "gaussian", "ewma"):
        one, other = tail_risk(returns, method=method), tail_risk(scaled, method=method)
        assert other.value_at_risk == pytest.approx(factor * one.value_at_risk, rel=1e-9, abs=1e-15)
        assert other.expected_shortfall == pytest.approx(factor * one.expected_shortfall, rel=1e-9, abs=1e-15)
    assert measures.volatility(scaled, **YEAR) == pytest.approx(factor * measures.volatility(returns, **YEAR), rel=1e-9)
    assert measures.sharpe_ratio(scaled, **YEAR) == pytest.approx(
        measures.sharpe_ratio(returns, **YEAR), rel=1e-8, abs=1e-10
    )


@QUICK
@given(returns=varied, shift=st.floats(-0.05, 0.05))
def test_var_moves_with_a_certain_return_and_volatility_does_not(returns: pd.Series, shift: float) -> None:
    moved = returns + shift
    for method in ("historical", "gaussian"):
        one, other = tail_risk(returns, method=method), tail_risk(moved, method=method)
        assert other.value_at_risk == pytest.approx(one.value_at_risk + shift, abs=1e-12)
        assert other.expected_shortfall == pytest.approx(one.expected_shortfall + shift, abs=1e-12)
    assert measures.volatility(moved, **YEAR) == pytest.approx(measures.volatility(returns, **YEAR), rel=1e-9)


@QUICK
@given(returns=varied, level=st.floats(0.51, 0.999), side=st.sampled_from(["long", "short"]))
def test_shortfall_lies_beyond_var_at_every_level(returns: pd.Series, level: float, side: str) -> None:
    for method in FAST_METHODS:
        found = tail_risk(returns, level=level, method=method, side=side)
        if not found.reason:
            assert found.expected_shortfall <= found.value_at_risk


@QUICK
@given(returns=varied, levels=st.tuples(st.floats(0.51, 0.999), st.floats(0.51, 0.999)))
def test_a_higher_level_is_a_worse_var(returns: pd.Series, levels: tuple[float, float]) -> None:
    low, high = sorted(levels)
    for method in FAST_METHODS:
        one, other = (tail_risk(returns, level=level, method=method) for level in (low, high))
        if not one.reason:
            assert other.value_at_risk <= one.value_at_risk + 1e-15


@QUICK
@given(returns=of_size(st.integers(1, 80), -1.0, 2.0))
def test_drawdowns_lie_between_minus_one_and_zero(returns: pd.Series) -> None:
    path = drawdown_series(returns)
    assert ((path >= -1) & (path <= 0)).all()
    assert measures.max_drawdown(returns) == path.min()
    assert 0 <= measures.max_drawdown_duration(returns) <= len(returns)


@QUICK
@given(returns=of_size(st.integers(2, 60), -1.0, 3.0), risk_free=st.floats(-0.001, 0.001))
def test_measures_are_never_infinite(returns: pd.Series, risk_free: float) -> None:
    frame = returns.to_frame("X")
    found = measures.summary(frame, **YEAR, risk_free=risk_free)
    assert not np.isinf(found.to_numpy()).any()


@QUICK
@given(returns=frames(3, 60), data=st.data())
def test_rolling_equals_slice_by_slice(returns: pd.DataFrame, data: st.DataObject) -> None:
    measure = data.draw(st.sampled_from(ROLLING_MEASURES))
    window = data.draw(st.integers(4, 60))
    market = returns["S0"].rename("market") * 0.7 + returns["S1"] * 0.1
    market.name = "market"
    rolled = rolling(returns, measure, window=window, **YEAR, risk_free=1e-4, benchmark=market)
    assert len(rolled) == 60 - window + 1
    at = data.draw(st.integers(0, len(rolled) - 1))
    part, beside = returns.iloc[at : at + window], market.iloc[at : at + window]
    whole = {
        "total_return": lambda: measures.total_return(part),
        "annual_return": lambda: measures.annual_return(part, **YEAR),
        "volatility": lambda: measures.volatility(part, **YEAR),
        "downside_deviation": lambda: measures.downside_deviation(part, **YEAR, risk_free=1e-4),
        "sharpe": lambda: measures.sharpe_ratio(part, **YEAR, risk_free=1e-4),
        "sortino": lambda: measures.sortino_ratio(part, **YEAR, risk_free=1e-4),
        "calmar": lambda: measures.calmar_ratio(part, **YEAR),
        "omega": lambda: measures.omega_ratio(part, risk_free=1e-4),
        "max_drawdown": lambda: measures.max_drawdown(part),
        "skewness": lambda: measures.skewness(part),
        "excess_kurtosis": lambda: measures.excess_kurtosis(part),
        "tail_ratio": lambda: measures.tail_ratio(part),
        "hit_rate": lambda: measures.hit_rate(part),
        "best": lambda: measures.best(part),
        "worst": lambda: measures.worst(part),
        "alpha": lambda: relative.alpha(part, beside, **YEAR, risk_free=1e-4),
        "beta": lambda: relative.beta(part, beside, risk_free=1e-4),
        "correlation": lambda: relative.correlation_with(part, beside),
        "tracking_error": lambda: relative.tracking_error(part, beside, **YEAR),
        "information_ratio": lambda: relative.information_ratio(part, beside, **YEAR),
    }[measure]()
    np.testing.assert_allclose(rolled.iloc[at], whole, rtol=1e-8, atol=1e-10)
    assert rolled.index[at] == part.index[-1]


@QUICK
@given(returns=frames(4), raw=st.lists(st.integers(-3, 6), min_size=4, max_size=4))
def test_contributions_sum_to_the_total_and_shortfall_is_subadditive(returns: pd.DataFrame, raw: list[int]) -> None:
    assume(sum(raw) > 0)
    weights = {f"S{at}": each / sum(raw) for at, each in enumerate(raw)}
    found = risk_contributions(returns, weights, level=0.9)
    for name in ("volatility", "value_at_risk", "expected_shortfall"):
        assert found.table[name].sum() == pytest.approx(getattr(found, name), rel=1e-9)
    alone = sum(
        abs(weight) * tail_risk(returns[symbol], level=0.9, side="long" if weight > 0 else "short").expected_shortfall
        for symbol, weight in weights.items()
        if weight
    )
    assert found.expected_shortfall >= alone - 1e-12
    assert found.diversification >= 1 - 1e-12


@QUICK
@given(returns=frames(5), method=st.sampled_from(["pearson", "spearman", "ewma", "ledoit_wolf"]))
def test_correlations_are_positive_semi_definite_with_a_unit_diagonal(returns: pd.DataFrame, method: str) -> None:
    found = correlation(returns, method=method)
    values = found.matrix.to_numpy()
    assert np.linalg.eigvalsh(values)[0] > -1e-10
    assert (np.diag(values) == 1).all()
    np.testing.assert_array_equal(values, values.T)
    assert sorted(found.order) == sorted(returns.columns)


@QUICK
@given(data=st.data(), days=st.integers(2, 400), level=st.floats(0.8, 0.995))
def test_p_values_are_probabilities(data: st.DataObject, days: int, level: float) -> None:
    seed, share = data.draw(st.integers(0, 10_000)), data.draw(st.floats(0, 0.5))
    hits = np.random.default_rng(seed).random(days) < share
    for test in (kupiec(int(hits.sum()), days, level=level), conditional_coverage(hits, level=level)):
        assert 0 <= test.p_value <= 1
        assert test.statistic >= 0
