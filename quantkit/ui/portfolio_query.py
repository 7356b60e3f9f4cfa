"""What the address of the Portfolio screen can say, and sector caps and views as somebody types them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from quantkit.core.calendars import check_period
from quantkit.core.errors import UsageError
from quantkit.core.schema import check_symbol, check_symbols
from quantkit.portfolio import OBJECTIVES, REBALANCES
from quantkit.ui.query import choice_of, number_between, read_view
from quantkit.ui.risk_state import read_weights, write_weights

__all__ = ["MOST_SYMBOLS", "PORTFOLIO_OBJECTIVES", "REBALANCES", "PortfolioQuery", "read_sectors", "read_views"]

MOST_SYMBOLS: Final = 40
PORTFOLIO_OBJECTIVES: Final = tuple(OBJECTIVES)
_SECTOR = re.compile(r"\s*([\w &-]{1,30}):\s*([^<>=]+?)\s*<=?\s*([\d.]+)\s*%?\s*")
_VIEW = re.compile(
    r"\s*([A-Za-z0-9^][\w.^=-]{0,14})(?:\s+over\s+(\S+))?\s+([+-]?[\d.]+)\s*%?(?:\s*@\s*([\d.]+)\s*%?)?\s*"
)


@dataclass(frozen=True, slots=True)
class PortfolioQuery:
    """One view of the Portfolio screen.

    Attributes
    ----------
    symbols : tuple of str
    objective : str
        One of ``OBJECTIVES``.
    target : float
        Annual, for the objectives ``target_return`` and ``target_volatility``.
    period : str
        Of the estimates.
    least, most : float
        Of every weight.
    cash : float
        Most that may stay uninvested.
    turnover : float
        Most that may be traded from the holdings; 0 sets no limit.
    sectors, views : str
        As :func:`read_sectors` and :func:`read_views` read them.
    holdings : tuple of (symbol, weight)
        What is held now.
    capital, risk_free, cost_bps : float
    rebalance : str
        Of the backtest.
    """

    symbols: tuple[str, ...] = ("AAPL", "MSFT", "AMZN", "GOOG", "JPM", "XOM", "JNJ")
    objective: str = "max_sharpe"
    target: float = 0.0
    period: str = "5y"
    least: float = 0.0
    most: float = 1.0
    cash: float = 0.0
    turnover: float = 0.0
    sectors: str = ""
    views: str = ""
    holdings: tuple[tuple[str, float], ...] = ()
    capital: float = 100_000.0
    risk_free: float = 0.0
    cost_bps: float = 10.0
    rebalance: str = "1mo"

    @classmethod
    def parse(cls, text: str, default: PortfolioQuery | None = None) -> tuple[PortfolioQuery, list[str]]:
        """Read a query string: the view, and a sentence for everything in it that cannot be used.

        Examples
        --------
        >>> PortfolioQuery.parse("symbols=aapl,msft&objective=min_volatility")[0].to_query()
        'symbols=AAPL,MSFT&objective=min_volatility'
        """
        base = default or cls()

        def beside(symbol: str) -> tuple[str, ...]:
            # The other screens' tabs carry one symbol on: it joins the ones that are here.
            return tuple(dict.fromkeys((check_symbol(symbol), *base.symbols)))

        asked = dict(parse_qsl(text[:2_000], keep_blank_values=True))
        if "symbol" in asked and "symbols" not in asked:
            try:
                base = replace(base, symbols=beside(asked["symbol"]))
            except UsageError as error:
                query, faults = read_view(text, base, _READERS)
                return query, [str(error), *faults]
        return read_view(text, base, _READERS)

    def to_query(self) -> str:
        """The view as a query string that :meth:`parse` gives back; what is as usual is left out."""
        usual = PortfolioQuery()
        values: dict[str, Any] = {"symbols": ",".join(self.symbols), "objective": self.objective}
        for name in ("target", "period", "least", "most", "cash", "turnover", "sectors", "views", "holdings", "capital",
                     "risk_free", "cost_bps", "rebalance"):  # fmt: skip
            value = getattr(self, name)
            idle = name == "target" and not OBJECTIVES[self.objective].needs
            if value != getattr(usual, name) and not idle:
                plain = write_weights(value) if name == "holdings" else value
                values[name] = f"{plain:.10g}" if isinstance(plain, float) else plain
        return urlencode(values, safe=",^=:")


def some_symbols(text: str) -> tuple[str, ...]:
    """Symbols from text, at most ``MOST_SYMBOLS``."""
    found = tuple(check_symbols(text))
    if len(found) > MOST_SYMBOLS:
        raise UsageError(f"{len(found)} symbols are too many for one screen; at most {MOST_SYMBOLS}")
    return found


def read_sectors(text: str) -> dict[str, Any]:
    """Sector caps as constraints.

    Examples
    --------
    >>> read_sectors("Tech: AAPL MSFT <= 40; Energy: XOM <= 20")["sector_bounds"]
    {'Tech': (0.0, 0.4), 'Energy': (0.0, 0.2)}
    """
    sectors: dict[str, str] = {}
    bounds: dict[str, tuple[float, float]] = {}
    for part in (each for each in text.split(";") if each.strip()):
        found = _SECTOR.fullmatch(part)
        if found is None:
            raise UsageError(f"sector cap {part.strip()[:60]!r}: expected something like 'Tech: AAPL MSFT <= 40'")
        name = found[1].strip()
        sectors |= dict.fromkeys(check_symbols(found[2]), name)
        bounds[name] = (0.0, number_between(f"cap of {name}", 0.0, 100.0)(found[3]) / 100.0)
    return {"sectors": sectors, "sector_bounds": bounds} if sectors else {}


def read_views(text: str) -> list[dict[str, Any]]:
    """Opinions on annual returns, as ``optimize`` takes them.

    Examples
    --------
    >>> read_views("AAPL 12 @ 70; MSFT over JPM 3")[1]
    {'assets': {'MSFT': 1.0, 'JPM': -1.0}, 'expected_return': 0.03, 'confidence': 0.5}
    """
    views = []
    for part in (each for each in text.split(";") if each.strip()):
        found = _VIEW.fullmatch(part)
        if found is None:
            raise UsageError(
                f"view {part.strip()[:60]!r}: expected something like 'AAPL 12 @ 70' or 'MSFT over JPM 3', "
                "per cent a year"
            )
        assets = {check_symbol(found[1]): 1.0} | ({check_symbol(found[2]): -1.0} if found[2] else {})
        sure = number_between("confidence", 0.0, 100.0)(found[4]) / 100.0 if found[4] else 0.5
        gain = number_between("view", -1000.0, 1000.0)(found[3]) / 100.0
        views.append({"assets": assets, "expected_return": gain, "confidence": sure})
    return views


def _checked(read: Callable[[str], object]) -> Callable[[str], str]:
    """Keeps a text that `read` can read."""

    def keep(text: str) -> str:
        read(text)
        return text

    return keep


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "symbols": some_symbols, "objective": choice_of("objective", OBJECTIVES),
    "target": number_between("target", -10.0, 10.0), "period": check_period,
    "least": number_between("least", -1.0, 1.0), "most": number_between("most", -1.0, 2.0),
    "cash": number_between("cash", 0.0, 1.0), "turnover": number_between("turnover", 0.0, 4.0),
    "sectors": _checked(read_sectors), "views": _checked(read_views), "holdings": read_weights,
    "capital": number_between("capital", 0.0, 1e15), "risk_free": number_between("risk_free", -0.5, 1.0),
    "cost_bps": number_between("cost_bps", 0.0, 1000.0), "rebalance": choice_of("rebalance", REBALANCES),
}  # fmt: skip
