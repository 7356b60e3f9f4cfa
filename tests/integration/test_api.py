"""The REST API over a real socket, on the embedded sample."""

import io
import json
import re
import shlex
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import SecretStr

from quantkit.api.manual import page
from quantkit.api.problems import problem_types
from quantkit.core.errors import QuantkitError
from quantkit.settings import Settings
from tests.integration.api_server import serving

FOUR = ["AAPL", "MSFT", "JPM", "XOM"]


@pytest.fixture(scope="module")
def api(shared_desk):
    with serving(shared_desk, shared_desk.settings.model_copy(update={"api_rate_limit": 0.0})) as client:
        yield client


def problem(answer: httpx.Response, kind: str, status: int) -> dict:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    document = answer.json()
    assert document["type"] == f"urn:quantkit:problem:{kind}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


# The forms of DESIGN.md section 5


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_the_fixed_forms_under_both_paths(api, prefix):
    price = api.get(f"{prefix}/price", params={"symbol": "aapl"}).json()
    assert set(price) >= {"symbol", "timestamp", "open", "close", "high", "low", "volume", "currency", "source",
                          "status", "age_seconds"}  # fmt: skip
    assert (price["symbol"], price["close"]) == ("AAPL", 173.92999267578125)
    history = api.get(f"{prefix}/history", params={"symbol": "AAPL", "period": "5d"}).json()
    assert set(history) >= {"symbol", "interval", "currency", "source", "bars"}
    assert set(history["bars"][-1]) >= {"symbol", "timestamp", "open", "close", "high", "low", "volume"}
    prediction = api.get(f"{prefix}/prediction", params={"symbol": "AAPL", "model": "naive"}).json()
    assert set(prediction) >= {
        "predicted_price", "predicted_volatility", "value_at_risk_95", "value_at_risk_95_return", "symbol", "as_of",
        "value_at_risk_method", "model", "level", "trend", "trend_probability", "steps", "coverage", "skill",
        "fingerprint",
    }  # fmt: skip
    assert set(prediction["steps"][0]) >= {"step", "timestamp", "mean", "lower", "upper"}
    risk = api.get(f"{prefix}/risk", params={"symbol": "AAPL"}).json()
    assert set(risk) >= {
        "predicted_volatility", "value_at_risk_95", "volatility", "value_at_risk", "expected_shortfall", "backtests",
        "sharpe", "sortino", "calmar", "max_drawdown", "beta", "as_of", "fingerprint",
    }  # fmt: skip
    assert risk["value_at_risk_95"] == prediction["value_at_risk_95"] < 0


def test_optimize_answers_with_shares_frontier_and_what_it_would_have_earned(api):
    asked = {"symbols": FOUR, "capital": 100_000, "constraints": {"bounds": [0, 0.4]}, "current_weights": {"AAPL": 1},
             "views": [{"assets": {"AAPL": 1, "MSFT": -1}, "expected_return": 0.02}]}  # fmt: skip
    body = api.post("/portfolio/optimize", json=asked).json()
    assert set(body) >= {"weights", "expected_return", "volatility", "sharpe", "shares", "leftover_cash", "frontier",
                         "out_of_sample", "fingerprint"}  # fmt: skip
    assert sum(body["weights"].values()) == pytest.approx(1)
    assert max(body["weights"].values()) <= 0.4 + 1e-9
    assert all(count == int(count) for count in body["shares"].values())


# What goes wrong


def test_every_error_class_has_one_stable_type():
    def family(kind):
        return [kind, *(each for child in kind.__subclasses__() for each in family(child))]

    types = problem_types()
    assert len(types) >= len(set(family(QuantkitError)))
    assert types["unknown-symbol"] == ("Unknown symbol", 404)
    assert types["infeasible"][1] == types["usage"][1] == types["unknown-choice"][1] == 422
    assert types["provider"][1] == 502
    assert types["store"][1] == 503


