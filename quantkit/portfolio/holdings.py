"""What somebody holds, read from a CSV, and what it is worth."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from quantkit.core.errors import DataError, UsageError
from quantkit.core.results import Result
from quantkit.core.schema import check_symbol

__all__ = ["Amounts", "Holdings", "read_holdings", "value_holdings"]

Kind = Literal["shares", "value", "weight"]
_NAMES: Final[dict[str, Kind]] = {
    "shares": "shares", "quantity": "shares", "qty": "shares", "units": "shares",
    "value": "value", "market value": "value", "amount": "value",
    "weight": "weight", "weights": "weight", "share": "weight",
}  # fmt: skip
_SYMBOL_NAMES: Final = ("symbol", "ticker", "asset")
MOST_ROWS: Final = 200
LONGEST: Final = 200_000


@dataclass(frozen=True, slots=True)
class Amounts:
    """Rows of a CSV: how much of each symbol, and in what unit.

    Attributes
    ----------
    kind : {"shares", "value", "weight"}
    amounts : dict of symbol to number
    """

    kind: Kind
    amounts: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Holdings(Result):
    """A portfolio as it stands.

    Attributes
    ----------
    currency : str
    weights : dict of float by symbol
        Of `value`; they sum to 1.
    value : float
        In `currency`; NaN where only weights were given.
    shares : dict of float by symbol
        Empty where they were not given.
    """

    currency: str
    weights: dict[str, float]
    value: float
    shares: dict[str, float]


def read_holdings(text: str) -> Amounts:
    """Read a CSV whose header names a symbol and one of shares, value or weight.

    Commas, semicolons or tabs; a symbol that comes twice is summed; per cent signs and thousands' commas inside quotes
    are understood.

    Raises
    ------
    DataError
        Too long, without such a header, or with a row that cannot be read; names the row.

    Examples
    --------
    >>> read_holdings("symbol,shares\\nAAPL,10\\nMSFT,5").amounts
    {'AAPL': 10.0, 'MSFT': 5.0}
    """
    if len(text) > LONGEST:
        raise DataError(f"the holdings are {len(text):,} characters long; at most {LONGEST:,} are read")
    lines = text.lstrip("\ufeff").strip().splitlines()
    if len(lines) < 2:
        raise DataError("the holdings need a header, such as symbol,shares, and at least one row below it")
    separator = max(",;\t", key=lines[0].count)
    rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator))
    header = [each.strip().lower() for each in rows[0]]
    at = next((header.index(name) for name in _SYMBOL_NAMES if name in header), None)
    amount = next((header.index(name) for name in _NAMES if name in header), None)
    if at is None or amount is None:
        shown = ", ".join(each[:20] for each in header[:6])
        raise DataError(f"the holdings' header is {shown!r}; expected symbol and one of shares, value, weight")
    if len(rows) - 1 > MOST_ROWS:
        raise DataError(f"the holdings have {len(rows) - 1} rows; at most {MOST_ROWS} are read")
    found: dict[str, float] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        try:
            symbol = check_symbol(row[at])
            found[symbol] = found.get(symbol, 0.0) + _number(row[amount])
        except IndexError:
            raise DataError(f"row {number} of the holdings has {len(row)} columns, not {len(header)}") from None
        except UsageError as error:
            raise DataError(f"row {number} of the holdings: {error}") from None
    if not found:
        raise DataError("the holdings have no row below their header")
    return Amounts(_NAMES[header[amount]], found)


def value_holdings(rows: Amounts, prices: Mapping[str, float], currencies: Mapping[str, str]) -> Holdings:
    """Weights and value of `rows` at `prices` of one share.

    Raises
    ------
    DataError
        More than one currency, or a total that is not positive.
    """
    if len({currencies[symbol] for symbol in rows.amounts}) > 1:
        said = ", ".join(f"{symbol} in {currencies[symbol]}" for symbol in rows.amounts)
        raise DataError(f"currencies are not mixed silently: {said}; choose symbols of one currency")
    worth = {
        symbol: amount * prices[symbol] if rows.kind == "shares" else amount for symbol, amount in rows.amounts.items()
    }
    total = math.fsum(worth.values())
    if not total > 0.0:
        raise DataError(f"the holdings sum to {total:g}; expected more than nothing")
    return Holdings(
        currency=next(iter(currencies.values())),
        weights={symbol: value / total for symbol, value in worth.items()},
        value=math.nan if rows.kind == "weight" else total,
        shares=dict(rows.amounts) if rows.kind == "shares" else {},
    )


def _number(text: str) -> float:
    plain = text.strip().replace(",", "").replace("_", "")
    scale = 0.01 if plain.endswith("%") else 1.0
    try:
        value = float(plain.rstrip("%")) * scale
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{text.strip()[:40]!r} is not a number")
    return value
