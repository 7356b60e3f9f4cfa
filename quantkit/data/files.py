"""A person's own bars: CSV and parquet files in and out.

Text from a file is only ever read as a number, a date or a name; what is shown of it is bounded.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
import pandas as pd

from quantkit.core.calendars import calendar_of, exchange_timezone, known_at, on_calendar
from quantkit.core.errors import DataError, UnknownSymbolError, UsageError
from quantkit.core.schema import BAR_COLUMNS, TIME_DTYPE, Interval, check_bars, check_interval, check_symbol
from quantkit.data import freshness
from quantkit.data.base import PROVIDERS, Extract, HistoryQuery, Instrument, PriceBasis, Status
from quantkit.data.cleaning import Cleaned, clean
from quantkit.data.tabular import CSV_SUFFIXES, PARQUET_SUFFIXES, Table, read_csv, read_parquet, shown
from quantkit.data.textforms import NOT_A_TIME, Moments

if TYPE_CHECKING:
    from quantkit.data.store import Store
    from quantkit.settings import Settings

__all__ = ["FilesProvider", "Imported", "import_file", "read_table", "write_table"]

_MINUTE: Final = 60_000_000
_DAY: Final = 86_400_000_000
#: Lines of one kind that a report lists before it only counts them.
_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file turned out to hold.

    Attributes
    ----------
    instrument : Instrument
    path : Path
    cleaned : Cleaned
        Its ``bars`` are ready for the store; ``quarantine`` has the file's line numbers.
    columns : dict of str to str
        The file's own name of each column that was used.
    ignored : tuple of str
        Columns that were not.
    readings : str
        How dates, zone and numbers were read, for the person to check.
    """

    instrument: Instrument
    path: Path
    cleaned: Cleaned
    columns: dict[str, str]
    ignored: tuple[str, ...]
    readings: str

    @property
    def bars(self) -> pd.DataFrame:
        """The bars frame."""
        return self.cleaned.bars

    @property
    def interval(self) -> Interval:
        """``1d`` or ``1m``."""
        return self.instrument.intervals[0]

    def in_words(self) -> str:
        """The report: what came in and how it was read, then every line that did not, with its number and why."""
        bars, shape = self.bars, "%Y-%m-%d" if self.interval == "1d" else "%Y-%m-%d %H:%M UTC"
        lines = [
            f"{self.instrument.symbol}: {len(bars)} bars ({self.interval}, {bars.index[0].strftime(shape)} to "
            f"{bars.index[-1].strftime(shape)}) from {shown(self.path.name)}; {self.readings}"
        ]
        if self.ignored:
            lines.append(f"columns not used: {shown(', '.join(self.ignored), 200)}")
        refused = self.cleaned.quarantine
        if len(refused):
            lines.append(f"quarantined, {len(refused)}:")
            for row in refused.head(_LISTED).itertuples():
                lines.append(f"  line {row.line}: {row.reason} [{row.rule}]: {shown(str(row.text), 80)}")
            lines += [f"  and {len(refused) - _LISTED} more"] * (len(refused) > _LISTED)
        lines += [f"repaired, {count}: {rule}" for rule, count in self.cleaned.repairs.items()]
        flags = self.cleaned.flags
        for rule, rows in flags.groupby("rule", sort=False):
            first = rows["time"].iloc[0].strftime(shape)
            lines.append(f"suspicious but kept, {len(rows)}: {rule}, first {first}: {rows['reason'].iloc[0]}")
        return "\n".join(lines)


