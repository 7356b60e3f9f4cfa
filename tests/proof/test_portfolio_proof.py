"""Statistical proof: how often the test of a difference from 1/N speaks when there is none, and when there is one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantkit.portfolio.evaluation import SharpeDifference, sharpe_difference

pytestmark = pytest.mark.proof

DAYS = 1250
ASKED = {"rate": 0.0, "periods_per_year": 252.0, "draws": 500}


def pair(rng: np.random.Generator, *, edge: float) -> tuple[pd.Series, pd.Series]:
    """Two strategies on one market whose volatility clusters, correlated at 0.9; `edge` is added to the first."""
    variance = np.empty(DAYS)
    shocks = rng.standard_t(6, DAYS) / np.sqrt(1.5)
    variance[0] = 1.0
    for day in range(1, DAYS):
        variance[day] = 0.05 + 0.08 * variance[day - 1] * shocks[day - 1] ** 2 + 0.87 * variance[day - 1]
    market = 0.0004 + 0.01 * np.sqrt(variance) * shocks
    own = rng.normal(0.0, 0.0045, (DAYS, 2))
    index = pd.bdate_range("2015-01-01", periods=DAYS, tz="UTC")
    ours, theirs = (pd.Series(market + own[:, side], index=index) for side in (0, 1))
    return ours + edge, theirs


def findings(edge: float, trials: int = 400) -> list[SharpeDifference]:
    rng = np.random.default_rng(11)
    return [sharpe_difference(*pair(rng, edge=edge), **ASKED) for _ in range(trials)]


def test_without_a_difference_it_is_found_in_about_5_percent_and_covered_in_about_95() -> None:
    found = findings(0.0)
    false = float(np.mean([each.p_value < 0.05 for each in found]))
    covered = float(np.mean([each.lower <= 0.0 <= each.upper for each in found]))
    print(f"\nfalse findings at 5 %: {false:.1%}, coverage of the 95 % interval: {covered:.1%}, of {len(found)}")
    # Three standard errors of a share of 5 % in 400 trials are 3.3 %.
    assert 0.02 <= false <= 0.085
    assert 0.915 <= covered <= 0.985


def test_a_real_difference_is_found() -> None:
    found = findings(0.0006, trials=200)
    share = float(np.mean([each.p_value < 0.05 for each in found]))
    print(f"\nfound, with an edge of 15 % a year: {share:.1%} of {len(found)}")
    assert share > 0.8
