"""VaR and ES: conventions, horizons, sides, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from quantkit.core.errors import DataError, UnknownChoiceError, UsageError
from quantkit.risk import VAR_METHODS, TailRisk, expected_shortfall, tail_risk, value_at_risk
from quantkit.risk.distributions import CornishFisher, Empirical, Normal, PeaksOverThreshold, StudentT


def series(values: np.ndarray, name: str = "XYZ") -> pd.Series:
    times = pd.date_range("2019-01-01", periods=len(values), freq="D", tz="UTC", unit="us", name="time")
    return pd.Series(np.asarray(values, dtype=float), index=times, name=name)


@pytest.fixture(scope="module")
def returns() -> pd.Series:
    """Skewed, fat-tailed returns whose volatility clusters and is high at the end."""
    rng = np.random.default_rng(4)
    values, variance = np.empty(1200), 1e-4
    for t in range(1200):
        values[t] = 0.0003 + np.sqrt(variance) * rng.standard_normal()
        variance = 4e-6 + 0.09 * values[t] ** 2 + 0.88 * variance
    values[-15:] *= 2.0
    return series(values)


@pytest.mark.parametrize("method", VAR_METHODS)
@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("horizon", [1, 5])
def test_every_method_gives_a_loss_and_a_larger_shortfall(
    method: str, side: str, horizon: int, returns: pd.Series
) -> None:
    found = tail_risk(returns, level=0.975, method=method, side=side, horizon=horizon)
    assert found.expected_shortfall < found.value_at_risk < 0
    assert found.reason == ""
    assert found == TailRisk.from_dict(found.to_dict())
    assert found == tail_risk(returns, level=0.975, method=method, side=side, horizon=horizon)


def test_a_short_has_the_quantile_of_minus_the_return(returns: pd.Series) -> None:
    upside = np.quantile(returns, 0.95)
    assert value_at_risk(returns, side="short") == pytest.approx(-upside, rel=1e-12)
    assert value_at_risk(returns, side="short", method="gaussian") == pytest.approx(
        -(returns.mean() + stats.norm.ppf(0.95) * returns.std()), rel=1e-12
    )


def test_shortfall_includes_the_fraction_of_an_observation() -> None:
    values = series(np.concatenate([[-0.10, -0.05, -0.04], np.linspace(-0.01, 0.02, 107)]))
    # 110 x 0.025 = 2.75: two whole observations and three quarters of the third.
    assert expected_shortfall(values, level=0.975) == pytest.approx(-(0.10 + 0.05 + 0.75 * 0.04) / 2.75, rel=1e-12)


@pytest.mark.parametrize(
    "belief",
    [
        Normal(0.001, 0.02),
        StudentT(0.0005, 0.01, 3.5),
        CornishFisher(0.0002, 0.015, -0.3, 1.2),
        PeaksOverThreshold(np.linspace(-0.0201, 0.05, 1000), threshold=0.013, share=0.1, xi=0.2, beta=0.006),
        PeaksOverThreshold(np.linspace(-0.0201, 0.05, 1000), threshold=0.013, share=0.1, xi=0.0, beta=0.006),
    ],
    ids=["normal", "student_t", "cornish_fisher", "pareto", "exponential"],
)
@pytest.mark.parametrize("p", [0.05, 0.01])
def test_tail_mean_is_the_integral_of_the_quantiles(belief, p: float) -> None:
    area, _ = integrate.quad(belief.quantile, 0.0, p, limit=400, epsabs=1e-12)
    assert belief.tail_mean(p) == pytest.approx(area / p, rel=1e-4)


def test_tail_mean_beyond_the_threshold_joins_body_and_tail() -> None:
    outcomes = -np.random.default_rng(0).standard_t(4, 2000) * 0.01
    losses = np.sort(-outcomes)[::-1]
    tail = PeaksOverThreshold(outcomes, threshold=float(losses[200]), share=0.1, xi=0.2, beta=0.006)
    u = (np.arange(400_000) + 0.5) / 400_000 * 0.25
    assert tail.tail_mean(0.25) == pytest.approx(tail.draw(u).mean(), rel=2e-3)


def test_draws_of_the_tail_average_to_the_tail_mean() -> None:
    belief = Empirical(np.random.default_rng(1).standard_normal(333))
    u = (np.arange(300_000) + 0.5) / 300_000 * 0.05
    assert belief.draw(u).mean() == pytest.approx(belief.tail_mean(0.05), rel=1e-4)


def test_cornish_fisher_outside_its_domain_is_nan_with_the_reason() -> None:
    values = np.random.default_rng(0).standard_t(2.2, 800) * 0.01
    found = tail_risk(series(values), method="cornish_fisher")
    assert np.isnan(found.value_at_risk)
    assert np.isnan(found.expected_shortfall)
    assert "domain" in found.reason
    assert "kurtosis" in found.reason


def test_cornish_fisher_domain_is_where_the_expansion_increases() -> None:
    z = np.linspace(-8, 8, 4001)
    for skewness in np.linspace(-2, 2, 17):
        for kurtosis in np.linspace(-1, 10, 23):
            belief = CornishFisher(0.0, 1.0, float(skewness), float(kurtosis))
            increases = bool((np.diff(belief.draw(stats.norm.cdf(z[np.abs(z) < 6]))) > -1e-12).all())
            if belief.is_monotone():
                assert increases


def test_fhs_and_ewma_see_that_volatility_is_high_and_historical_does_not(returns: pd.Series) -> None:
    calm = value_at_risk(returns, method="historical")
    assert value_at_risk(returns, method="fhs") < 1.3 * calm
    assert value_at_risk(returns, method="ewma") < 1.3 * calm


def test_horizons_are_simulated_and_the_square_root_is_labelled(returns: pd.Series) -> None:
    day = tail_risk(returns, method="gaussian", level=0.99)
    simulated = tail_risk(returns, method="gaussian", level=0.99, horizon=10)
    scaled = tail_risk(returns, method="gaussian", level=0.99, horizon=10, scaling="scaled")
    assert (day.scaling, simulated.scaling, scaled.scaling) == ("one period", "simulated", "scaled")
    assert scaled.value_at_risk == pytest.approx(np.sqrt(10) * day.value_at_risk, rel=1e-12)
    # Ten independent normal returns compounded: log-normal to a good approximation.
    mu, sigma = returns.mean(), returns.std()
    log_mean, log_sigma = np.log1p(mu) - 0.5 * sigma**2, sigma
    exact = np.exp(10 * log_mean + np.sqrt(10) * log_sigma * stats.norm.ppf(0.01)) - 1
    assert simulated.value_at_risk == pytest.approx(exact, rel=0.02)


def test_a_short_over_several_periods_can_lose_more_than_its_value() -> None:
    values = np.where(np.random.default_rng(3).random(600) < 0.5, 0.6, -0.3)
    found = tail_risk(series(values), side="short", horizon=10, level=0.99)
    assert found.value_at_risk < -1
    assert tail_risk(series(values), horizon=10, level=0.99).value_at_risk > -1


def test_in_currency(returns: pd.Series) -> None:
    found = tail_risk(returns)
    assert found.in_currency(1000.0) == (1000 * found.value_at_risk, 1000 * found.expected_shortfall)


def test_nan_is_refused_with_its_date(returns: pd.Series) -> None:
    broken = returns.copy()
    broken.iloc[37] = np.nan
    with pytest.raises(DataError, match=r"XYZ.*2019-02-07.*1 such"):
        value_at_risk(broken)


@pytest.mark.parametrize(("method", "fewest"), [("historical", 100), ("gaussian", 100), ("fhs", 250), ("evt", 500)])
def test_too_few_returns_are_refused_with_the_number_needed(method: str, fewest: int, returns: pd.Series) -> None:
    with pytest.raises(DataError, match=f"{fewest - 1} returns; {method} needs at least {fewest}"):
        value_at_risk(returns.iloc[: fewest - 1], method=method)
    assert value_at_risk(returns.iloc[:fewest], method=method) < 0


@pytest.mark.parametrize("method", VAR_METHODS)
def test_returns_that_do_not_vary_give_a_figure_or_a_reason_and_never_infinity(method: str) -> None:
    found = tail_risk(series(np.full(600, 0.0001)), method=method)
    assert not np.isinf(found.value_at_risk)
    assert not np.isinf(found.expected_shortfall)
    assert np.isfinite(found.value_at_risk) or found.reason


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ({"level": 95}, UsageError),
        ({"level": 0.5}, UsageError),
        ({"level": float("nan")}, UsageError),
        ({"method": "montecarlo"}, UnknownChoiceError),
        ({"horizon": 0}, UsageError),
        ({"horizon": 21}, UsageError),
        ({"horizon": 2.0}, UsageError),
        ({"side": "flat"}, UsageError),
        ({"scaling": "sqrt"}, UsageError),
    ],
)
def test_questions_that_make_no_sense_are_refused(argument: dict, error: type[Exception], returns: pd.Series) -> None:
    with pytest.raises(error):
        value_at_risk(returns, **argument)