def read_table(
    path: str | Path,
    *,
    symbol: str,
    name: str | None = None,
    currency: str | None = None,
    calendar: str | None = None,
    interval: Interval | None = None,
    timezone: str | None = None,
) -> Imported:
    """Read a CSV or parquet file of prices.

    Columns are recognised by their usual names, whatever their case, blanks and underscores; a close is enough. Daily
    or one-minute is told from the spacing of the rows. A date that could start with its day or its month is read as
    the whole column demands (``textforms.read_moments``). Minutes without a zone are read as the exchange's own clock
    or as UTC, whichever puts more of them into its trading hours. ``Imported.readings`` says how all was read.

    Parameters
    ----------
    path : path
        Ending in .csv, .txt, .tsv, .parquet or .pq.
    symbol : str
        What to call it.
    name, currency, calendar : str, optional
        Human name (default the symbol), ISO 4217 currency (default USD) and exchange (default by the symbol's suffix).
    interval, timezone : str, optional
        Instead of what the rows suggest; an IANA zone for times without one.

    Raises
    ------
    UsageError
        No such file, or not a CSV or parquet file by its name.
    DataError
        It is empty, has no column of dates or of prices (the message names those seen and those understood), its rows
        are neither days nor minutes apart, or not one of them can be used.
    """
    symbol, path = check_symbol(symbol), Path(path)
    table = _read(path, symbol)
    known = table.about
    calendar = calendar or calendar_of(symbol)
    moments = table.moments(calendar)
    interval = check_interval(interval) if interval else known.get("interval") or _interval(moments, path)
    time, zone = _times(moments, interval, calendar, timezone)
    rows = table.frame()
    rows.index = pd.DatetimeIndex(time.view("datetime64[us]"), name="time").tz_localize("UTC")
    readable = time[time != NOT_A_TIME]
    if len(readable) > 1 and (np.diff(readable) < 0).all():
        # Newest first is a way of writing a file, not a fault in it.
        rows = rows.iloc[::-1]
    cleaned = clean(rows, symbol=symbol, interval=interval, calendar=calendar, source="files")
    refused = table.with_texts(cleaned.quarantine)
    if cleaned.bars.empty:
        first = refused.iloc[0]
        raise DataError(
            f"{shown(path.name)}: not one of its {len(rows)} rows can be used; line {first['line']}: {first['reason']}"
        )
    basis: PriceBasis = "adjusted" if table.adjusted_only else known.get("price_basis", "quoted")
    instrument = Instrument(
        symbol=symbol,
        name=name or known.get("name") or symbol,
        currency=currency or known.get("currency") or "USD",
        calendar=calendar,
        source="files",
        price_basis=basis,
        intervals=(interval,),
    )
    cleaned.bars.attrs |= {"name": instrument.name, "currency": instrument.currency, "price_basis": basis}
    return Imported(
        instrument=instrument,
        path=path,
        cleaned=replace(cleaned, quarantine=refused),
        columns=table.names,
        ignored=table.ignored,
        readings=f"dates read as {moments.form}{zone}{table.numbers}",
    )


def import_file(
    store: Store,
    path: str | Path,
    *,
    symbol: str,
    name: str | None = None,
    currency: str | None = None,
    calendar: str | None = None,
    interval: Interval | None = None,
    timezone: str | None = None,
) -> Imported:
    """Read a file as :func:`read_table` does and make it a symbol like any other.

    Raises
    ------
    UsageError
        The store holds the symbol from a vendor: two sources are never spliced into one series.
    """
    held = store.instrument(check_symbol(symbol))
    if held is not None and held.source != "files":
        raise UsageError(
            f"{held.symbol} is in the store already, from {held.source}; two sources are never mixed in one series. "
            f"Import the file under another symbol, such as {held.symbol[:12]}.MY"
        )
    imported = read_table(
        path, symbol=symbol, name=name, currency=currency, calendar=calendar, interval=interval, timezone=timezone
    )
    instrument, bars, unit = imported.instrument, imported.bars, imported.interval
    since = None
    if held is not None:
        instrument = replace(instrument, intervals=tuple(dict.fromkeys((*held.intervals, unit))))
        bars, since = _with_stored(store.bars(held.symbol, unit), bars, unit, instrument.calendar)
    known = known_at(bars.index, interval=unit, calendar=instrument.calendar)
    store.put_instrument(instrument)
    store.put_bars(instrument.symbol, unit, bars, source="files", known=known, since=since)
    store.put_quarantine(imported.cleaned.quarantine)
    store.put_repairs(instrument.symbol, unit, imported.cleaned.repairs, source="files")
    store.mark_fetched(instrument.symbol, unit, "files")
    return replace(imported, instrument=replace(instrument, intervals=(unit,)))


def _with_stored(
    stored: pd.DataFrame, bars: pd.DataFrame, interval: Interval, calendar: str
) -> tuple[pd.DataFrame, pd.Timestamp | None]:
    """`bars`, with what is stored from before them in their units if they restate it, and since when those count."""
    found = freshness.restated(stored, bars)
    if found is None:
        return bars, None
    older = freshness.in_new_units(stored[stored.index < bars.index[0]], found.close, found.adj_close)
    since = freshness.first_known(bars.index.union(stored.index), found.last, interval, calendar)
    return (pd.concat([older, bars]) if len(older) else bars), since


