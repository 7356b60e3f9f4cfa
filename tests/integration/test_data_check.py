"""``quantkit data check`` and ``quantkit doctor`` on a vendor's data, as a person runs them."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from standins import Truth
from standins.yahoo import YahooStandin

from quantkit.core.calendars import sessions_between


@pytest.fixture
def yahoo():
    now = pd.Timestamp.now("UTC")
    with YahooStandin(Truth.of("AAPL", last=sessions_between(now - pd.Timedelta(days=10), now)[-3])) as standin:
        yield standin


def command(yahoo, home, *arguments):
    settings = {"QUANTKIT_PROVIDER": "yahoo", "QUANTKIT_YAHOO_URL": yahoo.url, "QUANTKIT_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "quantkit.cli", *arguments], env=os.environ | settings, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def test_data_check_tells_gaps_repairs_quarantine_and_flags(yahoo, tmp_path):
    listing = yahoo.truth["AAPL"]
    days = listing.daily.index
    listing.daily.loc[days[50], ["open", "high", "low", "close"]] *= 100
    listing.daily.loc[days[80], "close"] = np.nan
    listing.daily.loc[days[90], "high"] = 1.0
    listing.daily = pd.concat([listing.daily.drop(days[120:122]), listing.daily.iloc[[200]]])
    ran = command(yahoo, tmp_path, "data", "check", "AAPL")
    assert ran.returncode == 0, ran.stderr
    told = {line.split()[0]: line for line in ran.stdout.splitlines() if line.split()}
    assert "296 bars" in told["range"]
    assert "yahoo: 296 bars" in told["sources"]
    assert f"4 of 300 XNYS sessions: {days[80]:%Y-%m-%d}" in told["gaps"]
    for said in ("no_close: 1", "high_not_highest: 1", "hundredfold: 1", f"({days[50]:%Y-%m-%d})", "high=1.0"):
        assert said in ran.stdout
    assert "repaired" in told


def test_doctor_tells_how_a_vendor_is(yahoo, tmp_path):
    yahoo.fail("429", times=100, retry_after=600)
    ran = command(yahoo, tmp_path, "history", "AAPL")
    assert ran.returncode == 4
    assert "Too Many Requests" in ran.stderr
    doctor = command(yahoo, tmp_path, "doctor")
    (line,) = [each for each in doctor.stdout.splitlines() if "vendors" in each]
    assert "left alone for another" in line
    assert "requests left" in line
