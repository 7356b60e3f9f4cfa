"""Reports in parts: exact values in the markup, alerts as events, records, index, mail."""

from __future__ import annotations

import json
import math
import re

import matplotlib.style
import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import DataError, SettingsError
from quantkit.reporting.alerts import Alert, market_alerts, stale_alert
from quantkit.reporting.batch import Entry, Run, symbol_jobs
from quantkit.reporting.deliver import for_mail, plain_text
from quantkit.reporting.figures import Charts, sparkline
from quantkit.reporting.index import index_page
from quantkit.reporting.latest import latest_alerts
from quantkit.reporting.markup import Figures, Html, data, table, text
from quantkit.reporting.record import Record, changes, file_stem, previous_record
from quantkit.risk import RiskReport, risk_history, risk_report
from quantkit.settings import AlertRules, Settings

DAY = pd.Timestamp("2023-09-20", tz="UTC")


def record(**changed) -> Record:
    values = {
        "kind": "symbol", "name": "AAPL", "title": "Apple", "date": "2023-09-20", "as_of": DAY,
        "figures": {"forecast.last_price": 100.0, "risk.sharpe": 0.5}, "ranks": {"naive": 1.0, "drift": 2.0},
        "texts": {"forecast.trend": "UP", "forecast.edge": "yes"}, "fingerprints": {}, "alerts": (),
        "closes": (1.0, 2.0), "fingerprint": "0" * 32,
    }  # fmt: skip
    return Record(**values | changed)


def drawn() -> pd.Series:
    rng = np.random.default_rng(4)
    times = pd.date_range("2021-01-01", periods=700, freq="B", tz="UTC", name="time").as_unit("us")
    return pd.Series(rng.standard_t(5, 700) * 0.008, index=times, name="AAA")


@pytest.fixture
def returns() -> pd.Series:
    return drawn()


@pytest.fixture(scope="module")
def calm() -> RiskReport:
    """Of returns whose last one breaches nothing."""
    return risk_report(drawn())


def test_a_number_carries_its_exact_value_and_what_is_not_markup_is_escaped():
    shown = data(-0.1 - 0.2, "-30 %", name="risk.x")
    assert float(re.search(r'value="([^"]+)"', shown)[1]) == -0.1 - 0.2
    assert "<data" not in data(math.nan, "nan")
    assert text("<script>") == "&lt;script&gt;"
    assert "<b>&lt;i&gt;</b>" in table(("a", "b"), [("<i>", Html("<b>&lt;i&gt;</b>"))])
    assert '<th scope="row" class="word">&lt;i&gt;</th>' in table(("a",), [("<i>",)])


def test_figures_are_read_from_the_answer_and_a_path_that_it_lacks_is_an_error(calm):
    figures = Figures("risk", calm)
    assert (
        float(re.search(r'value="([^"]+)"', figures.percent("value_at_risk.auto"))[1])
        == (figures.answer.value_at_risk["auto"])
    )
    assert figures.taken == {"risk.value_at_risk.auto": figures.answer.value_at_risk["auto"]}
    with pytest.raises(KeyError):
        figures.percent("value_at_risk.guess")


def test_names_of_files_hold_nothing_that_a_path_or_a_shell_reads():
    assert [file_stem(each) for each in ("AAPL", "^GSPC", "EURUSD=X", "../etc", "<b>", "...")] == [
        "AAPL", "_GSPC", "EURUSD_X", "_etc", "_b_", "_",
    ]  # fmt: skip
    assert [job.name for job in symbol_jobs(["AAPL", " aapl", "", "<b>"], horizon=1)] == ["AAPL", "<b>"]


def test_changes_compare_what_both_reports_hold_and_name_the_ranks_that_moved():
    now = record(
        figures={"forecast.last_price": 110.0, "risk.sharpe": 0.25, "risk.beta": 1.0},
        ranks={"naive": 2.0, "drift": 1.0},
    )
    found = {each.label: each.difference for each in changes(record(), now)}
    assert found == pytest.approx(
        {"Price": 0.1, "Sharpe ratio, 5 years": -0.25, "Rank of naive": 1.0, "Rank of drift": -1.0}
    )


def test_the_record_before_is_the_newest_of_an_older_day_that_can_be_read(tmp_path):
    for day, content in (("2023-09-18", record(date="2023-09-18").to_dict()), ("2023-09-19", {"broken": True}),
                         ("2023-09-21", record(date="2023-09-21").to_dict())):  # fmt: skip
        (tmp_path / day).mkdir()
        (tmp_path / day / "AAPL.json").write_text(json.dumps(content))
    assert previous_record(tmp_path, "AAPL", "2023-09-20").date == "2023-09-18"
    assert previous_record(tmp_path, "AAPL", "2023-09-18") is None
    assert previous_record(tmp_path / "nowhere", "AAPL", "2023-09-20") is None


