"""One question, three faces: REST, ``quantkit ... --json`` and Desk give the same bits and the same fingerprints."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from quantkit.api.bodies import history_body, optimize_body, prediction_body, price_body
from quantkit.cli import app
from tests.integration.api_server import serving

DAILY = "AAPL AMD AMZN BAC BBY CVX GE GOOG HD JNJ JPM KO LLY META MRK MSFT NFLX NVDA PEP PFE PG RRC UNH WMT XOM".split()
FOUR = ["AAPL", "MSFT", "JPM", "XOM"]


@pytest.fixture(scope="module")
def api(shared_desk):
    # Equal bits are asked for, however long a busy machine takes for them.
    patient = shared_desk.settings.model_copy(update={"api_rate_limit": 0.0, "api_timeout": 900.0})
    with serving(shared_desk, patient) as client:
        client.timeout = 900.0
        yield client


@pytest.fixture
def command(shared_desk):
    def run(*arguments: str):
        done = CliRunner().invoke(app, [*arguments, "--json"], env={"QUANTKIT_HOME": str(shared_desk.settings.home)})
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return run


def ageless(body):
    return {name: value for name, value in body.items() if name != "age_seconds"}


def test_prices_and_bars_of_25_symbols(api, command, shared_desk):
    assert len(DAILY) == 25
    for symbol in DAILY:
        rest = api.get("/price", params={"symbol": symbol}).json()
        assert ageless(rest) == ageless(price_body(shared_desk.quote(symbol)))
        if symbol in FOUR:
            assert ageless(rest) == ageless(command("quote", symbol))
        rest = api.get("/history", params={"symbol": symbol, "period": "1mo"}).json()
        body = history_body(shared_desk.history(symbol, period="1mo"))
        assert rest == command("history", symbol, "--period", "1mo") == body
        assert len(rest["bars"]) > 15


def test_the_list_of_symbols(api, command, shared_desk):
    rest = api.get("/symbols").json()
    assert rest == command("symbols")
    assert [each["symbol"] for each in rest["symbols"]] == shared_desk.symbols()["symbol"].tolist()


@pytest.mark.parametrize("symbol", ["AAPL", "XOM"])
def test_forecast_risk_and_leaderboard(api, command, shared_desk, symbol):
    forecast, report = shared_desk.predict(symbol, model="naive"), shared_desk.risk(symbol)
    rest = api.get("/prediction", params={"symbol": symbol, "model": "naive"}).json()
    assert rest == command("predict", symbol, "--model", "naive") == prediction_body(forecast, report)
    assert rest["fingerprint"] == forecast.fingerprint
    rest = api.get("/risk", params={"symbol": symbol}).json()
    assert rest == command("risk", symbol) == report.to_dict()
    board = shared_desk.leaderboard(symbol, ["naive", "drift"], origins=60)
    rest = api.get("/leaderboard", params={"symbol": symbol, "models": "naive,drift", "origins": 60, "wait": 60}).json()
    assert rest == command("leaderboard", symbol, "--models", "naive,drift", "--origins", "60") == board.to_dict()


def test_portfolios(api, command, shared_desk):
    past = shared_desk.backtest(FOUR)
    allocation, curve = shared_desk.optimize(FOUR, capital=100_000.0), shared_desk.frontier(FOUR)
    rest = api.post("/portfolio/optimize", json={"symbols": FOUR, "capital": 100_000.0}).json()
    assert rest == command("optimize", *FOUR, "--capital", "100000") == optimize_body(allocation, curve, past)
    assert (rest["fingerprint"], rest["frontier"]["fingerprint"]) == (allocation.fingerprint, curve.fingerprint)
    rest = api.post("/portfolio/backtest", params={"wait": 60}, json={"symbols": FOUR}).json()
    assert rest == command("backtest", *FOUR)
    assert rest["fingerprint"] == past.fingerprint
    assert api.post("/portfolio/frontier", json={"symbols": FOUR}).json() == curve.to_dict()
    weights = {"AAPL": 0.5, "XOM": 0.5}
    stressed = shared_desk.stress(weights)
    assert api.post("/portfolio/stress", json={"weights": weights}).json() == stressed.to_dict()
    report = shared_desk.risk(weights)
    assert api.get("/risk", params={"weights": "AAPL=0.5,XOM=0.5"}).json() == report.to_dict()
    assert command("risk", "AAPL=0.5", "XOM=0.5") == report.to_dict()
    found = shared_desk.correlation(FOUR)
    assert api.get("/correlation", params={"symbols": ",".join(FOUR)}).json() == found.to_dict()


def test_a_portfolio_of_one_symbol_is_a_portfolio(api, command, shared_desk):
    desk, alone = shared_desk, ["XOM"]
    rest = api.post("/portfolio/optimize", json={"symbols": alone}).json()
    assert rest == command("optimize", *alone)
    assert rest == optimize_body(desk.optimize(alone), desk.frontier(alone), desk.backtest(alone))
    assert rest["weights"] == {"XOM": 1.0}


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("symbol", DAILY)
def test_heavy_questions_of_25_symbols(api, command, shared_desk, symbol):
    rest = api.get("/prediction", params={"symbol": symbol}).json()
    assert rest == command("predict", symbol)
    assert rest["fingerprint"] == shared_desk.predict(symbol).fingerprint
    rest = api.get("/risk", params={"symbol": symbol, "level": 0.99}).json()
    assert rest == command("risk", symbol, "--level", "0.99") == shared_desk.risk(symbol, level=0.99).to_dict()
