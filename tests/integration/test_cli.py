import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("quantkit")


@pytest.fixture(scope="module")
def quantkit(tmp_path_factory):
    home, elsewhere = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("elsewhere")

    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "QUANTKIT_HOME": str(home / "kit")}
        done = subprocess.run(
            [COMMAND, *arguments], cwd=elsewhere, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_history_prints_a_table_from_any_folder(quantkit):
    said = quantkit("history", "AAPL", "--period", "1mo").stdout
    assert "2023-09-21" in said
    assert "173.93" in said
    assert "22 bars from sample" in said


def test_json_is_the_rest_body(quantkit, shared_desk):
    body = json.loads(quantkit("history", "AAPL", "--period", "5d", "--json").stdout)
    bars = shared_desk.history("AAPL", period="5d")
    assert [bar["close"] for bar in body["bars"]] == bars["close"].tolist()
    assert set(body["bars"][0]) >= {"symbol", "timestamp", "open", "close", "high", "low", "volume"}
    price = json.loads(quantkit("quote", "AAPL", "--json").stdout)
    assert price["close"] == bars["close"].iloc[-1]


def test_predict_answers_as_the_desk_does(quantkit, shared_desk):
    body = json.loads(quantkit("predict", "AAPL", "--model", "naive", "--json").stdout)
    forecast = shared_desk.predict("AAPL", model="naive")
    assert body["fingerprint"] == forecast.fingerprint
    assert body["predicted_price"] == forecast.predicted_price
    assert "naive" in quantkit("predict", "AAPL", "--model", "naive").stdout


def test_predict_says_what_the_forecast_is_made_of(quantkit, shared_desk):
    asked = ("predict", "AAPL", "--model", "xgboost", "--horizon", "2", "--explain")
    explanation = shared_desk.explain("AAPL", model="xgboost", horizon=2)
    body = json.loads(quantkit(*asked, "--json").stdout)
    assert body["explanation"]["forecast_price"] == explanation.forecast_price
    assert body["explanation"]["fingerprint"] == explanation.fingerprint
    printed = quantkit(*asked).stdout
    assert all(feature in printed for feature in explanation.to_frame().index)
    assert "their sum" in printed


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("quote", "TSLA"), 3, "QUANTKIT_PROVIDER=yahoo"),
        (("quote", "<script>"), 2, "is not a symbol"),
        (("history", "AAPL", "--period", "3y"), 2, "choose from 1d, 5d"),
        (("history", "AAPL", "--start", "2024-01-01"), 3, "2013-01-02 to 2023-09-21"),
        (("predict", "AAPL", "--model", "arma"), 2, "choose from"),
        (("data", "import", "missing.csv", "--symbol", "IBM"), 2, "missing.csv"),
    ],
)
def test_an_error_is_one_sentence_and_a_status(quantkit, arguments, status, said):
    done = quantkit(*arguments, status=status)
    assert said in done.stderr
    assert done.stderr.startswith("quantkit: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_persons_file_becomes_a_symbol_and_comes_out_again(quantkit, tmp_path):
    source = tmp_path / "ibm.csv"
    source.write_text(
        "Date,Open,High,Low,Close,Adj Close,Volume\n"
        "2023-01-03,10,11,9,10.5,10.4,1000\n"
        "2023-01-04,10.5,9,11,10,9.9,1000\n"
        "2023-01-05,10,11,9,,9.9,1000\n"
        "2023-01-06,10,11,9,10.25,10.2,1200\n"
    )
    said = quantkit("data", "import", str(source), "--symbol", "IBM").stdout
    assert "2 bars" in said
    assert "line 3" in said
    assert "line 4" in said
    assert "quarantined" in quantkit("data", "check", "IBM").stdout
    quantkit("data", "export", "IBM", str(tmp_path / "out.csv"))
    quantkit("data", "import", str(tmp_path / "out.csv"), "--symbol", "IBM2")
    there, back = (json.loads(quantkit("history", s, "--period", "max", "--json").stdout) for s in ("IBM", "IBM2"))
    assert [b["close"] for b in there["bars"]] == [b["close"] for b in back["bars"]] == [10.5, 10.25]


def test_doctor_finds_a_fresh_machine_in_order(quantkit):
    said = quantkit("doctor").stdout
    assert "store" in said
    assert "failed" not in said


def test_version_and_help_name_the_commands(quantkit):
    assert quantkit("--version").stdout.strip()
    for command in ("up", "dashboard", "quote", "history", "predict", "data", "doctor"):
        assert command in quantkit("--help").stdout