def test_the_record_before_is_of_that_name_where_two_come_to_one_file_name(tmp_path):
    (tmp_path / "2023-09-19").mkdir()
    for name, file in (("my money", "my_money"), ("my/money", "my_money-2"), ("m" * 80, "m" * 60)):
        (tmp_path / "2023-09-19" / f"{file}.json").write_text(json.dumps(record(name=name).to_dict()))
    for name in ("my money", "my/money", "m" * 80):
        assert previous_record(tmp_path, name, "2023-09-20").name == name
    assert previous_record(tmp_path, "my_money", "2023-09-20") is None


def test_a_breach_of_var_is_an_event_of_its_session(returns):
    returns.iloc[-1] = -0.09
    risk, history = risk_report(returns), risk_history(returns)
    (breach,) = [each for each in market_alerts(AlertRules(), risk, history) if each.kind == "var_breach"]
    assert breach.value == pytest.approx(-0.09)
    assert breach.value < breach.limit == risk.backtests.path["auto"].iloc[-1]
    assert breach.event == f"{returns.index[-1]:%Y-%m-%d}"
    quiet = market_alerts(AlertRules(var_breach=False), risk, history)
    assert not [each for each in quiet if each.kind == "var_breach"]


def test_a_fall_is_one_event_for_as_long_as_it_lasts(returns, calm):
    returns.iloc[-30:] = -0.02
    falls = []
    for count in (len(returns) - 3, len(returns)):
        part = returns.iloc[:count]
        found = market_alerts(AlertRules(drawdown=0.25), calm, risk_history(part))
        falls += [each for each in found if each.kind == "drawdown"]
    assert len(falls) == 2
    assert falls[0].value > falls[1].value
    assert falls[0].identity == falls[1].identity


def test_a_change_of_regime_is_said_on_the_day_it_happens_only(returns, calm):
    returns.iloc[-40:-2] = np.tile([0.002, -0.002], 19)
    returns.iloc[-2] = 0.12
    kinds = []
    for count in (len(returns) - 2, len(returns) - 1, len(returns)):
        part = returns.iloc[:count]
        found = market_alerts(AlertRules(), calm, risk_history(part))
        kinds.append([each.event.split()[0] for each in found if each.kind == "volatility_regime"])
    assert kinds[1] == ["high"]
    assert kinds[2] == []


def test_data_is_stale_after_the_sessions_that_the_rule_says():
    friday = pd.Timestamp("2023-09-15", tz="UTC")
    rules = AlertRules(stale_sessions=2)
    assert stale_alert(rules, "AAPL", friday, pd.Timestamp("2023-09-18", tz="UTC"), "XNYS") is None
    stale = stale_alert(rules, "AAPL", friday, pd.Timestamp("2023-09-19", tz="UTC"), "XNYS")
    assert (stale.value, stale.event) == (2.0, "2023-09-15")
    assert stale_alert(AlertRules(stale_sessions=None), "AAPL", friday, DAY, "XNYS") is None


def test_rules_come_from_the_environment_and_from_a_toml_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quantkit.toml").write_text("[alerts]\ndrawdown = 0.35\nforecast_flip = false\n")
    monkeypatch.setenv("QUANTKIT_ALERTS__STALE_SESSIONS", "5")
    rules = Settings.load().alerts
    assert (rules.drawdown, rules.forecast_flip, rules.stale_sessions, rules.var_breach) == (0.35, False, 5, True)
    (tmp_path / "quantkit.toml").write_text("[alerts]\ndrawdowns = 0.35\n")
    with pytest.raises(SettingsError, match="DRAWDOWNS"):
        Settings.load()


def test_an_alert_and_a_record_come_back_from_json():
    alert = Alert("drawdown", "AAPL", DAY, "2023-07-31", "down", -0.25, -0.2)
    kept = record(alerts=(alert,))
    assert Record.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept


