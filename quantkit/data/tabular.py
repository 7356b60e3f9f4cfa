"""CSV and parquet files as columns of dates and numbers, with the line of every row."""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError
from quantkit.core.schema import BAR_COLUMNS, INTERVALS
from quantkit.data.textforms import NOT_A_TIME, Moments, decimal_mark, read_moments, read_number

__all__ = ["CSV_SUFFIXES", "PARQUET_SUFFIXES", "Table", "read_csv", "read_parquet", "shown"]

CSV_SUFFIXES: Final = frozenset({".csv", ".tsv", ".txt"})
PARQUET_SUFFIXES: Final = frozenset({".parquet", ".pq"})

#: Names of each column, letters and digits only, the likeliest first.
_NAMES: Final = {
    "date": ("date", "datetime", "timestamp", "time", "day", "tradedate", "tradingday", "session", "index", ""),
    "clock": ("time",),
    "open": ("open", "o", "openprice", "openingprice", "1open"),
    "high": ("high", "h", "highprice", "max", "2high"),
    "low": ("low", "l", "lowprice", "min", "3low"),
    "close": ("close", "c", "closelast", "last", "lastprice", "closeprice", "closingprice", "price", "settle",
              "settlement", "nav", "value", "level", "4close"),
    "volume": ("volume", "v", "vol", "sharevolume", "totalvolume", "5volume", "6volume"),
    "adj_close": ("adjclose", "adjusted", "adjustedclose", "closeadj", "closeadjusted", "adjcloseprice",
                  "5adjustedclose"),
}  # fmt: skip
#: Beside one of these, a column called time is the time of day.
_DATES_ALONE: Final = ("date", "day", "tradedate", "tradingday")
_HEADER_WITHIN: Final = 25
_CHUNK: Final = 50_000
_LONGEST_LINE: Final = 100_000


def shown(text: str, longest: int = 60) -> str:
    """Text from outside, fit to be shown: printable, and not longer than `longest`."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(each if each.isprintable() else "·" for each in cut)


@dataclass(slots=True)
class Table:
    """A file's columns.

    Attributes
    ----------
    dates : list of str, or Moments where the file has real dates
    clocks : list of str or None
        Time of day, where it has a column of its own.
    columns : dict of str to ndarray of float64
        By column of a bars frame, those that the file has.
    line : ndarray of int64
    fault : ndarray of object
        Name of the cleaning rule that a row breaks by its form, or None.
    names : dict of str to str
        What the file calls each column.
    about : dict
        What the file says of its instrument, where it is one of ours.
    """

    dates: list[str] | Moments
    clocks: list[str] | None
    columns: dict[str, np.ndarray]
    line: np.ndarray
    fault: np.ndarray
    names: dict[str, str]
    ignored: tuple[str, ...]
    numbers: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    text_of: Callable[[set[int]], dict[int, str]] | None = None

    @property
    def adjusted_only(self) -> bool:
        """Whether the only price is an adjusted close."""
        return "close" not in self.names

    def moments(self, calendar: str) -> Moments:
        """The dates, read."""
        if isinstance(self.dates, Moments):
            return self.dates
        if self.clocks is None:
            return read_moments(self.dates, calendar=calendar)
        written = [f"{date} {_with_colons(clock)}" for date, clock in zip(self.dates, self.clocks, strict=True)]
        return read_moments(written, calendar=calendar)

    def frame(self) -> pd.DataFrame:
        """The rows for ``cleaning.clean``."""
        columns = dict(self.columns)
        if self.adjusted_only:
            columns["close"] = columns["adj_close"]
        return pd.DataFrame({**columns, "line": self.line, "fault": self.fault})

    def with_texts(self, quarantine: pd.DataFrame) -> pd.DataFrame:
        """`quarantine` with the file's own words for the rows in it."""
        if self.text_of is None or quarantine.empty:
            return quarantine
        texts = self.text_of(set(quarantine["line"]))
        return quarantine.assign(text=[shown(texts.get(line, ""), 200) for line in quarantine["line"]])


def _with_colons(clock: str) -> str:
    digits = clock.strip()
    return f"{digits[:2]}:{digits[2:4]}:{digits[4:] or '00'}" if digits.isdigit() and len(digits) in (4, 6) else digits


def _recognise(header: Sequence[str]) -> dict[str, int]:
    """Position of each column that is known by name."""
    keys = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in header]
    found: dict[str, int] = {}
    for column, names in _NAMES.items():
        for name in names:
            if name in keys and keys.index(name) not in found.values():
                found[column] = keys.index(name)
                break
    if "clock" in found and keys[found["date"]] not in _DATES_ALONE:
        del found["clock"]
    return found


def _usable(found: dict[str, int]) -> bool:
    return "date" in found and ("close" in found or "adj_close" in found)