def test_errors_are_problem_documents(api):
    assert "QUANTKIT_PROVIDER=yahoo" in problem(api.get("/price?symbol=TSLA"), "unknown-symbol", 404)["detail"]
    problem(api.get("/price?symbol=%3C"), "usage", 422)
    assert problem(api.get("/price"), "invalid", 422)["errors"][0]["where"] == "query.symbol"
    assert "choose from 1d, 5d" in problem(api.get("/history?symbol=AAPL&period=3y"), "usage", 422)["detail"]
    assert "did you mean" in problem(api.get("/prediction?symbol=AAPL&model=arim"), "unknown-choice", 422)["detail"]
    problem(api.get("/history?symbol=AAPL&start=2030-01-01"), "no-data", 404)
    problem(api.get("/nothing"), "not-found", 404)
    assert "GET" in api.put("/price").headers["allow"]
    problem(api.put("/price"), "method-not-allowed", 405)
    problem(
        api.post("/portfolio/optimize", content=b"{", headers={"content-type": "application/json"}), "malformed", 400
    )


def test_an_infeasible_question_says_what_cannot_hold_and_the_nearest_that_does(api):
    asked = {"symbols": FOUR, "constraints": {"bounds": [0, 0.1]}}
    said = problem(api.post("/portfolio/optimize", json=asked), "infeasible", 422)
    assert said["binding"] == ["every asset at most 10 %"]
    assert said["nearest"].keys() == set(FOUR)


def test_an_unexpected_error_says_nothing_but_where_it_is_told(api, shared_desk, monkeypatch, caplog):
    # What no input can bring about is brought about by hand.
    def broken(*_):
        raise RuntimeError("postgresql://user:secret@host/db")

    monkeypatch.setattr(shared_desk.market, "as_traded", broken)
    answer = api.get("/history?symbol=AAPL&adjusted=false&period=1mo")
    said = problem(answer, "internal", 500)
    assert "secret" not in answer.text
    assert said["incident"] in caplog.text


# Fuzzed bodies end in a problem document in time