def test_the_index_has_alerts_first_and_a_place_of_every_row_by_every_column():
    symbols = {"AAPL": (100.0, 0.02), "MSFT": (300.0, 0.01), "<X>": (200.0, float("nan"))}
    records = {
        name: record(name=name, title=name, figures={"forecast.last_price": price, "risk.predicted_volatility": vol},
                     alerts=(Alert("drawdown", name, DAY, "e", "fell & fell", -0.3, -0.2),) if name == "MSFT" else ())
        for name, (price, vol) in symbols.items()
    }  # fmt: skip
    entries = [
        Entry(name, "symbol", "done", f"{file_stem(name)}.html", 1.0, alerts=int(name == "MSFT")) for name in symbols
    ]
    html = index_page(
        "2023-09-20", [*entries, Entry("BAD", "symbol", "failed", "BAD.html", error="no <data>")], records
    )
    assert html.index('id="alerts"') < html.index('id="failed"') < html.index('id="reports"')
    assert "fell &amp; fell" in html
    assert "no &lt;data&gt;" in html
    assert "<X>" not in html
    rows = {
        name: dict(re.findall(r"--(\w+):(\d+)", style))
        for style, name in re.findall(r'<tr role="row" style="([^"]+)">.*?<a[^>]*>([^<]+)</a>', html)
    }
    by_price = sorted(rows, key=lambda name: int(rows[name]["c0"]))
    assert by_price == ["MSFT", "&lt;X&gt;", "AAPL"]
    assert sorted(rows, key=lambda name: int(rows[name]["c3"])) == ["AAPL", "MSFT", "&lt;X&gt;"]
    assert rows["MSFT"]["alerts"] == "0"


def test_alerts_stand_in_the_order_that_was_asked_whichever_report_was_ready_first(tmp_path):
    run = Run("2023-09-20", tmp_path)
    for name in ("AAPL", "MSFT"):
        run.entries[name] = Entry(name, "symbol", "done", f"{name}.html", 1.0, alerts=1)
    for name in ("MSFT", "AAPL"):
        alert = Alert("drawdown", name, DAY, "e", f"{name} fell", -0.3, -0.2)
        run.records[name] = record(name=name, alerts=(alert,))
    assert [each.symbol for each in run.alerts] == ["AAPL", "MSFT"]
    html = index_page(run.date, list(run.entries.values()), run.records)
    assert html.index("AAPL fell") < html.index("MSFT fell")


def test_charts_are_the_same_bytes_twice_with_text_as_text_and_ids_of_their_own(returns):
    history = risk_history(returns)
    first, second = (Charts().drawdown(history, alt="a < b") for _ in range(2))
    assert first == second
    assert "<text" in first
    assert "20%" in first or "10%" in first
    assert 'aria-label="a &lt; b"' in first
    ids = re.findall(r' id="([^"]+)"', first)
    assert len(ids) == len(set(ids))
    assert all(each.startswith("drawdown-") for each in ids)
    assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', first)) == {
        (each, "") if f"url(#{each})" in first else ("", each) for each in ids
    }
    assert "<metadata" not in first
    assert sparkline([1.0, 1.0], alt="flat").count("polyline") == 1


def test_charts_look_as_they_do_whatever_style_the_process_has_set(calm, returns):
    history = risk_history(returns)

    def drawn_now() -> list[str]:
        charts = Charts()
        return [
            charts.rolling(history, alt="a"), charts.histogram(history, -0.02, alt="a"),
            charts.value_at_risk(calm.backtests, "auto", 100, alt="a"),
        ]  # fmt: skip

    plain = drawn_now()
    others = {"svg.fonttype": "path", "font.size": 14, "axes.grid": True, "savefig.bbox": "tight", "lines.marker": "x"}
    with matplotlib.style.context(["ggplot", others]):
        before = dict(matplotlib.rcParams)
        assert drawn_now() == plain
        assert dict(matplotlib.rcParams) == before


def test_a_mail_shows_captions_where_a_page_shows_pictures():
    html = (
        "<h1>A</h1><figure><svg><text>axis</text></svg><figcaption>what it shows</figcaption></figure><p>x &amp; y</p>"
    )
    assert "axis" not in for_mail(html)
    assert "what it shows" in for_mail(html)
    said = plain_text(f"<style>p{{}}</style>{html}<table><tr><th>VaR</th><td>-2 %</td></tr></table>")
    assert said.splitlines()[0] == "A"
    assert "x & y" in said
    assert "VaR  -2 %" in said
    assert "axis" not in said


def test_the_latest_alerts_are_those_of_the_newest_run_that_can_be_read(tmp_path):
    assert latest_alerts(tmp_path).date == ""
    alert = Alert("data_stale", "AAPL", DAY, "2023-09-15", "old", 2.0, 2.0)
    for day, content in (("2023-09-19", {"date": "2023-09-19", "alerts": [alert.to_dict()]}), ("2023-09-20", "cut")):
        (tmp_path / day).mkdir()
        (tmp_path / day / "run.json").write_text(json.dumps(content)[: None if day.endswith("19") else 3])
    found = latest_alerts(tmp_path)
    assert found.alerts == (alert,)
    assert found.in_words() == "1 alert, 2023-09-19: AAPL"


def test_a_report_larger_than_a_mailbox_takes_is_refused():
    from quantkit.reporting.render import Rendered

    with pytest.raises(DataError, match="700,000 bytes"):
        Rendered("x" * 700_000, record())
