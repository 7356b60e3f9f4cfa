"""What the out-of-sample comparison with 1/N is worth, and what it says of every objective (``make proof``).

How often the test of a difference speaks when there is none and when there is one, on simulated pairs; and each
objective on the sample's 19 long stocks. Both tables are committed as ``docs/proof/portfolios.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantkit import Desk
from quantkit.forecast.significance import holm
from quantkit.portfolio import OBJECTIVES, SAMPLE_NOTE, compare
from quantkit.portfolio.evaluation import SharpeDifference, sharpe_difference

pytestmark = pytest.mark.proof

TABLE = Path(__file__).parents[2] / "docs/proof/portfolios.md"
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


@pytest.fixture(scope="module")
def page() -> Iterator[list[str]]:
    """Lines of the committed table; written when every test of this module has had its say."""
    lines = ["# Portfolios: what was proven", "", "Written by `make proof` (`tests/proof/test_portfolio_proof.py`)."]
    yield lines
    TABLE.write_text("\n".join([*lines, ""]), encoding="utf-8")


def findings(edge: float, trials: int = 400) -> list[SharpeDifference]:
    rng = np.random.default_rng(11)
    return [sharpe_difference(*pair(rng, edge=edge), **ASKED) for _ in range(trials)]


def test_the_test_speaks_of_luck_as_often_as_it_says_and_finds_a_real_difference(page: list[str]) -> None:
    equal, better = findings(0.0), findings(0.0006, trials=200)
    false = float(np.mean([each.p_value < 0.05 for each in equal]))
    covered = float(np.mean([each.lower <= 0.0 <= each.upper for each in equal]))
    found = float(np.mean([each.p_value < 0.05 for each in better]))
    page += [
        "",
        "## The test of a difference in Sharpe ratio",
        "",
        "Pairs of strategies on one market with clustered volatility, correlated at 0.9, five years of days.",
        "",
        "| | share |",
        "|---|---|",
        f"| a difference is found where there is none, at 5 %, of {len(equal)} | {false:.1%} |",
        f"| the 95 % interval holds the true difference, none | {covered:.1%} |",
        f"| an edge of 15 % a year is found, of {len(better)} | {found:.1%} |",
    ]
    # Three standard errors of a share of 5 % in 400 trials are 3.3 %.
    assert 0.02 <= false <= 0.085
    assert 0.915 <= covered <= 0.985
    assert found > 0.8


@pytest.mark.timeout(1800)
def test_every_objective_against_equal_weights_on_the_sample(page: list[str], tmp_path: Path) -> None:
    """No figure is asserted: it is what the data says. That the strategies are comparable is."""
    with Desk.open(home=tmp_path) as desk:
        listed = desk.symbols()
        daily = listed.symbol[listed.intervals.str.contains("1d") & ~listed.symbol.str.startswith("^")]
        firsts = {each: desk.history(each, period="max").index[0] for each in daily}
        longest = sorted(each for each, first in firsts.items() if first <= pd.Timestamp("1998-01-31", tz="UTC"))
        prices = desk.prices(longest, period="max")
        benchmark = desk.history("^GSPC", period="max")["close"].rename("^GSPC")
    rows = compare(
        prices, benchmark, objectives=list(OBJECTIVES), target_return=0.12, target_volatility=0.16,
        notes=[SAMPLE_NOTE],
    )  # fmt: skip
    first = next(iter(rows.values()))
    page += [
        "",
        f"## Every objective on {len(longest)} stocks of the sample, {first.start:%Y-%m} to {first.as_of:%Y-%m}",
        "",
        f"Monthly, decided at one close and traded at the next, after {first.cost_bps:g} basis points of what is "
        "traded; three years of returns are seen, long only, target return 12 % and volatility 16 %. Sharpe ratios "
        "with the 95 % interval of the difference from 1/N; p-values as they are and Holm-adjusted for having tried "
        f"{len(rows) - 1}; deflated for the same.",
        "",
        "| objective | return | volatility | Sharpe | less 1/N | interval | p | adjusted | turnover | deflated |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    tried = [name for name in rows if name != "equal_weight"]
    adjusted = dict(zip(tried, holm(np.array([rows[name].p_value for name in tried])), strict=True))
    for name, each in rows.items():
        own = each.measures.loc[name]
        page.append(
            f"| {name} | {own['annual_return']:.1%} | {own['volatility']:.1%} | {own['sharpe']:.2f} "
            f"| {each.sharpe_difference:+.2f} | {each.difference_lower:+.2f} to {each.difference_upper:+.2f} "
            f"| {each.p_value:.2f} | {adjusted.get(name, 1.0):.2f} | {own['turnover']:.2f} "
            f"| {each.deflated_sharpe:.3f} |"
        )
        assert each.wealth.index.equals(first.wealth.index)
        assert np.isfinite(own["sharpe"])
    better = [name for name in tried if adjusted[name] < 0.05 and rows[name].sharpe_difference > 0]
    page += [
        "",
        f"Better than 1/N by more than luck, after the adjustment: {', '.join(better) or 'none'}.",
        "",
        *first.notes,
    ]
    assert len(longest) == 19
