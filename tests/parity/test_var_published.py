"""VaR backtests against published tables, and exact p-values against brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from quantkit.risk.coverage import (
    conditional_coverage,
    coverage_ratio,
    independence,
    independence_ratio,
    kupiec,
    kupiec_critical,
    kupiec_power,
    traffic_light,
    transitions,
)
from quantkit.risk.sharpe_inference import expected_maximum_sharpe, sharpe_confidence

# Kupiec (1995), table 3, as reprinted by Jorion (2006), table 6-2: failures N that are not rejected at 5 %.
KUPIEC_REGIONS = [
    (0.99, 510, (1, 11)),
    (0.99, 1000, (4, 17)),
    (0.975, 255, (2, 12)),
    (0.975, 510, (6, 21)),
    (0.975, 1000, (15, 36)),
    (0.95, 255, (6, 21)),
    (0.95, 510, (16, 36)),
    (0.95, 1000, (37, 65)),
    (0.925, 255, (11, 28)),
    (0.90, 255, (16, 36)),
    (0.90, 510, (38, 65)),
    (0.90, 1000, (81, 120)),
]


@pytest.mark.parametrize(("level", "days", "outside"), KUPIEC_REGIONS)
def test_kupiec_regions_are_those_of_his_table(level: float, days: int, outside: tuple[int, int]) -> None:
    accepted = [x for x in range(days + 1) if kupiec(x, days, level=level).p_asymptotic > 0.05]
    assert (accepted[0] - 1, accepted[-1] + 1) == outside


def test_jorion_example_of_clustered_exceptions() -> None:
    # Jorion (2006), chapter 6: J. P. Morgan 1998, 252 days, 20 exceptions, 6 of them the day after another.
    unconditional = kupiec(20, 252, level=0.95)
    assert unconditional.statistic == pytest.approx(3.91, abs=0.005)
    assert unconditional.p_asymptotic < 0.05
    clustered = float(independence_ratio(*map(np.array, (218.0, 14.0, 14.0, 6.0))))
    assert clustered == pytest.approx(9.53, abs=0.005)
    assert unconditional.statistic + clustered == pytest.approx(13.44, abs=0.01)


def test_basel_zones() -> None:
    # Basel Committee (1996), table 2: 250 days at 99 %.
    zones = [traffic_light(x, 250, level=0.99) for x in range(12)]
    assert zones == ["green"] * 5 + ["yellow"] * 5 + ["red"] * 2


def test_asymptotic_kupiec_rejects_a_right_model_too_often_and_the_exact_one_does_not() -> None:
    x = np.arange(251)
    probability = stats.binom.pmf(x, 250, 0.01)
    asymptotic = np.array([kupiec(int(each), 250, level=0.99).p_asymptotic for each in x])
    exact = np.array([kupiec(int(each), 250, level=0.99).p_value for each in x])
    assert probability[asymptotic < 0.05].sum() == pytest.approx(0.095, abs=0.001)
    assert probability[exact < 0.05].sum() <= 0.05


@pytest.mark.parametrize(("days", "level"), [(12, 0.8), (13, 0.95), (9, 0.6)])
def test_exact_p_values_equal_enumerating_every_sequence(days: int, level: float) -> None:
    p = 1 - level
    sequences = [np.array(bits, dtype=bool) for bits in product([False, True], repeat=days)]
    hits = np.array([int(each.sum()) for each in sequences])
    probability = p**hits * (1 - p) ** (days - hits)
    chained = np.array([float(independence_ratio(*transitions(each))) for each in sequences])
    joint = chained + coverage_ratio(hits, np.array(days), p)
    for at in range(0, len(sequences), 37):
        test = conditional_coverage(sequences[at], level=level)
        assert test.statistic == pytest.approx(joint[at], abs=1e-10)
        assert test.p_value == pytest.approx(probability[joint >= joint[at] - 1e-9].sum(), abs=1e-9)
        alone = independence(sequences[at])
        if 2 <= hits[at] <= days - 2:
            same = hits == hits[at]
            assert alone.p_value == pytest.approx((chained[same] >= chained[at] - 1e-9).mean(), abs=1e-9)
        else:
            assert np.isnan(alone.p_value)
            assert "too few" in alone.note


@pytest.mark.parametrize(("days", "level"), [(250, 0.99), (1000, 0.95)])
def test_exact_p_values_are_what_monte_carlo_converges_to(days: int, level: float) -> None:
    rng = np.random.default_rng(5)
    draws = rng.random((20_000, days)) < 1 - level
    before, after = draws[:, :-1], draws[:, 1:]
    counts = [(~before & ~after).sum(1), (~before & after).sum(1), (before & ~after).sum(1), (before & after).sum(1)]
    joint = independence_ratio(*(each.astype(float) for each in counts)) + coverage_ratio(
        draws.sum(1), np.array(days), 1 - level
    )
    for at in range(8):
        test = conditional_coverage(draws[at], level=level)
        simulated = (joint >= test.statistic - 1e-9).mean()
        assert test.p_value == pytest.approx(simulated, abs=4 * np.sqrt(simulated * (1 - simulated) / 20_000) + 1e-4)


def test_power_is_the_share_of_worse_models_that_are_rejected() -> None:
    rng = np.random.default_rng(2)
    breaches = rng.binomial(500, 0.02, 20_000)
    barrier = kupiec_critical(500, 1 - 0.99)
    simulated = (coverage_ratio(breaches, np.array(500), 1 - 0.99) >= barrier - 1e-9).mean()
    assert kupiec_power(500, level=0.99, true_probability=0.02) == pytest.approx(simulated, abs=0.015)


def test_deflated_sharpe_of_its_paper() -> None:
    # Bailey and López de Prado (2014), section "A numerical example": SR 2.5 a year, best of 100, skewness -3,
    # kurtosis 10, 1250 days: 0.9004; of 46 trials it would have been 0.9505.
    sharpe = np.array([2.5 / 250**0.5])
    for trials, published in ((100, 0.9004), (46, 0.9505)):
        best = expected_maximum_sharpe(trials=trials, trials_variance=0.5 / 250)
        found = sharpe_confidence(sharpe, threshold=best, periods=1250, skewness=-3.0, kurtosis=10.0)
        assert float(found[0]) == pytest.approx(published, abs=5e-4)


def test_garch_filter_and_forecast_equal_arch() -> None:
    from arch import arch_model

    from quantkit.risk.garch import fit_garch
    from quantkit.risk.volatility import forecast_variance

    rng = np.random.default_rng(11)
    returns = rng.standard_t(6, 1200) * 0.01 * np.exp(0.4 * np.sin(np.arange(1200) / 90))
    for kind, options in (("garch", {"o": 0}), ("gjr", {"o": 1}), ("egarch", {"o": 1, "vol": "EGARCH"})):
        model = fit_garch(returns, kind=kind)
        peer = arch_model(returns * 100, mean="Constant", p=1, q=1, rescale=False, **options)
        fixed = peer.fix(np.array(list(model.parameters.values())))
        # The first variance is guessed from residuals about the sample mean there and about mu here; it wears off.
        ours, theirs = model.filter(returns)[:-1] * 100, fixed.conditional_volatility
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)
        np.testing.assert_allclose(ours[600:], theirs[600:], rtol=1e-9)
        if kind == "egarch":
            simulated = fixed.forecast(horizon=10, method="simulation", simulations=20_000, rng=rng_normal(3))
            np.testing.assert_allclose(
                forecast_variance(model, returns, 10) * 1e4, simulated.variance.to_numpy()[-1], rtol=0.03
            )
        else:
            expected = fixed.forecast(horizon=10).variance.to_numpy()[-1]
            np.testing.assert_allclose(forecast_variance(model, returns, 10) * 1e4, expected, rtol=1e-9)


def rng_normal(seed: int):
    draw = np.random.default_rng(seed)
    return lambda size: draw.standard_normal(size)
