import math
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from quantkit.core import fingerprint as fingerprints
from quantkit.core.errors import QuantkitError, UnknownChoiceError
from quantkit.core.fingerprint import data_hash, fingerprint
from quantkit.core.registry import Registry
from quantkit.core.results import Result
from quantkit.core.returns import (
    annualise_volatility,
    compound,
    implied_dividends,
    log_returns,
    prices_from,
    simple_returns,
)
from quantkit.core.sessions import session_bars, session_labels


@dataclass(frozen=True, slots=True, eq=False)
class Inner(Result):
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Outer(Result):
    name: str
    when: pd.Timestamp
    numbers: pd.Series
    table: pd.DataFrame
    parts: tuple[Inner, ...]
    maybe: float | None
    by_name: dict[str, float]


def outer() -> Outer:
    index = pd.date_range("2023-01-02", periods=3, tz="UTC", name="time").astype("datetime64[us, UTC]")
    return Outer(
        name="x",
        when=index[0],
        numbers=pd.Series([0.1, np.nan, 1 / 3], index=index),
        table=pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}, index=["AAPL", "MSFT"]),
        parts=(Inner(math.pi), Inner(math.nan)),
        maybe=None,
        by_name={"a": 1e-300},
    )


def test_a_result_comes_back_from_json_with_the_same_bits():
    import json

    there = outer()
    back = Outer.from_dict(json.loads(json.dumps(there.to_dict(), allow_nan=False)))
    assert back == there
    assert back.numbers.to_numpy().tobytes() == there.numbers.to_numpy().tobytes()
    assert back.numbers.index.equals(there.numbers.index)
    assert math.isnan(back.parts[1].value)
    assert back.table.equals(there.table)


def test_an_infinite_figure_is_refused():
    with pytest.raises(ValueError, match="value is infinite"):
        Inner(math.inf).to_dict()


def test_a_fingerprint_sees_the_data_the_question_and_the_code(monkeypatch):
    prices = pd.Series([1.0, 2.0, np.nan], name="AAPL")
    first = fingerprint({"level": 0.95}, prices)
    assert first == fingerprint({"level": 0.95}, prices.copy())
    assert first != fingerprint({"level": 0.99}, prices)
    assert first != fingerprint({"level": 0.95}, prices * (1 + 1e-15))
    assert first != fingerprint({"level": 0.95}, prices.rename("MSFT"))
    monkeypatch.setattr(fingerprints, "code_version", lambda: "another")
    assert first != fingerprint({"level": 0.95}, prices)


def test_the_resolution_of_an_index_does_not_change_the_hash():
    seconds = pd.Series([1.0, 2.0], index=pd.date_range("2023-01-02", periods=2, tz="UTC").as_unit("s"))
    assert data_hash(seconds) == data_hash(seconds.set_axis(seconds.index.as_unit("ns")))


def test_a_registry_names_its_choices_and_the_nearest():
    table: Registry[type] = Registry("model")
    table.add("naive")(int)
    table.add("arima")(float)
    with pytest.raises(UnknownChoiceError, match=r"unknown model 'arma' \(did you mean arima\?\); choose from naive"):
        table["arma"]
    with pytest.raises(ValueError, match="registered already"):
        table.add("naive")(str)


def own_model(body: str) -> type:
    """A class as a notebook's cell makes it."""
    space = {"__name__": "__main__"}
    exec(body, space)
    return space["Mine"]


def test_a_cell_that_is_run_again_replaces_its_model_and_the_question_is_another():
    table: Registry[type] = Registry("model")
    prices = pd.Series([1.0, 2.0], name="AAPL")
    body = "class Mine:\n    window = 5\n    def predict(self, horizon):\n        return [0.0] * horizon\n"
    prints = {}
    for name, text in {"first": body, "moved": "\n# said better\n" + body, "other": body.replace("0.0", "0.1"),
                       "longer": body.replace("5", "6")}.items():  # fmt: skip
        table.add("mine")(own_model(text))
        prints[name] = fingerprint({"models": ["naive", "mine"]}, prices)
    assert prints["first"] == prints["moved"]
    assert len(set(prints.values())) == 3
    assert fingerprint({"models": ["naive"]}, prices) == fingerprint({"models": ["naive"]}, prices)
    with pytest.raises(ValueError, match="registered already"):
        table.add("mine")(type("Another", (), {}))


