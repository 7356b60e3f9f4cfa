"""ARIMA against statsmodels called directly."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from quantkit.forecast.arima import Arima
from quantkit.forecast.arma import Arma, ArmaFilter
from quantkit.forecast.orders import aicc, select_arma
from quantkit.forecast.target import close_returns

MODELS = [
    Arma(0.0004, (), (), 1e-4, 0.0),
    Arma(0.0, (0.5,), (), 1e-4, 0.0),
    Arma(0.001, (), (-0.6, 0.2), 1e-4, 0.0),
    Arma(-0.001, (0.4, -0.3), (0.5,), 1e-4, 0.0),
    Arma(0.0005, (-1.778, -0.915), (1.728, 0.85), 1e-4, 0.0),
    # A moving average all but on the unit circle: the gain takes thousands of bars to settle.
    Arma(0.0, (0.2,), (-0.998,), 1e-4, 0.0),
]


def statsmodels_results(model: Arma, values: np.ndarray):
    from statsmodels.tsa.arima.model import ARIMA

    p, q = model.order
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process = ARIMA(values, order=(p, 0, q), trend="c")
        return process.filter([model.constant, *model.ar, *model.ma, model.sigma2])


@pytest.fixture(scope="module")
def values():
    return 0.01 * np.random.default_rng(5).standard_t(4, size=600)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"arma{model.order}")
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "with-gaps"])
def test_filtering_newer_returns_is_statsmodels_apply(model, missing, values):
    if missing:
        values = values.copy()
        values[[40, 41, 200, 399]] = np.nan
    ours = ArmaFilter(model)
    ours.observe(values[:500])
    theirs = statsmodels_results(model, values[:500])
    np.testing.assert_allclose(ours.forecast(5), theirs.forecast(5), rtol=0, atol=1e-8 * 0.01)
    seen = 500
    for end in (501, 502, 520, 600):
        ours.observe(values[seen:end])
        seen = end
        applied = theirs.apply(values[:end], refit=False)
        np.testing.assert_allclose(ours.forecast(5), applied.forecast(5), rtol=0, atol=1e-8 * 0.01)


def test_parameters_are_the_maximum_likelihood_ones_of_statsmodels(sample_bars):
    from statsmodels.tsa.arima.model import ARIMA

    returns = close_returns(sample_bars("AAPL"))[1:801]
    ours = select_arma(returns)
    p, q = ours.order
    unit = returns.std()
    scaled = (returns - ours.constant) / unit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = ARIMA(scaled, order=(p, 0, q), trend="n").fit()
        at_ours = ARIMA(scaled, order=(p, 0, q), trend="n").loglike([*ours.ar, *ours.ma, ours.sigma2 / unit**2])
    assert at_ours >= theirs.llf - 0.01
    k = p + q + 1 + (ours.constant != 0.0)
    assert ours.aicc == pytest.approx(aicc(at_ours, k, len(returns)), abs=1e-6)


@pytest.mark.parametrize(("ar", "ma"), [((0.5,), ()), ((), (0.7,)), ((0.6, -0.3), ()), ((0.8,), (-0.3,))], ids=str)
def test_coefficients_agree_with_statsmodels_fit_of_the_same_order(ar, ma):
    from scipy.signal import lfilter
    from statsmodels.tsa.arima.model import ARIMA

    shocks = np.random.default_rng(8).normal(size=3000)
    values = 0.01 * lfilter(np.r_[1.0, ma], np.r_[1.0, -np.array(ar)], shocks)[500:]
    ours = select_arma(values)
    p, q = ours.order
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = ARIMA((values - ours.constant) / values.std(), order=(p, 0, q), trend="n").fit()
    np.testing.assert_allclose([*ours.ar, *ours.ma], theirs.params[:-1], atol=2e-3)


@pytest.mark.parametrize("symbol", ["AAPL", "XOM"])
def test_the_order_is_the_one_of_least_aicc_among_all(symbol, sample_bars):
    from statsmodels.tsa.arima.estimators.innovations import innovations_mle

    returns = close_returns(sample_bars(symbol))[-500:]
    scaled = returns / returns.std()
    best = np.inf
    for constant in (0.0, scaled.mean()):
        for p in range(4):
            for q in range(4):
                if p == q == 0:
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found, details = innovations_mle(scaled - constant, order=(p, 0, q), demean=False)
                gradient = np.abs(details.minimize_results.jac).max()
                roots = [np.r_[1.0, -found.ar_params], np.r_[1.0, found.ma_params]]
                stable = all(np.abs(np.roots(each)).max(initial=0.0) < 1 / 1.001 for each in roots)
                if gradient < 0.1 and stable:
                    best = min(best, aicc(-details.minimize_results.fun, p + q + 1 + (constant != 0), len(scaled)))
    assert select_arma(returns).aicc <= best + 0.5


def test_forecasts_from_bars_are_those_of_statsmodels(sample_bars):
    bars = sample_bars("NVDA")
    model = Arima().fit(bars.iloc[:1200]).update(bars.iloc[:1230])
    theirs = statsmodels_results(model.arma_, close_returns(bars)[1:1230])
    np.testing.assert_allclose(model.predict(5), theirs.forecast(5), rtol=0, atol=1e-10)
