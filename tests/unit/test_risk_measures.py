"""Measures: conventions, drawdowns, rolling windows, and what is refused."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import quantkit
from quantkit.core.errors import DataError, UsageError
from quantkit.risk import drawdown_table, measures, relative, rolling
from quantkit.risk.drawdowns import Drawdown, worst_drawdowns
from quantkit.risk.sharpe_inference import deflated_sharpe, probabilistic_sharpe

YEAR = {"periods_per_year": 252}


def series(values, name: str = "XYZ") -> pd.Series:
    index = pd.date_range("2020-01-01", periods=len(values), freq="D", tz="UTC", unit="us", name="time")
    return pd.Series(np.asarray(values, dtype=float), index=index, name=name)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({f"S{at}": series(rng.normal(5e-4, 0.01, 400)) for at in range(40)})


def test_a_frame_gives_what_each_column_gives(frame: pd.DataFrame) -> None:
    table = measures.summary(frame, **YEAR, risk_free=1e-4)
    assert table.shape == (40, 16)
    for symbol in ("S0", "S17", "S39"):
        alone = measures.summary(frame[[symbol]], **YEAR, risk_free=1e-4)
        np.testing.assert_allclose(table.loc[symbol], alone.loc[symbol], rtol=1e-12)
        assert measures.sharpe_ratio(frame[symbol], **YEAR, risk_free=1e-4) == pytest.approx(
            table.loc[symbol, "sharpe"]
        )


def test_hand_computed() -> None:
    returns = series([0.10, -0.20, 0.05, 0.0])
    assert measures.total_return(returns) == pytest.approx(1.1 * 0.8 * 1.05 - 1)
    assert measures.max_drawdown(returns) == pytest.approx(-0.2)
    assert measures.max_drawdown_duration(returns) == 3
    assert measures.hit_rate(returns) == 0.5
    assert measures.omega_ratio(returns) == pytest.approx(0.15 / 0.20)
    assert measures.downside_deviation(returns, periods_per_year=1) == pytest.approx(np.sqrt(0.04 / 4))
    assert (measures.best(returns), measures.worst(returns)) == (0.10, -0.20)


def test_a_loss_in_the_first_period_is_a_drawdown() -> None:
    assert measures.max_drawdown(series([-0.1, 0.05])) == pytest.approx(-0.1)
    only = worst_drawdowns(series([-0.1, 0.05]))[0]
    assert only.peak is None
    assert only.recovery is None


def test_drawdown_table_names_peak_trough_and_recovery() -> None:
    returns = series([0.1, -0.5, 0.2, 1.0, -0.1, 0.01])
    table = drawdown_table(returns)
    times = returns.index
    assert table["depth"].tolist() == pytest.approx([-0.5, -0.1])
    assert table.loc[1, ["peak", "trough", "recovery"]].tolist() == [times[0], times[1], times[3]]
    assert table["periods"].tolist() == [2, 2]
    assert table.loc[2, "recovery"] is pd.NaT
    one = worst_drawdowns(returns)[1]
    assert Drawdown.from_dict(one.to_dict()) == one
    assert drawdown_table(series([0.1, 0.1])).empty


def test_a_risk_free_rate_may_change_over_time(frame: pd.DataFrame) -> None:
    rate = pd.Series(np.linspace(0, 4e-4, 400), index=frame.index)
    expected = measures.sharpe_ratio(frame.sub(rate, axis=0), **YEAR)
    np.testing.assert_allclose(measures.sharpe_ratio(frame, **YEAR, risk_free=rate), expected, rtol=1e-12)
    with pytest.raises(DataError, match="do not share their times"):
        measures.sharpe_ratio(frame, **YEAR, risk_free=rate.iloc[1:])


@pytest.mark.parametrize("value", [0.0, 0.001, -0.0007])
def test_returns_that_do_not_vary_have_no_ratio(value: float) -> None:
    flat = series([value] * 50)
    assert measures.volatility(flat, **YEAR) == 0
    assert np.isnan(measures.sharpe_ratio(flat, **YEAR))
    assert np.isnan(measures.skewness(flat))
    assert np.isnan(measures.excess_kurtosis(flat))
    assert np.isnan(probabilistic_sharpe(flat))
    assert np.isnan(relative.beta(series(np.linspace(-0.01, 0.01, 50)), flat.rename("flat")))
    assert rolling(flat, "sharpe", window=10, **YEAR).isna().all()


def test_total_loss_is_minus_one_and_not_nan() -> None:
    returns = series([0.1, -1.0, 0.2])
    assert measures.total_return(returns) == -1
    assert measures.annual_return(returns, **YEAR) == -1
    assert measures.max_drawdown(returns) == -1
    assert rolling(returns, "max_drawdown", window=2, **YEAR).tolist() == [-1, -1]


def test_nan_is_refused_with_date_and_column(frame: pd.DataFrame) -> None:
    broken = frame.copy()
    broken.iloc[33, 7] = np.nan
    with pytest.raises(DataError, match=r"S7 .*2020-02-03"):
        measures.sharpe_ratio(broken, **YEAR)
    with pytest.raises(DataError, match="at least -1"):
        measures.total_return(series([0.1, -1.5]))
    with pytest.raises(DataError, match="at least 2"):
        measures.volatility(series([0.1]), **YEAR)
    with pytest.raises(DataError, match="Series or DataFrame"):
        measures.volatility([0.1, 0.2], **YEAR)


def test_a_benchmark_with_other_times_is_refused_by_name(frame: pd.DataFrame) -> None:
    late = frame["S1"].shift(freq="1D").rename("^GSPC")
    with pytest.raises(DataError, match=r"\^GSPC and the returns do not share their times: 2020-01-01"):
        relative.beta(frame["S0"], late)


def test_relative_measures_of_the_benchmark_itself(frame: pd.DataFrame) -> None:
    market = frame["S3"]
    assert relative.beta(market, market) == pytest.approx(1, rel=1e-12)
    assert relative.alpha(market, market, **YEAR, risk_free=1e-4) == pytest.approx(0, abs=1e-15)
    assert relative.correlation_with(market, market) == pytest.approx(1, rel=1e-12)
    assert relative.tracking_error(market, market, **YEAR) == 0
    assert np.isnan(relative.information_ratio(market, market, **YEAR))
    assert relative.up_capture(market, market, **YEAR) == 1
    leveraged = market * 2
    assert relative.beta(leveraged, market) == pytest.approx(2, rel=1e-12)


def test_rolling_refuses_what_it_cannot_do(frame: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="choose from total_return"):
        rolling(frame, "median", window=20, **YEAR)
    with pytest.raises(UsageError, match="needs a benchmark"):
        rolling(frame, "beta", window=20, **YEAR)
    with pytest.raises(UsageError, match="window 1"):
        rolling(frame, "sharpe", window=1, **YEAR)
    with pytest.raises(DataError, match="400 rows are fewer than the window of 401"):
        rolling(frame, "sharpe", window=401, **YEAR)


def test_many_trials_deflate_a_sharpe_ratio(frame: pd.DataFrame) -> None:
    lucky = measures.sharpe_ratio(frame, **YEAR).idxmax()
    sharpes = measures.sharpe_ratio(frame, periods_per_year=1)
    honest = deflated_sharpe(frame[lucky], trials=40, trials_variance=float(sharpes.var()))
    assert honest < probabilistic_sharpe(frame[lucky])
    assert deflated_sharpe(frame[lucky], trials=1, trials_variance=0.01) == probabilistic_sharpe(frame[lucky])


def names_in_arithmetic(node: ast.AST) -> set[str]:
    """Names in an expression, without those handed on as keyword arguments."""
    if isinstance(node, ast.Name):
        return {node.id}
    children = (each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.keyword))
    return set().union(*map(names_in_arithmetic, children))


def test_annualisation_is_defined_in_core_alone() -> None:
    offenders = [
        f"{source.name}:{node.lineno}"
        for source in sorted((Path(quantkit.__file__).parent / "risk").glob("*.py"))
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.BinOp) and "periods_per_year" in names_in_arithmetic(node)
    ]
    assert offenders == []
