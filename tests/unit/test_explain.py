"""An explanation is of the forecast that is shown, and adds up to it."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.core.errors import UsageError
from quantkit.forecast import FORECASTERS, Explanation, explain, predict
from quantkit.forecast.attribution import Attributed
from quantkit.forecast.base import Composite


@pytest.fixture(scope="module")
def bars(bars_of):
    """AR(1): the last return says where the next one goes."""
    shocks = 0.01 * np.random.default_rng(3).normal(size=420)
    for t in range(1, len(shocks)):
        shocks[t] += 0.6 * shocks[t - 1]
    return bars_of(shocks)


def ask(bars, model: str, horizon: int = 2) -> Explanation:
    return explain(bars, model=model, horizon=horizon, symbol="TEST", currency="USD")


@pytest.mark.parametrize("name", list(FORECASTERS))
def test_contributions_add_up_to_the_forecast_that_predict_shows(name, bars):
    explanation = ask(bars, name)
    forecast = predict(bars, model=name, horizon=2, symbol="TEST", currency="USD")
    tolerance = 1e-3 if name in ("lstm", "gru") else 1e-6
    assert explanation.forecast_price == pytest.approx(forecast.steps[1].median, rel=tolerance)
    shares = explanation.to_frame()
    total = explanation.base_return + shares["contribution_return"].sum()
    assert total == pytest.approx(np.log(explanation.forecast_price / explanation.last_price), abs=tolerance * 1e-2)
    prices = explanation.base_price + shares["contribution_price"].sum()
    assert prices == pytest.approx(explanation.forecast_price, rel=1e-12)
    assert explanation.chosen == (forecast.chosen or name)
    assert Explanation.from_dict(explanation.to_dict()) == explanation


@pytest.mark.parametrize("name", [name for name in FORECASTERS if not isinstance(FORECASTERS[name](), Composite)])
def test_every_model_can_say_what_its_forecast_is_made_of(name):
    assert isinstance(FORECASTERS[name](), Attributed)


@pytest.mark.parametrize("name", ["arima", "xgboost"])
def test_what_moves_the_price_comes_first(name, bars):
    first = ask(bars, name, horizon=1).contributions[0]
    assert first.feature in ("return_1", "lag_1")
    assert np.sign(first.contribution_return) == np.sign(first.value)


def test_the_share_of_a_return_in_an_autoregression_is_its_coefficient(bars):
    model = FORECASTERS["sarima"]().fit(bars)
    assert len(model.arma_.ar) == 1, "the series is an AR(1), and sarima should have seen it"
    explained = model.attribute(1)
    last = np.log(bars["close"]).diff().iloc[-1]
    assert explained.contributions[0, 0] == pytest.approx(model.arma_.ar[0] * (last - model.arma_.constant), rel=1e-9)
    np.testing.assert_allclose(explained.contributions[0, 1:], 0.0, atol=1e-12)


def test_naive_has_nothing_to_explain_and_drift_one_term(bars):
    naive, drift = ask(bars, "naive"), ask(bars, "drift")
    assert naive.in_words() == "naive predicts no change, nothing to explain."
    assert naive.contributions == ()
    assert [each.feature for each in drift.contributions] == ["mean_return"]
    assert drift.base_return == 0.0


def test_a_model_refused_on_minute_bars_is_refused_with_the_reason(bars):
    with pytest.raises(UsageError, match="sarima forecasts 1d bars, not 1m"):
        explain(bars, model="sarima", interval="1m")


def test_the_table_escapes_what_it_shows(bars):
    shown = explain(bars, model="drift", symbol="<b>", currency="USD")._repr_html_()
    assert "<b><b></b>" not in shown
    assert "&lt;b&gt;" in shown
    assert "mean_return" in shown
