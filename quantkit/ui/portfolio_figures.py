"""The figures and tables of the Portfolio screen: results in words and numbers, nothing worked out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import ipywidgets as widgets
import pandas as pd
import traitlets as t

from quantkit.ui.formats import MISSING, direction, escape, percent, price
from quantkit.ui.parts import explained
from quantkit.ui.risk_figures import ResultTable, ratio
from quantkit.ui.tables import Cell, table_html

__all__ = ["AllocationTiles", "BacktestTable", "SymbolChips", "WeightTable"]


class SymbolChips(widgets.Box):
    """The symbols of a portfolio, each with a button that takes it out."""

    symbols = t.Tuple(())

    def __init__(self, remove: Callable[[str], object]) -> None:
        super().__init__()
        self.add_class("qk-symbols")
        self._remove = remove
        self.observe(lambda change: self._fill(), "symbols")

    def _fill(self) -> None:
        chips = []
        for symbol in self.symbols:
            chip = widgets.Button(description=f"{symbol} ×", tooltip=f"Take {symbol} out")
            chip.add_class("qk-symbol")
            chip.on_click(lambda clicked, symbol=symbol: self._remove(symbol))
            chips.append(chip)
        self.children = chips


_TILE_HELP: Final = {
    "Expected return": "A year, before costs: the weights times estimated mean returns (Bayes-Stein shrunk towards "
    "the least-variance portfolio, or Black-Litterman with views). An estimate, not a promise: means are "
    "hard to estimate.",
    "Volatility": "Standard deviation of the portfolio's return, annualised, by the Ledoit-Wolf covariance.",
    "Sharpe": "Expected return over the risk-free rate, divided by volatility. In sample: the honest one is the "
    "walk-forward below.",
    "CVaR": "Mean loss of one session in the worst 5 % of the history, a share of the portfolio.",
    "Diversification": "Weighted mean of the assets' volatilities over the portfolio's: 1 means none.",
    "Cash left": "What whole shares leave of the capital.",
    "Cost": "Of trading there from what is held now, at the cost entered; only with holdings.",
}


class AllocationTiles(widgets.HTML):
    """What is expected of the weights that were chosen."""

    allocation = t.Any(None, allow_none=True)

    def __init__(self) -> None:
        super().__init__()
        self.add_class("qk-tiles")
        self.observe(lambda change: self._show(), "allocation")
        self._show()

    def _show(self) -> None:
        self.value = "".join(
            f"<section class='qk-tile' data-qk-tile='{escape(name)}'><h3>{escape(name)}"
            f"{explained(name, _TILE_HELP[name])}</h3><b>{escape(figure)}</b><span>{escape(beside)}</span></section>"
            for name, figure, beside in self._tiles()
        )

    def _tiles(self) -> list[tuple[str, str, str]]:
        found = self.allocation
        if found is None:
            return [(name, MISSING, "") for name in _TILE_HELP]
        shares = found.shares
        capital = "no capital given" if shares is None else f"of {price(shares.capital, 0)}"
        traded = found.turnover == found.turnover
        cost = price(shares.costs, 2) if shares is not None and traded else MISSING
        return [
            ("Expected return", percent(found.expected_return), "a year, estimated"),
            ("Volatility", percent(found.volatility), "a year"),
            ("Sharpe", ratio(found.sharpe), f"risk-free {percent(found.risk_free)}"),
            ("CVaR", percent(found.cvar), f"a session, level {found.level:g}"),
            ("Diversification", ratio(found.diversification), f"{int((found.weights.abs() > 5e-5).sum())} held"),
            ("Cash left", MISSING if shares is None else price(shares.leftover_cash, 2), capital),
            ("Cost", cost, f"turnover {percent(found.turnover, 1)}" if traded else "no holdings given"),
        ]


class WeightTable(ResultTable):
    """Weights as bars and figures, the largest first, with shares where there is a capital."""

    file_stem = "weights"

    def to_html(self) -> str:
        found = self.answer
        frame = self.frame
        cells = {
            "weight": Cell("Weight", percent, bar=True), "risk_contribution": Cell("Of the risk", percent),
            "expected_return": Cell("Return", percent), "volatility": Cell("Volatility", percent),
            "shares": Cell("Shares", "{:,.6g}".format), "trades": Cell("Trade", "{:+,.6g}".format),
            "value": Cell("Value", "{:,.2f}".format),
        }  # fmt: skip
        if found.shares is not None and (found.shares.trades != found.shares.shares).any():
            frame = frame.assign(trades=found.shares.trades)
        else:
            cells.pop("trades")
        said = [found.in_words(), *(f"{symbol} is left out: {why}." for symbol, why in found.dropped.items())]
        said += [*found.moments.notes, *found.notes]
        if found.moments.cov is not None and found.shares is not None:
            said.append("Shares at the last unadjusted close.")
        words = " ".join(each if each.endswith(".") else f"{each}." for each in said)
        return (
            table_html(
                frame.sort_values("weight", ascending=False, kind="stable"), cells, label="Symbol", classes="qk-weights"
            )
            + f"<p class='qk-note'>{escape(words)}</p>"
        )


class BacktestTable(ResultTable):
    """Each strategy's figures out of sample, whether the difference is more than luck, and the caveats."""

    file_stem = "backtest"

    def to_html(self) -> str:
        found = self.answer
        cells = {
            "annual_return": Cell("Return", percent, signed=True), "volatility": Cell("Volatility", percent),
            "sharpe": Cell("Sharpe", "{:.2f}".format), "sortino": Cell("Sortino", "{:.2f}".format),
            "max_drawdown": Cell("Drawdown", percent, signed=True), "turnover": Cell("Turnover", "{:.2f}".format),
            "costs": Cell("Costs", percent),
        }  # fmt: skip
        verdict = "More than luck." if found.beyond_luck else "Not shown to be more than luck."
        if found.objective == "equal_weight":
            verdict = "The same strategy."
        kept = f" {len(found.kept)} decisions had no answer; holdings were kept." if found.kept else ""
        notes = " ".join(found.notes) or "The companies here are ones that still trade: those that failed are missing."
        table = table_html(found.measures, cells, label="Strategy", marked=found.objective)
        dividends = "Dividends are in the prices of the assets; costs are of what is bought plus sold."
        return (
            f"{table}<p class='qk-note'><b class='{direction(found.sharpe_difference) if found.beyond_luck else ''}'>"
            f"{verdict}</b> {escape(found.in_words())}{escape(kept)}</p>"
            f"<p class='qk-note qk-caveat'>{escape(notes)} {dividends}</p>"
        )

    @property
    def frame(self) -> pd.DataFrame:
        measures: Any = self.answer.measures
        return pd.DataFrame(measures)
