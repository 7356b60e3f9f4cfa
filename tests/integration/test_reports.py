"""Daily reports from a real store: figures parsed back from the page, batches, the day after, hostile names, mail."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes, policy
from pathlib import Path

import pandas as pd
import pytest
from lxml import html as lxml_html

from quantkit import Desk
from quantkit.core.errors import SettingsError, VendorDownError
from quantkit.reporting.batch import Run, portfolio_job, run_batch, symbol_jobs
from quantkit.reporting.deliver import mark_sent, message, send, unsent
from quantkit.reporting.render import LIMIT, render_report
from quantkit.reporting.schedule import is_session, report_day
from quantkit.settings import Settings

MARKER = "marker-key-5e6f7a"
QUICK = {"model": "drift", "models": ["drift"]}
HOLDINGS = "symbol,shares\nAAPL,10\nAMZN,8\nNVDA,2\n"
HOSTILE = "<script>alert(1)</script>"


def asked(desk: Desk) -> list:
    return [
        *symbol_jobs(["AAPL", "AMZN", HOSTILE, "NOSUCH"], **QUICK),
        portfolio_job(desk, HOLDINGS, "mine & <yours>", "2023-09-20", objective="min_volatility"),
    ]


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[Desk]:
    secrets = {"alphavantage_api_key": MARKER, "token": MARKER, "mail_password": MARKER}
    with Desk.open(home=tmp_path_factory.mktemp("home"), **secrets) as opened:
        yield opened


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def first(desk: Desk, out: Path) -> Run:
    return run_batch(desk, asked(desk), date="2023-09-20", out=out)


@pytest.fixture(scope="module")
def second(desk: Desk, out: Path, first: Run) -> Run:
    jobs = [*symbol_jobs(["AMZN"], **QUICK), portfolio_job(desk, HOLDINGS, "mine & <yours>", "2023-09-21")]
    return run_batch(desk, jobs, date="2023-09-21", out=out)


def unstamped(page: str) -> str:
    return re.sub(r"<time .*?</time>", "", page)


def shown(page: str) -> dict[str, float]:
    tree = lxml_html.document_fromstring(page)
    return {each.get("data-figure"): float(each.get("value")) for each in tree.iter("data") if each.get("data-figure")}


def at(answer: dict, path: str):
    for part in path.split("."):
        answer = answer[int(part)] if isinstance(answer, list) else answer[part]
    return answer


def test_every_figure_in_the_page_is_the_desks_to_the_last_bit(desk, first):
    page = (first.folder / "AAPL.html").read_text()
    known = {"as_of": "2023-09-20"}
    answers = {
        "forecast": desk.predict("AAPL", "drift", **known),
        "leaderboard": desk.leaderboard("AAPL", ["drift"], **known),
        "risk": desk.risk("AAPL", **known),
        "history": desk.risk_history("AAPL", **known),
        "explanation": desk.explain("AAPL", "drift", 5, **known),
    }
    for name, answer in answers.items():
        assert answer.fingerprint in page, name
    values = {name: answer.to_dict() for name, answer in answers.items()}
    compared = 0
    for name, figure in shown(page).items():
        answer, _, path = name.partition(".")
        if name == "history.close":
            assert figure == desk.history("AAPL", **known)["close"].iloc[-1]
        elif answer in values:
            assert figure == at(values[answer], path), name
            compared += 1
    assert compared > 150
    assert "against the 95% VaR said the session before" in page
    assert "95% low" in page


def test_a_portfolios_figures_are_the_desks_too(desk, first):
    page = (first.folder / first.entries["mine & <yours>"].file).read_text()
    weights = json.loads((first.folder / first.entries["mine & <yours>"].file).with_suffix(".json").read_text())
    known = {"as_of": "2023-09-20"}
    closes = {each: desk.history(each, **known)["close"].iloc[-1] for each in ("AAPL", "AMZN", "NVDA")}
    worth = {"AAPL": 10 * closes["AAPL"], "AMZN": 8 * closes["AMZN"], "NVDA": 2 * closes["NVDA"]}
    held = {each: worth[each] / sum(worth.values()) for each in worth}
    figures = shown(page)
    assert {each: figures[f"weights.{each}"] for each in held} == pytest.approx(held, rel=1e-12)
    exact = {each: figures[f"weights.{each}"] for each in held}
    answers = {
        "risk": desk.risk(exact, **known),
        "contributions": desk.contributions(exact, **known),
        "correlation": desk.correlation(list(exact), **known),
        "allocation": desk.optimize(list(exact), "min_volatility", current_weights=exact, **known),
        "backtest": desk.backtest(list(exact), "min_volatility", **known),
    }
    values = {name: answer.to_dict() for name, answer in answers.items()}
    seen = set()
    for name, figure in figures.items():
        answer, _, path = name.partition(".")
        if answer in values:
            assert figure == at(values[answer], path), name
            seen.add(answer)
    assert seen == set(answers)
    assert weights["fingerprints"]["risk"] == answers["risk"].fingerprint


def test_rendered_again_it_is_the_same_bytes_but_for_the_time(desk, first):
    page = (first.folder / "AAPL.html").read_text()
    again = render_report(desk, "symbol", {"symbol": "AAPL", "date": "2023-09-20", **QUICK})
    assert "<time " in page
    assert unstamped(again.html) == unstamped(page)


def test_nothing_that_came_later_changes_a_report(desk, first, tmp_path):
    page = (first.folder / "AMZN.html").read_text()
    with Desk.open(home=tmp_path / "home") as other:
        bars = other.history("AMZN", period="max")
        later = bars[bars.index > "2023-09-20"] * 3.0
        corrected = bars[bars.index == "2023-08-01"] * 2.0
        other.store.put_bars("AMZN", "1d", pd.concat([corrected, later]), source="sample")
        assert other.history("AMZN", period="5d")["close"].iloc[-1] == later["close"].iloc[-1]
        again = render_report(other, "symbol", {"symbol": "AMZN", "date": "2023-09-20", **QUICK})
    assert unstamped(again.html) == unstamped(page)


def test_one_failure_is_a_page_that_says_why_and_the_others_are_done(first):
    manifest = json.loads((first.folder / "run.json").read_text())
    rows = {each["name"]: each for each in manifest["reports"]}
    assert [rows[each]["status"] for each in ("AAPL", "AMZN", "mine & <yours>")] == ["done"] * 3
    assert manifest["ended"] is not None
    for name, said in (("NOSUCH", "NOSUCH is not"), (HOSTILE, "is not a symbol")):
        assert rows[name]["status"] == "failed"
        assert said in rows[name]["error"]
        page = (first.folder / rows[name]["file"]).read_text()
        assert said in lxml_html.document_fromstring(page).text_content()
        assert "<script" not in page
    assert all(len(rows[each]["fingerprint"]) == 32 and rows[each]["seconds"] > 0 for each in ("AAPL", "AMZN"))


def test_the_day_after_shows_what_changed_first(second, first):
    page = (second.folder / "AMZN.html").read_text()
    assert page.index('id="changed"') < page.index('id="alerts"') < page.index('id="price"')
    figures = shown(page)
    before = shown((first.folder / "AMZN.html").read_text())
    assert figures["previous.risk.sharpe"] == before["risk.sharpe"]
    assert figures["now.forecast.last_price"] == figures["history.close"]
    change = figures["now.forecast.last_price"] / figures["previous.forecast.last_price"] - 1
    assert figures["change.forecast.last_price"] == change
    # The sample's AMZN fell by 4.4 % that day, beyond its VaR.
    kinds = [each.kind for each in second.records["AMZN"].alerts]
    assert "var_breach" in kinds
    assert "VaR breach" in (second.folder / "index.html").read_text()


def test_a_run_goes_on_where_it_stopped(desk, out, first):
    (first.folder / "AMZN.html").unlink()
    before = (first.folder / "AAPL.html").stat().st_mtime_ns
    told = []
    again = run_batch(desk, asked(desk), date="2023-09-20", out=out, done=lambda each: told.append(each.name))
    assert again.kept == 2
    assert (first.folder / "AAPL.html").stat().st_mtime_ns == before
    assert (first.folder / "AMZN.html").is_file()
    assert set(told) == set(first.entries)
    assert {each.name for each in again.failed} == {HOSTILE, "NOSUCH"}


def test_pages_are_valid_small_and_ask_nobody_for_anything(first, second):
    from bleach._vendor import html5lib

    for path in (*first.folder.glob("*.html"), *second.folder.glob("*.html")):
        page = path.read_text()
        assert MARKER not in page
        assert len(page.encode()) <= LIMIT
        html5lib.HTMLParser(strict=True).parse(page)
        tree = lxml_html.document_fromstring(page)
        assert not tree.xpath("//script | //link | //img | //iframe | //object | //embed | //base | //form")
        for element in tree.iter():
            for name, value in element.attrib.items():
                if name in ("src", "href", "action", "background", "poster", "data", "srcset"):
                    assert re.fullmatch(r"#[\w-]+|[\w.-]+\.html", value), (path.name, name, value)
                assert not name.startswith("on"), (path.name, name)
        assert re.findall(r"url\((?!#)|@import|javascript:", page) == []
        ids = [each.get("id") for each in tree.iter() if each.get("id")]
        assert len(ids) == len(set(ids))
        charts = list(tree.iter("svg"))
        assert all(each.get("aria-label") for each in charts)
        if "failed" not in ids and path.name != "index.html":
            assert len(charts) >= 4
        for table in tree.iter("table"):
            widths = {len(row.findall("td")) + len(row.findall("th")) for row in table.iter("tr")}
            assert len(widths) == 1, path.name
    for path in (first.folder.rglob("*.json"), first.folder.rglob("*.html")):
        assert all(MARKER not in each.read_text() for each in path)


def test_days_without_a_session_and_the_samples_last_day(desk):
    assert not is_session(desk, "2023-07-04", ["AAPL"])
    assert is_session(desk, "2023-07-04", ["AAPL", "AZN.L"])
    assert is_session(desk, "2023-07-05", [])
    assert report_day(desk, None, ["AAPL"]) == "2023-09-21"
    assert report_day(desk, "2023-09-16", ["AAPL"]) == "2023-09-16"


def test_the_command_ends_with_1_where_a_report_failed_and_its_folder_is_what_the_dashboards_list(
    tmp_path, monkeypatch, capsys
):
    from quantkit.cli import main
    from quantkit.serve.frame import latest_reports

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["quantkit", "report", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    monkeypatch.setenv("QUANTKIT_HOME", str(tmp_path))
    quick = ("--model", "naive", "--models", "naive", "--workers", "0")
    code, said, complained = command("--symbols", "AAPL,NOSUCH", "--date", "2023-09-20", *quick)
    assert (code, said.splitlines()[0].split(":")[0]) == (1, "1 of 2 reports")
    assert "NOSUCH is not" in complained
    names = [each["name"] for each in latest_reports(tmp_path / "reports")]
    assert set(names) == {"2023-09-20/AAPL", "2023-09-20/NOSUCH", "2023-09-20/index"}
    code, said, complained = command("--symbols", "AAPL", "--date", "2023-07-04", "--if-session")
    assert (code, complained.strip()) == (0, "2023-07-04 is no session: nothing to do")
    assert not (tmp_path / "reports" / "2023-07-04").exists()
    code, said, complained = command()
    assert code == 2
    assert "--watchlist" in complained


class Mailbox:
    """What arrived at a real SMTP server on loopback."""

    def __init__(self) -> None:
        self.mails: list = []

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 OK"


@pytest.fixture
def smtp() -> Iterator[tuple[Mailbox, int, object]]:
    """A server that takes mail only under TLS from a user who has logged in."""
    import ssl

    import trustme
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    authority = trustme.CA()
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def known(server, session, envelope, mechanism, login) -> AuthResult:
        return AuthResult(success=login.password == MARKER.encode(), handled=False)

    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=port, tls_context=served, require_starttls=True,
                            authenticator=known, auth_required=True, ready_timeout=60)  # fmt: skip
    controller.start()
    try:
        yield box, port, trusted
    finally:
        controller.stop()


def mailed(desk: Desk, port: int, **changed) -> Settings:
    said = {"mail_host": "127.0.0.1", "mail_port": port, "mail_user": "desk", "mail_password": MARKER,
            "mail_sender": "Desk <desk@example.com>", "mail_to": "a@example.com,b@example.com"}  # fmt: skip
    return Settings.load(home=desk.settings.home, **(said | changed))


def test_a_run_goes_to_a_mailbox_in_html_and_plain_and_an_alert_is_news_once(desk, second, smtp):
    box, port, trusted = smtp
    settings = mailed(desk, port)
    alerts = [each for found in second.records.values() for each in found.alerts]
    news = unsent(desk.store, alerts)
    assert news == alerts != []
    send(message(second, settings, news), settings, context=trusted)
    mark_sent(desk.store, news)
    assert unsent(desk.store, alerts) == []
    ((recipients, mail),) = box.mails
    assert recipients == ["a@example.com", "b@example.com"]
    assert mail["Subject"].startswith("2 reports 2023-09-21: ")
    assert "AMZN var breach" in mail["Subject"]
    plain, rich = mail.get_body(("plain",)).get_content(), mail.get_body(("html",)).get_content()
    assert "AMZN: VaR breach" in plain
    assert "<" not in plain.replace("<yours>", "")
    assert "AMZN: VaR breach" in rich.replace("</b>", "").replace("<b>", "")
    assert "<svg" not in rich
    attached = {part.get_filename(): part.get_content() for part in mail.iter_attachments()}
    assert set(attached) == {each.file for each in second.entries.values()}
    assert attached["AMZN.html"].splitlines() == (second.folder / "AMZN.html").read_text().splitlines()
    assert MARKER not in mail.as_string()
    assert message(second, settings, [])["Subject"] == "2 reports 2023-09-21"


def test_a_mail_server_that_refuses_is_told_without_the_password(desk, second, smtp):
    _, port, trusted = smtp
    wrong = mailed(desk, port, mail_password="wrong-marker-password")
    with pytest.raises(SettingsError, match="refuses QUANTKIT_MAIL_USER") as refused:
        send(message(second, wrong, []), wrong, context=trusted)
    assert "wrong-marker" not in str(refused.value)
    stranger = mailed(desk, port)
    with pytest.raises(VendorDownError, match="CERTIFICATE_VERIFY_FAILED"):
        send(message(second, stranger, []), stranger)
    with pytest.raises(SettingsError, match="in the clear"):
        send(message(second, stranger, []), mailed(desk, port, mail_security="none"))
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = mailed(desk, taken.getsockname()[1])
        with pytest.raises(VendorDownError, match=r"cannot|refused"):
            send(message(second, nobody, []), nobody)
    with pytest.raises(SettingsError, match="QUANTKIT_MAIL_SENDER is not set"):
        message(second, mailed(desk, port, mail_sender=None), [])


def test_alerts_are_an_endpoint(desk, second):
    from fastapi.testclient import TestClient

    from quantkit.api.app import create_app

    reports = desk.settings.home / "reports"
    if not reports.exists():
        reports.symlink_to(second.folder.parent)
    with TestClient(create_app(desk, check_host=False)) as client:
        body = client.get("/alerts").json()
    assert body["date"] == "2023-09-21"
    found = {(each["symbol"], each["kind"]): each for each in body["alerts"]}
    assert found["AMZN", "var_breach"]["value"] < found["AMZN", "var_breach"]["limit"]
    assert len(found["AMZN", "var_breach"]["id"]) == 32
