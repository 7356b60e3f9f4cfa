"""Volatility forecasts: past only, scored by QLIKE, each model beside the others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from quantkit.core.errors import Cancelled, ComputeError, DataError, UnknownChoiceError, UsageError
from quantkit.core.kept import forget
from quantkit.forecast.target import close_returns
from quantkit.forecast.volatility import VolatilityLeaderboard, qlike, volatility_leaderboard
from quantkit.forecast.volatility_models import VOLATILITY_MODELS
from quantkit.risk.garch import fit_garch
from quantkit.risk.volatility import ewma_volatility, rolling_volatility, yang_zhang_volatility

MODELS = list(VOLATILITY_MODELS)


@pytest.fixture(scope="module")
def bars(bars_of):
    """GARCH(1,1) returns with opens, highs and lows around them."""
    rng = np.random.default_rng(8)
    variance, returns = 1e-4, []
    for shock in rng.standard_normal(520):
        returns.append(variance**0.5 * shock)
        variance = 4e-6 + 0.12 * returns[-1] ** 2 + 0.84 * variance
    found = bars_of(np.array(returns))
    span = np.abs(rng.normal(size=len(found))) * 0.006
    found["open"] = found["close"].shift(1).fillna(100.0) * np.exp(0.002 * rng.normal(size=len(found)))
    found["high"] = found[["open", "close"]].max(axis=1) * np.exp(span)
    found["low"] = found[["open", "close"]].min(axis=1) * np.exp(-span)
    return found


def test_each_model_forecasts_what_the_estimator_of_risk_says(bars):
    board = volatility_leaderboard(bars, horizon=2, origins=60)
    said = {row.model: row.per_period for row in board.rows}
    returns = bars["close"].pct_change().iloc[1:]
    assert said["rolling"] == (pytest.approx(rolling_volatility(returns).iloc[-1]),) * 2
    assert said["ewma"] == (pytest.approx(ewma_volatility(returns).iloc[-1]),) * 2
    assert said["range"] == (pytest.approx(yang_zhang_volatility(bars).iloc[-1]),) * 2
    # Estimated on the last anchored row, filtered to the end.
    simple = np.expm1(close_returns(bars)[1:])
    fitted = fit_garch(simple[:499], kind="gjr", innovations="t")
    assert fitted.innovations == "t"
    assert said["gjr"][0] == pytest.approx(fitted.filter(simple)[-1], rel=1e-9)


def test_it_ranks_by_qlike_and_annualises_at_the_edge(bars):
    board = volatility_leaderboard(bars, horizon=1, symbol="TEST", origins=200)
    losses = [row.qlike for row in board.rows]
    assert losses == sorted(losses)
    assert board.best.model == board.rows[0].model
    assert board.best.in_confidence_set
    for row in board.rows:
        assert row.annualised == pytest.approx(row.per_period[0] * 252**0.5)
        assert 0.3 < row.ratio < 3
        assert np.isfinite(row.qlike_range)
    assert board.origins == 200
    assert board.best.model in board.in_words()
    assert board._repr_html_().count("<tr>") == 1 + len(MODELS)
    assert VolatilityLeaderboard.from_dict(board.to_dict()) == board


def test_the_loss_is_smallest_in_the_mean_at_the_true_variance():
    shocks = 0.02 * np.random.default_rng(0).standard_t(8, size=20_000)
    proxy = shocks**2
    best = minimize_scalar(
        lambda v: float(qlike(proxy, np.full(20_000, v)).mean()),
        bounds=(1e-5, 1e-2),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert best.x == pytest.approx(proxy.mean(), rel=1e-3)
    assert np.isfinite(qlike(np.zeros(1), np.full(1, 1e-4))).all()


def test_a_model_that_knows_the_truth_is_shown_to_be_better(bars_of):
    """Calm and wild months in turn: who looks back a month is late every time, by much."""
    rng = np.random.default_rng(4)
    scale = np.where(np.arange(1200) // 10 % 2, 0.03, 0.003)

    class Clairvoyant(VOLATILITY_MODELS["rolling"]):
        def update(self, bars):
            self.variance_ = float(scale[min(len(bars) - 1, 1199)]) ** 2
            return self

    VOLATILITY_MODELS._choices["clairvoyant"] = Clairvoyant
    try:
        models = ["rolling", "ewma", "clairvoyant"]
        board = volatility_leaderboard(bars_of(scale * rng.normal(size=1200)), models=models, horizon=1)
    finally:
        del VOLATILITY_MODELS._choices["clairvoyant"]
    assert board.best.model == "clairvoyant"
    assert [row.in_confidence_set for row in board.rows] == [True, False, False]
    assert "every other model is told from it" in board.in_words()


@pytest.mark.parametrize("name", MODELS)
def test_nothing_forecast_at_an_origin_sees_beyond_it(name, bars):
    from quantkit.core.kept import History
    from quantkit.forecast import volatility

    plan = volatility._plan(len(bars), 2, 200, "bars")
    last_kept = 440
    corrupted = bars.copy()
    corrupted.iloc[last_kept + 1 :] *= np.exp(np.random.default_rng(1).normal(size=(len(bars) - last_kept - 1, 1)))
    paths = []
    for each in (bars, corrupted):
        forget()
        paths.append(
            volatility._walk(
                name, each, np.expm1(close_returns(each)), plan, History(each, plan.first), lambda *_: None
            )
        )
    until = last_kept - plan.first + 1
    assert paths[0][:until].tobytes() == paths[1][:until].tobytes()
    assert paths[0][until + 1 :].tobytes() != paths[1][until + 1 :].tobytes()
    assert np.isfinite(paths[0]).all()


def test_after_a_new_bar_it_is_the_cold_answer_bit_for_bit(bars):
    forget()
    volatility_leaderboard(bars.iloc[:-2])
    warm = volatility_leaderboard(bars)
    forget()
    assert warm == volatility_leaderboard(bars)


def test_a_model_that_fails_is_reported_and_the_others_stand(bars):
    board = volatility_leaderboard(bars.iloc[:200], horizon=1)
    assert set(board.failures) == {"garch", "gjr", "egarch"}
    assert "at least 250 are needed" in board.failures["garch"]
    assert [row.model for row in board.rows[:3]] != []
    assert all(np.isfinite(row.qlike) for row in board.rows[:3])
    assert "Failed: garch" in board.in_words()
    close_only = bars.assign(open=np.nan, high=np.nan, low=np.nan)
    board = volatility_leaderboard(close_only, models=["ewma", "range"], horizon=1)
    assert "looks into the bar" in board.failures["range"]
    assert np.isnan(board.best.qlike_range)
    with pytest.raises(ComputeError, match=r"TEST: no model of volatility could be used: .*looks into the bar"):
        volatility_leaderboard(close_only, models=["range"], symbol="TEST")


def test_a_halted_stock_keeps_a_volatility(bars):
    halted = bars.copy()
    halted.iloc[-60:] = halted.iloc[-61].to_numpy()
    board = volatility_leaderboard(halted, models=["rolling", "ewma"], horizon=1)
    assert not board.failures
    assert min(row.per_period[0] for row in board.rows) > 0


def test_minutes_are_forecast_within_their_sessions(sample_bars):
    minutes = sample_bars("MSFT", "1m").iloc[-900:]
    board = volatility_leaderboard(minutes, models=["rolling", "ewma", "garch"], horizon=3, interval="1m", origins=100)
    assert not board.failures
    assert board.best.per_period[0] < 0.01
    assert board.periods_per_year == 252 * 390
    assert "range" not in {row.model for row in volatility_leaderboard(minutes, interval="1m", origins=40).rows}


@pytest.mark.parametrize(
    ("question", "error", "said"),
    [
        ({"models": ["garhc"]}, UnknownChoiceError, "did you mean garch"),
        ({"models": "garch"}, UsageError, "expected a list"),
        ({"models": []}, UsageError, "choose from rolling"),
        ({"models": ["range"], "interval": "1m"}, UsageError, "range forecasts 1d bars, not 1m"),
        ({"horizon": 0}, UsageError, "horizon 0"),
        ({"horizon": 1000}, UsageError, "horizon 1000"),
        ({"origins": 3}, UsageError, "origins 3"),
    ],
)
def test_questions_without_sense_are_refused(bars, question, error, said):
    with pytest.raises(error, match=said):
        volatility_leaderboard(bars, **question)


def test_too_short_or_constant_a_history_is_refused(bars):
    assert volatility_leaderboard(bars.iloc[:160], models=["ewma"], horizon=1).origins == 40
    with pytest.raises(DataError, match=r"159 bars are too few .* at least 160 are needed"):
        volatility_leaderboard(bars.iloc[:159], horizon=1)
    flat = bars.assign(**dict.fromkeys(("open", "high", "low", "close", "adj_close"), 50.0))
    with pytest.raises(DataError, match="constant prices"):
        volatility_leaderboard(flat)


def test_it_can_be_cancelled(bars):
    def enough(done: int, total: int, doing: str = "") -> None:
        if doing == "garch":
            raise Cancelled("enough")

    forget()
    with pytest.raises(Cancelled):
        volatility_leaderboard(bars, progress=enough)


def test_the_desk_answers_and_keeps(shared_desk):
    board = shared_desk.volatility("KO", ["ewma", "garch"], horizon=1)
    assert board.symbol == "KO"
    assert {row.model for row in board.rows} == {"ewma", "garch"}
    assert shared_desk.store.result(board.fingerprint) == board.to_dict()