def write_table(bars: pd.DataFrame, path: str | Path) -> Path:
    """Write `bars` as CSV or parquet, by the suffix of `path`, so that importing the file gives back the same bits.

    The file appears whole or not at all.

    Raises
    ------
    UsageError
        Another suffix, or a place that cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() not in CSV_SUFFIXES | PARQUET_SUFFIXES:
        raise UsageError(_other_suffix(path))
    bars = check_bars(bars[list(BAR_COLUMNS)], name=str(bars.attrs.get("symbol", "bars")))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.suffix.lower() in CSV_SUFFIXES:
            daily = bool((bars.index.asi8 % _DAY == 0).all()) if len(bars) else True
            labels = bars.index.strftime("%Y-%m-%d" if daily else "%Y-%m-%dT%H:%M:%SZ")
            separator = "\t" if path.suffix.lower() == ".tsv" else ","
            written = bars.set_axis(labels, axis=0)
            written.to_csv(part, sep=separator, index_label="date" if daily else "time", lineterminator="\n")
        else:
            import pyarrow as pa
            from pyarrow.parquet import write_table as write

            about = {key: bars.attrs[key] for key in sorted(bars.attrs) if isinstance(bars.attrs[key], str)}
            columns = pa.Table.from_pandas(bars.reset_index(names="time"), preserve_index=False)
            write(columns.replace_schema_metadata({"quantkit": json.dumps(about)}), part, compression="zstd")
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
    return path


def _read(path: Path, symbol: str) -> Table:
    if path.suffix.lower() not in CSV_SUFFIXES | PARQUET_SUFFIXES:
        raise UsageError(_other_suffix(path))
    try:
        if not path.is_file():
            raise UsageError(f"{shown(str(path), 200)}: {'not a file' if path.exists() else 'no such file'}")
        return read_csv(path, symbol) if path.suffix.lower() in CSV_SUFFIXES else read_parquet(path, symbol)
    except OSError as error:
        raise UsageError(f"{shown(str(path), 200)} cannot be read: {error.strerror or error}") from None


def _other_suffix(path: Path) -> str:
    accepted = ", ".join(sorted(CSV_SUFFIXES | PARQUET_SUFFIXES))
    return f"{shown(path.name)}: a file of prices ends in one of {accepted}"


def _interval(moments: Moments, path: Path) -> Interval:
    wall = np.unique(moments.wall[moments.wall != NOT_A_TIME])
    if len(wall) < 2:
        return "1d" if (wall % _DAY == 0).all() else "1m"
    steps = np.diff(wall)
    values, counts = np.unique(steps, return_counts=True)
    usual = int(values[counts.argmax()])
    # Every fifth step being a minute is enough: what trades rarely has more gaps than minutes.
    if (steps == _MINUTE).mean() >= 0.2:
        return "1m"
    days = round(usual / _DAY)
    if 1 <= days <= 4 or (days > 4 and len(steps) < 5):
        return "1d"
    apart = f"{usual // _MINUTE} minutes" if days == 0 else f"{days} days"
    raise DataError(f"{shown(path.name)}: its rows are {apart} apart; quantkit keeps daily and one-minute bars")


def _times(moments: Moments, interval: Interval, calendar: str, timezone: str | None) -> tuple[np.ndarray, str]:
    """Moments as UTC microseconds, and the words for what was done about the zone."""
    wall, naive, known = moments.wall, np.isnan(moments.offset), moments.wall != NOT_A_TIME
    if interval == "1d":
        # A date, or a midnight on whatever clock, names its session; a moment of the day is left to cleaning.
        label = known & ((wall % _DAY == 0) | naive)
        return np.where(label, wall - wall % _DAY, moments.utc), ""
    local = known & naive
    if not local.any():
        return moments.utc, ""
    times = moments.utc
    choices = [timezone] if timezone else dict.fromkeys([exchange_timezone(calendar), "UTC"])
    best, zone = -1.0, ""
    for choice in choices:
        try:
            aware = pd.DatetimeIndex(wall[local].view("datetime64[us]")).tz_localize(
                choice, ambiguous="NaT", nonexistent="NaT"
            )
        except (KeyError, ValueError, OSError):
            raise UsageError(f"unknown time zone {choice!r}; expected an IANA name such as America/New_York") from None
        utc = aware.tz_convert("UTC").astype(TIME_DTYPE)
        share = float(on_calendar(utc[utc.notna()], interval=interval, calendar=calendar).mean())
        if share > best:
            best, zone, times = share, str(choice), times.copy()
            times[local] = utc.asi8
    return times, f" in {zone}"


@PROVIDERS.add("files")
class FilesProvider:
    """Where imported symbols come from: the store has their bars already, so there is never anything to fetch."""

    name: str = "files"
    status: Status = "offline"

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings

    def catalogue(self) -> list[Instrument]:
        """Empty: what has been imported is in the store."""
        return []

    def build(self, query: HistoryQuery) -> NoReturn:
        """Say how a symbol is imported: ``UnknownSymbolError``."""
        symbol = check_symbol(query.symbol)
        raise UnknownSymbolError(
            f"{symbol} has not been imported; quantkit data import prices.csv --symbol {symbol} does it"
        )

    def extract(self, request: Any) -> NoReturn:
        """Nothing can be asked, so nothing can be fetched: ``UnknownSymbolError``."""
        raise UnknownSymbolError(
            "there is nothing to fetch from files; quantkit data import brings them into the store"
        )

    def normalise(self, raw: Any, query: HistoryQuery) -> Extract:
        """As :meth:`build`."""
        self.build(query)