def test_what_another_table_holds_under_a_models_name_leaves_the_model_alone():
    ours, theirs = Registry("model"), Registry("overlay")
    ours.add("naive")(type("Naive", (), {"__module__": "quantkit.forecast.naive"}))
    theirs.add("naive")(own_model("class Mine:\n    pass\n"))
    assert list(ours.built_in()) == ["naive"]
    assert list(theirs.built_in()) == []


def test_returns_and_their_annual_form():
    prices = pd.DataFrame({"A": [100.0, 110.0, 99.0], "B": [50.0, 50.0, 60.0]})
    assert simple_returns(prices)["A"].round(12).tolist() == [0.1, -0.1]
    assert log_returns(prices)["B"].tolist() == pytest.approx([0, math.log(1.2)])
    assert compound(simple_returns(prices))["A"] == pytest.approx(-0.01)
    assert annualise_volatility(0.01, periods_per_year=252) == pytest.approx(0.158745, abs=1e-6)


def test_dividends_are_read_off_the_adjusted_closes(sample_bars):
    # Apple's own record of what it paid (investor.apple.com, dividend history), after the splits of 2014 and 2020.
    paid = implied_dividends(sample_bars("AAPL"))
    told = {"2013-02-07": 2.65 / 28, "2014-08-07": 0.47 / 4, "2020-08-07": 0.82 / 4, "2021-05-07": 0.22,
            "2022-11-04": 0.23, "2023-02-10": 0.23, "2023-05-12": 0.24, "2023-08-11": 0.24}  # fmt: skip
    assert len(paid) == 43  # a quarter each, February 2013 to August 2023
    assert {day: float(paid[day]) for day in told} == pytest.approx(told, abs=6e-5)
    assert implied_dividends(sample_bars("AMZN")).empty  # which has never paid one
    assert implied_dividends(sample_bars("AAPL").assign(adj_close=np.nan)).empty


def test_an_adjusted_series_with_holes_is_never_spliced_with_raw_prices():
    bars = pd.DataFrame({"close": [10.0, 11.0], "adj_close": [9.0, np.nan]})
    assert prices_from(bars).tolist() == [10.0, 11.0]


def test_minutes_gather_into_the_exchanges_own_days():
    # 22:00 UTC on the 14th is 06:00 on the 15th in Hong Kong.
    index = pd.DatetimeIndex(["2022-06-14 01:30", "2022-06-14 07:59", "2022-06-15 01:30"], tz="UTC", name="time")
    minutes = pd.DataFrame(
        {"open": [1.0, 2.0, 3.0], "high": [5.0, 4.0, 3.0], "low": [1.0, 0.5, 3.0], "close": [2.0, 3.0, 3.0],
         "volume": [1.0, 2.0, 3.0], "adj_close": np.nan}, index=index,
    )  # fmt: skip
    daily = session_bars(minutes, "XHKG")
    assert [f"{t:%Y-%m-%d}" for t in daily.index] == ["2022-06-14", "2022-06-15"]
    assert daily.iloc[0][["open", "high", "low", "close", "volume"]].tolist() == [1.0, 5.0, 0.5, 3.0, 3.0]


def test_sessions_with_holes_are_what_pandas_gathers(shared_desk):
    minutes = shared_desk.history("MSFT", period="5d", interval="1m").copy()
    minutes = minutes.mask(np.random.default_rng(1).random(minutes.shape) < 0.3)
    minutes.iloc[:390, 0] = np.nan  # a session without an open
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "adj_close": "last"}
    expected = minutes.groupby(session_labels(minutes.index, "XNYS")).agg(how)
    pd.testing.assert_frame_equal(session_bars(minutes, "XNYS"), expected, check_freq=False)
    assert session_bars(minutes.iloc[:0], "XNYS").empty


def test_every_error_says_how_a_command_ends():
    def tree(cls):
        yield cls
        for child in cls.__subclasses__():
            yield from tree(child)

    assert all(1 <= error.exit_code <= 5 and error.title for error in tree(QuantkitError))


def test_importing_quantkit_loads_nothing_heavy():
    heavy = "pandas statsmodels arch sklearn scipy bqplot ipywidgets distributed sqlalchemy pyarrow exchange_calendars"
    script = f"import sys, quantkit; print(*[m for m in {heavy.split()!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_annualisation_is_defined_once():
    from pathlib import Path

    import quantkit

    root = Path(quantkit.__file__).parent
    spelled = [
        f"{path.relative_to(root)}:{number}"
        for path in root.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "252" in line and path.name not in ("calendars.py", "returns.py") and ">>>" not in line
        and not line.strip().startswith(("#", '"'))
    ]  # fmt: skip
    assert [where for where in spelled if "sqrt" in where] == []