def nested(depth):
    return b'{"symbols": ["AAPL", "MSFT"], "constraints": ' + b'{"bounds":' * depth + b"1" + b"}" * depth + b"}"


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"symbols": [f"S{i}" for i in range(600)]}).encode(),
        json.dumps({"symbols": [f"S{i}" for i in range(400)]}).encode(),
        json.dumps({"symbols": ["AAPL"] * 501}).encode(),
        b'{"symbols": ["AAPL", "MSFT"], "capital": NaN}',
        b'{"symbols": ["AAPL", "MSFT"], "capital": 1e400}',
        b'{"symbols": ["AAPL", "MSFT"], "capital": 1e300}',
        b'{"symbols": ["AAPL", "MSFT"], "capital": ' + b"9" * 5000 + b"}",
        b'{"symbols": ["AAPL", "MSFT"], "capital": true}',
        b'{"symbols": ["AAPL", "MSFT"], "constraints": {"bounds": [0, 1e30]}}',
        b'{"symbols": ["AAPL", "MSFT"], "constraints": {"bounds": [-Infinity, Infinity]}}',
        b'{"symbols": ["AAPL", "MSFT"], "constraints": {"bounds": [0, {"a": 1}]}}',
        b'{"symbols": ["AAPL", "MSFT"], "constraints": {"limits": 1}}',
        b'{"symbols": ["AAPL", "MSFT"], "constraints": {"net": [2, 1]}}',
        b'{"symbols": ["AAPL", "MSFT"], "constraints": {"turnover": 0.1}}',
        b'{"symbols": ["AAPL", "MSFT"], "views": [{"assets": {}, "expected_return": 1}]}',
        b'{"symbols": ["AAPL", "MSFT"], "objective": "max_fun"}',
        b'{"symbols": "AAPL,MSFT"}',
        b'{"symbols": ["AAPL", "AZN.L"]}',
        nested(20),
        nested(100_000),
        b"[" * 200_000,
        b"\xff\xfe",
        b"null",
        b"",
        b" " * (2 << 20),
    ],
    ids=lambda content: f"{content[:60]!r} {len(content)}",
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_cannot_be_answered_is_a_problem(api, content, chunked):
    began = time.monotonic()
    sent = iter([content]) if chunked else content
    answer = api.post("/v1/portfolio/optimize", content=sent, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert time.monotonic() - began < api.app.state.service.timeout


def test_an_unknown_name_in_a_body_is_answered_with_those_there_are(api):
    answer = api.post("/portfolio/optimize", json={"symbols": ["AAPL", "XOM"], "constraints": {"upper": 0.1}})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(
        "body.constraints: unknown name 'upper'; choose from bounds, asset_bounds"
    )


# Caching, formats, pages


def test_head_has_the_headers_of_get_and_no_body(api):
    for path in ("/history?symbol=AAPL", "/health/live", "/history?symbol=TSLA"):
        whole, head = api.get(path), api.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        for name in ("content-type", "content-length", "etag", "x-content-type-options"):
            assert head.headers.get(name) == whole.headers.get(name)
    assert api.head("/stream?symbols=MSFT").status_code == 405
    # The connection is whole afterwards: no body of an earlier answer stands before the next.
    assert api.get("/health/live").json()["status"] == "live"


def test_a_known_answer_is_not_sent_again(api, shared_desk):
    for path in ("/history?symbol=AAPL", "/risk?symbol=AAPL", "/symbols", "/prediction?symbol=AAPL&model=naive"):
        first = api.get(path)
        assert first.headers["cache-control"] == "private, no-cache"
        again = api.get(path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert api.get(path, headers={"if-none-match": '"other"'}).status_code == 200
        plain = api.get(path, headers={"accept-encoding": "identity"})
        assert plain.content == first.content
        assert "content-encoding" not in plain.headers
        assert api.get(path, headers={"if-none-match": plain.headers["etag"]}).status_code == 304
    risk = api.get("/risk?symbol=AAPL")
    assert risk.headers["content-encoding"] == "gzip"
    assert shared_desk.risk("AAPL").fingerprint in risk.headers["etag"]


def test_a_new_bar_makes_a_kept_reply_old(desk):
    times = pd.DatetimeIndex(["2023-01-03", "2023-01-04"], tz="UTC", name="time").as_unit("us")
    bars = pd.DataFrame({name: [10.0, 11.0] for name in ("open", "high", "low", "close", "volume", "adj_close")},
                        index=times)  # fmt: skip
    from quantkit.data.base import Instrument

    desk.store.put_instrument(Instrument("OWN", "Own", "USD", "XNYS", "files"))
    desk.store.put_bars("OWN", "1d", bars.iloc[:1], source="files")
    with serving(desk) as client:
        for path in ("/price?symbol=OWN", "/history?symbol=OWN"):
            first = client.get(path)
            desk.store.put_bars("OWN", "1d", bars, source="files")
            second = client.get(path, headers={"if-none-match": first.headers["etag"]})
            assert second.status_code == 200
            assert second.content != first.content
            bars = bars + 1.0


def test_a_reply_holds_as_long_as_nobody_may_have_more(desk, monkeypatch):
    """What is embedded stands still; a vendor may have newer bars, and a price says how old it is."""
    later = 0.0
    monkeypatch.setattr("quantkit.api.service.monotonic", lambda: time.monotonic() + later)
    with serving(desk, desk.settings.model_copy(update={"api_rate_limit": 0.0})) as client:
        asked: list[str] = []
        answer = client.app.state.service.desk
        for name in ("history", "quote"):
            monkeypatch.setattr(answer, name, _counted(getattr(answer, name), asked, name))
        for _ in range(2):  # the first question stores the bars
            client.get("/history?symbol=AAPL&period=1mo")
            client.get("/price?symbol=AAPL")
        asked.clear()
        client.get("/history?symbol=AAPL&period=1mo")
        assert asked == []
        later = 3600.0
        client.get("/history?symbol=AAPL&period=1mo")
        client.get("/price?symbol=AAPL")
        assert asked == ["quote"]
        monkeypatch.setattr(type(desk.market), "asks", True)
        later = 7200.0
        client.get("/history?symbol=XOM&period=1mo")
        asked.clear()
        later += 11.0
        client.get("/history?symbol=XOM&period=1mo")
        assert asked == ["history"]


def _counted(function, asked, name):
    def count(*arguments, **named):
        asked.append(name)
        return function(*arguments, **named)

    return count


def test_tables_are_the_same_numbers_as_csv_and_arrow(api, shared_desk):
    bars = shared_desk.history("AAPL", period="1y")
    text = api.get("/history?symbol=AAPL&period=1y&format=csv")
    assert text.headers["content-type"].startswith("text/csv")
    read = pd.read_csv(io.StringIO(text.text), index_col="time", parse_dates=["time"])
    assert (read.to_numpy() == bars.to_numpy()).all()
    assert (read.index == bars.index).all()
    for path in ("/history?symbol=AAPL&period=1y", "/symbols?a=", "/correlation?symbols=AAPL,MSFT"):
        stream = api.get(f"{path}&format=arrow")
        table = pa.ipc.open_stream(stream.content).read_all().to_pandas()
        assert len(table)
        if "history" in path:
            assert (table[list(bars.columns)].to_numpy() == bars.to_numpy()).all()


def test_a_long_history_comes_in_pages(api, shared_desk):
    path, found = "/history?symbol=AAPL&period=max&limit=1000", []
    while path:
        answer = api.get(path)
        found += answer.json()["bars"]
        assert len(answer.json()["bars"]) <= 1000
        path = answer.links["next"]["url"] if answer.links else None
    whole = shared_desk.history("AAPL", period="max")
    assert [bar["close"] for bar in found] == whole["close"].tolist()
    assert found[-1]["timestamp"] == whole.index[-1].isoformat()


# Who may ask, and how often


def test_keys_open_and_nothing_else_does(shared_desk):
    settings = shared_desk.settings.model_copy(update={"api_keys": SecretStr("one, two")})
    with serving(shared_desk, settings) as client:
        said = client.get("/price?symbol=AAPL")
        problem(said, "unauthorized", 401)
        assert said.headers["www-authenticate"]
        problem(client.get("/price?symbol=AAPL", headers={"x-api-key": "three"}), "unauthorized", 401)
        problem(client.get("/price?symbol=AAPL&key=one"), "unauthorized", 401)
        for headers in ({"x-api-key": "one"}, {"authorization": "Bearer two"}):
            assert client.get("/price?symbol=AAPL", headers={**headers, "host": "any.example"}).status_code == 200
        for path in ("/health/live", "/health/ready", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        assert client.get("/openapi.json").json()["security"]


def test_without_keys_only_this_machines_names_are_served(api):
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::1].evil.example", ""):
        problem(api.get("/price?symbol=AAPL", headers={"host": host}), "forbidden-host", 421)
    for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert api.get("/price?symbol=AAPL", headers={"host": host}).status_code == 200


def test_security_headers_stand_on_every_answer(api):
    for path in ("/price?symbol=AAPL", "/nothing", "/docs"):
        headers = api.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers or "uvicorn" in headers["server"]


def test_other_origins_are_let_in_only_where_that_is_set(api, shared_desk):
    asked = {"origin": "https://desk.example", "access-control-request-method": "GET"}
    assert "access-control-allow-origin" not in api.get("/price?symbol=AAPL", headers=asked).headers
    settings = shared_desk.settings.model_copy(update={"api_cors_origins": ("https://desk.example",)})
    with serving(shared_desk, settings) as client:
        allowed = client.options("/price", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://desk.example"
        other = client.get("/price?symbol=AAPL", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_who_asks_too_often_is_told_when_to_come_back(shared_desk):
    settings = shared_desk.settings.model_copy(update={"api_rate_limit": 2.0})
    with serving(shared_desk, settings) as client:
        answers = [client.get("/symbols") for _ in range(12)]
        refused = [each for each in answers if each.status_code != 200]
        assert answers[0].status_code == 200
        assert refused
        for each in refused:
            problem(each, "too-many-requests", 429)
            assert int(each.headers["retry-after"]) >= 1


# Long questions


def test_a_long_question_is_a_job_with_progress_and_a_lasting_answer(api, shared_desk):
    asked = "/leaderboard?symbol=MSFT&models=naive,drift,arima&origins=200&wait=0"
    told = api.get(asked)
    assert told.status_code == 202
    job = told.json()
    assert told.headers["location"] == job["location"]
    assert told.headers["retry-after"]
    assert api.get(asked).json()["id"] == job["id"], "who asks the same has the same job"
    assert api.get(f"{job['location']}/result").status_code in (200, 202)
    deadline = time.monotonic() + 120
    while (job := api.get(job["location"]).json())["status"] == "running":
        assert 0 <= job["progress"]["done"] <= job["progress"]["total"]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert job["status"] == "done"
    result = api.get(job["result"])
    assert "immutable" in result.headers["cache-control"]
    board = shared_desk.leaderboard("MSFT", ["naive", "drift", "arima"], origins=200)
    assert result.json() == board.to_dict()
    assert job["id"] == board.fingerprint
    assert api.get(asked).json() == board.to_dict(), "a kept answer is no job"


def test_a_job_can_be_withdrawn(api):
    job = api.get("/leaderboard?symbol=NVDA&models=arima,auto&origins=2000&wait=0").json()
    assert api.delete(job["location"]).json()["status"] == "cancelled"
    problem(api.get(f"{job['location']}/result"), "cancelled", 410)
    problem(api.get("/jobs/" + "0" * 32), "not-found", 404)
    problem(api.get("/jobs/x"), "invalid", 422)


def test_a_job_outlives_the_server_that_took_it(desk):
    path = "/leaderboard?symbol=AAPL&models=naive,arima&origins=500&wait=0"
    with serving(desk, grace=0.0) as client:
        job = client.get(path).json()
        assert job["status"] == "running"
    assert desk.store.result(job["id"]) is None, "it was left unfinished"
    with serving(desk) as client:
        deadline = time.monotonic() + 120
        while client.get(job["location"]).json()["status"] != "done":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        first = client.get(f"{job['location']}/result").json()
    assert first["fingerprint"] == job["id"]
    with serving(desk) as client:
        assert client.get(f"{job['location']}/result").json() == first, "the answer is kept"
        withdrawn = client.get(path.replace("origins=500", "origins=900")).json()
        client.delete(withdrawn["location"])
    with serving(desk) as client:
        problem(client.get(withdrawn["location"]), "cancelled", 410)


def test_what_takes_too_long_is_given_up(desk):
    with serving(desk, desk.settings.model_copy(update={"api_timeout": 0.05})) as client:
        said = client.get("/prediction?symbol=AAPL&model=arima")
        problem(said, "timeout", 503)
        assert said.headers["retry-after"]
        assert client.get("/health/live").status_code == 200


# Stream, health, manual


def test_the_stream_sends_a_quote_at_once_and_again_when_it_changes(desk):
    from quantkit.data.base import Instrument

    times = pd.DatetimeIndex(["2023-01-03", "2023-01-04"], tz="UTC", name="time").as_unit("us")
    bars = pd.DataFrame({name: [10.0, 11.0] for name in ("open", "high", "low", "close", "volume", "adj_close")},
                        index=times)  # fmt: skip
    desk.store.put_instrument(Instrument("OWN", "Own", "USD", "XNYS", "files"))
    desk.store.put_bars("OWN", "1d", bars.iloc[:1], source="files")
    with serving(desk) as client:
        problem(client.get("/stream?symbols=TSLA"), "unknown-symbol", 404)
        seen = []
        with client.stream("GET", "/stream?symbols=OWN,AAPL", headers={"accept": "text/event-stream"}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line.removeprefix("data: ")))
                    if len(seen) == 2:
                        assert {each["symbol"] for each in seen} == {"OWN", "AAPL"}
                        desk.store.put_bars("OWN", "1d", bars, source="files")
                    if len(seen) == 3:
                        break
        assert (seen[2]["symbol"], seen[2]["close"]) == ("OWN", 11.0)


def test_a_stopping_server_ends_its_streams(desk):
    ended = threading.Event()

    def listen(url):
        with httpx.stream("GET", f"{url}/stream?symbols=AAPL", timeout=60, trust_env=False) as answer:
            for line in answer.iter_lines():
                if line.startswith("data"):
                    begun.set()
        ended.set()

    begun = threading.Event()
    with serving(desk) as client:
        thread = threading.Thread(target=listen, args=(str(client.base_url),))
        thread.start()
        assert begun.wait(60)
    thread.join(30)
    assert ended.is_set()


def test_health_says_what_it_stands_on(api):
    assert api.get("/health/live").json()["status"] == "live"
    ready = api.get("/health/ready").json()
    assert ready["status"] == "ready"
    assert set(ready["checks"]) >= {"store", "bus", "vendor"}


def test_the_manual_is_complete_and_fetches_nothing(api):
    document, text = api.get("/openapi.json").json(), api.get("/docs").text
    for path, methods in document["paths"].items():
        assert f">{path}<" in text
        for operation in methods.values():
            assert operation["description"], path
    assert "<script" not in text
    assert "http" not in text.replace("http://127.0.0.1:8000", "").replace("ETag", "")
    for name in ("Price", "Prediction", "RiskReport", "Optimized", "Problem"):
        assert f'id="form-{name}"' in text
    hostile = json.loads(json.dumps(document).replace("Latest price", "<script>alert(1)</script>"))
    assert "<script" not in page(hostile)


def test_the_readmes_examples_return_what_the_desk_says(api, shared_desk):
    text = (Path(__file__).parents[2] / "README.md").read_text()
    commands = re.findall(r"^ *(curl (?!-N).*http://127\.0\.0\.1:8000/.*)$", text, re.MULTILINE)
    assert len(commands) >= 6
    found = {}
    for command in commands:
        words = shlex.split(command.replace("http://127.0.0.1:8000", str(api.base_url)))
        done = subprocess.run([*words, "-sS", "--fail", "--noproxy", "*"], capture_output=True, text=True, check=True)
        found[re.search(r"8000/([a-z/]+)", command)[1]] = done.stdout
    bodies = {name: json.loads(said) for name, said in found.items() if name != "history"}
    assert bodies["price"]["close"] == shared_desk.quote("AAPL").close
    assert bodies["prediction"]["fingerprint"] == shared_desk.predict("AAPL").fingerprint
    assert bodies["risk"]["fingerprint"] == shared_desk.risk("AAPL").fingerprint
    assert bodies["leaderboard"]["fingerprint"] == shared_desk.leaderboard("AAPL", ["naive", "drift"]).fingerprint
    allocation = shared_desk.optimize(FOUR, capital=100_000.0)
    assert bodies["portfolio/optimize"]["fingerprint"] == allocation.fingerprint
    assert found["history"].splitlines()[-1].startswith("2023-09-21T00:00:00+00:00,174.55")


def test_settings_say_what_is_wrong_without_the_keys(monkeypatch):
    monkeypatch.setenv("QUANTKIT_API_KEYS", "very-secret")
    monkeypatch.setenv("QUANTKIT_API_CORS_ORIGINS", "https://a.example, https://b.example")
    settings = Settings.load()
    assert settings.api_cors_origins == ("https://a.example", "https://b.example")
    assert "very-secret" not in repr(settings)