def _refuse_header(path: Path, header: Sequence[str], found: dict[str, int]) -> DataError:
    missing = "close" if "date" in found else "date"
    accepted = ", ".join(name for name in _NAMES[missing] if name)
    seen = shown(", ".join(header), 200)
    return DataError(f"{shown(path.name)}: no column of {missing}s; it has {seen}; understood are {accepted}")


def read_csv(path: Path, symbol: str) -> Table:
    """Read the columns of a CSV file; ``DataError`` where it has no rows or no usable header.

    A row is a line: prices have no line breaks in them, and so a stray quote costs one row and not the rest of the
    file. Separator and decimal mark are told from the file.
    """
    encoding = _encoding(path)
    lines = _lines(path, encoding)
    start = [(number, line) for number, line in itertools.islice(lines, _HEADER_WITHIN) if line.strip()]
    if not start:
        raise DataError(f"{shown(path.name)} is empty")
    header_line = max(start[:3], key=lambda each: max(each[1].count(mark) for mark in ",;\t|"))[1]
    separator = max(",;\t|", key=header_line.count)
    rows = [(number, [each.strip() for each in _fields(line, separator)]) for number, line in start]
    at, header, found = _header(rows, path, symbol)
    body = itertools.chain(rows[at:], ((number, _fields(line, separator)) for number, line in lines if line.strip()))
    table = _columns(body, header, found)
    if not len(table.line):
        raise DataError(f"{shown(path.name)} has a header but no rows under it")

    def text_of(wanted: set[int]) -> dict[int, str]:
        return {number: line.rstrip("\n") for number, line in _lines(path, encoding) if number in wanted}

    table.text_of = text_of
    return table


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block := file.read(1 << 20):
                if b"\0" in block:
                    raise DataError(f"{shown(path.name)} is not a text file")
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    with path.open(encoding=encoding, errors="replace") as file:
        for number in itertools.count(1):
            line = file.readline(_LONGEST_LINE)
            if not line:
                return
            if len(line) == _LONGEST_LINE:
                raise DataError(f"{shown(path.name)}: line {number} is longer than {_LONGEST_LINE} characters")
            yield number, line


def _fields(line: str, separator: str) -> list[str]:
    if '"' not in line:
        return line.rstrip("\n").split(separator)
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True))


def _header(rows: list[tuple[int, list[str]]], path: Path, symbol: str) -> tuple[int, list[str], dict[str, int]]:
    """How many of `rows` the header takes, its names without empty ones at the end, and the columns known."""
    corner = [fields[0].lower() for _, fields in rows[:2]]
    if sorted(corner) == ["price", "ticker"]:
        # yfinance.download writes two levels of columns: the field and the ticker, in either order.
        fields, tickers = (rows[corner.index(level)][1] for level in ("price", "ticker"))
        header = _of_ticker(fields, tickers, path, symbol)
        third = rows[2][1] if len(rows) > 2 else [""]
        named = bool(third[0]) and not any(third[1:])
        header[0] = third[0] if named else "date"
        found = _recognise(header)
        if _usable(found):
            return 3 if named else 2, header, found
    for at, (_, fields) in enumerate(rows):
        header = list(fields)
        while header and not header[-1]:
            header.pop()
        found = _recognise(header)
        if _usable(found):
            return at + 1, header, found
    raise _refuse_header(path, rows[0][1], _recognise(rows[0][1]))


def _of_ticker(fields: list[str], tickers: list[str], path: Path, symbol: str) -> list[str]:
    known = list(dict.fromkeys(ticker for ticker in tickers[1:] if ticker))
    if len(known) > 1 and symbol not in (ticker.upper() for ticker in known):
        raise DataError(f"{shown(path.name)} holds {shown(', '.join(known), 200)}, not {symbol}; import one of them")
    chosen = symbol if len(known) > 1 else known[0].upper() if known else ""
    pairs = itertools.zip_longest(fields, tickers, fillvalue="")
    return [name if ticker.upper() == chosen else f"{ticker} {name}" for name, ticker in pairs]


def _columns(body: Iterator[tuple[int, list[str]]], header: list[str], found: dict[str, int]) -> Table:
    width = len(header)
    numeric = {name: at for name, at in found.items() if name in BAR_COLUMNS}
    dates: list[str] = []
    clocks: list[str] = []
    line: list[int] = []
    faults: list[str | None] = []
    parts: dict[str, list[np.ndarray]] = {name: [] for name in numeric}
    decimal = None
    while chunk := list(itertools.islice(body, _CHUNK)):
        rows = []
        for number, fields in chunk:
            if len(fields) > width and not "".join(fields[width:]).strip():
                del fields[width:]
            whole = len(fields) == width
            rows.append(fields if whole else (fields + [""] * width)[:width])
            line.append(number)
            faults.append(None if whole else "wrong_field_count")
        dates += [fields[found["date"]].strip() for fields in rows]
        if "clock" in found:
            clocks += [fields[found["clock"]] for fields in rows]
        if decimal is None:
            prices = (fields[at] for fields in rows for name, at in numeric.items() if name != "volume")
            decimal = decimal_mark(prices)
        before = len(line) - len(rows)
        for name, at in numeric.items():
            column, junk = _floats([fields[at] for fields in rows], decimal)
            parts[name].append(column)
            for row in junk:
                faults[before + row] = faults[before + row] or "unreadable_number"
    return Table(
        dates=dates,
        clocks=clocks if "clock" in found else None,
        columns={name: np.concatenate(each) if each else np.empty(0) for name, each in parts.items()},
        line=np.array(line, dtype=np.int64),
        fault=np.array(faults, dtype=object),
        names={name: header[at] for name, at in found.items()},
        ignored=tuple(name for at, name in enumerate(header) if at not in found.values()),
        numbers=", numbers with a decimal comma" if decimal == "," else "",
    )


def _floats(texts: Sequence[str], decimal: str) -> tuple[np.ndarray, list[int]]:
    """Numbers, and the positions of texts that are none."""
    if decimal == ".":
        # Most columns are plain numbers from top to bottom, or empty from top to bottom.
        try:
            return np.fromiter(map(float, texts), np.float64, len(texts)), []
        except ValueError:
            if not any(texts):
                return np.full(len(texts), np.nan), []
    numbers = [read_number(text, decimal) for text in texts]
    column = np.array([np.nan if number is None else number for number in numbers], dtype=np.float64)
    return column, [row for row, number in enumerate(numbers) if number is None]


def read_parquet(path: Path, symbol: str) -> Table:
    """Read the columns of a parquet file; a row's line is its number, from 1."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            arrow = file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{shown(path.name)} is not a parquet file: {shown(str(error), 120)}") from None
    header = ["" if name.startswith("__index_level_") else name for name in arrow.column_names]
    found = _recognise(header)
    if not _usable(found):
        raise _refuse_header(path, header, found)
    if not arrow.num_rows:
        raise DataError(f"{shown(path.name)} has columns but no rows")
    frame = arrow.select(sorted(found.values())).to_pandas(ignore_metadata=True)
    by_name = {name: frame.iloc[:, sorted(found.values()).index(at)] for name, at in found.items()}
    fault = np.full(len(frame), None, dtype=object)
    columns: dict[str, np.ndarray] = {}
    for name in BAR_COLUMNS:
        if name in by_name:
            columns[name], junk = _numbers(by_name[name])
            fault[junk] = "unreadable_number"
    return Table(
        dates=_dates(by_name["date"]),
        clocks=[str(clock) for clock in by_name["clock"]] if "clock" in by_name else None,
        columns=columns,
        line=np.arange(1, len(frame) + 1),
        fault=fault,
        names={name: header[at] for name, at in found.items()},
        ignored=tuple(name for at, name in enumerate(header) if at not in found.values()),
        about=_about((arrow.schema.metadata or {}).get(b"quantkit", b"")),
    )


def _numbers(column: pd.Series) -> tuple[np.ndarray, list[int]]:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan), []
    texts = ["" if pd.isna(each) else str(each) for each in column]
    return _floats(texts, decimal_mark(texts))


def _dates(column: pd.Series) -> list[str] | Moments:
    if not isinstance(column.dtype, (np.dtypes.DateTime64DType, pd.DatetimeTZDtype)):
        return ["" if pd.isna(each) else str(each) for each in column]
    index = pd.DatetimeIndex(column).as_unit("us")
    wall = index.tz_localize(None)
    offset = (
        np.full(len(index), np.nan)
        if index.tz is None
        else (wall.asi8 - index.tz_convert("UTC").asi8).astype(np.float64)
    )
    return Moments(wall=np.where(index.isna(), NOT_A_TIME, wall.asi8), offset=offset, form="the file's own dates")


def _about(raw: bytes) -> dict[str, Any]:
    """What a file of ours says of its instrument, as far as it is in a form that can be believed."""
    try:
        said = json.loads(raw)
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    believed: dict[str, Any] = {}
    if isinstance(said.get("name"), str):
        believed["name"] = shown(said["name"], 80)
    if re.fullmatch(r"[A-Z]{3}", str(said.get("currency"))):
        believed["currency"] = said["currency"]
    if said.get("price_basis") in ("quoted", "adjusted"):
        believed["price_basis"] = said["price_basis"]
    if said.get("interval") in INTERVALS:
        believed["interval"] = said["interval"]
    return believed
