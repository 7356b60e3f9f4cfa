"""The embedded real market data, as a provider: what quantkit shows when nothing is set.

``sample/SOURCES.md`` says where every series came from; ``tools/build_sample.py`` rebuilds them.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from quantkit.core.errors import NoDataError, UnknownSymbolError
from quantkit.core.schema import BAR_COLUMNS, TIME_DTYPE, Interval, check_interval, check_symbol
from quantkit.data.base import PROVIDERS, Extract, HistoryQuery, Instrument, Status

if TYPE_CHECKING:
    from quantkit.settings import Settings

__all__ = ["SampleProvider", "nearest"]

_FOLDER: Final = Path(__file__).parent / "sample"


@lru_cache(maxsize=1)
def _catalogue() -> dict[str, Instrument]:
    entries = json.loads((_FOLDER / "catalogue.json").read_text(encoding="utf-8"))
    return {
        symbol: Instrument(
            symbol=symbol,
            name=entry["name"],
            currency=entry["currency"],
            calendar=entry["calendar"],
            source="sample",
            price_basis=entry["price_basis"],
            intervals=tuple(entry["intervals"]),
        )
        for symbol, entry in entries.items()
    }


def nearest(text: str, instruments: list[Instrument], count: int = 3) -> list[Instrument]:
    """The instruments whose symbol or name comes nearest to `text`, best first; none if nothing is near.

    Examples
    --------
    >>> [each.symbol for each in nearest("microsoft", SampleProvider().catalogue(), count=1)]
    ['MSFT']
    >>> [each.symbol for each in nearest("APPL", SampleProvider().catalogue())]
    ['AAPL']
    """
    words: dict[str, Instrument] = {}
    for instrument in instruments:
        for word in (instrument.symbol, instrument.name, *instrument.name.split()):
            words.setdefault(word.upper(), instrument)
    near = get_close_matches(text.strip().upper(), words, n=2 * count, cutoff=0.66)
    return list(dict.fromkeys(words[word] for word in near))[:count]


@PROVIDERS.add("sample")
class SampleProvider:
    """Real bars that come with quantkit: 26 daily series and one-minute bars of three exchanges.

    Each series is a file of its own and is read when it is asked for.

    Examples
    --------
    >>> provider = SampleProvider()
    >>> query = HistoryQuery("AAPL", start=pd.Timestamp("2023-09-21", tz="UTC"))
    >>> round(provider.normalise(provider.extract(provider.build(query)), query).bars["close"].iloc[0], 2)
    np.float64(173.93)
    """

    name: str = "sample"
    status: Status = "sample"

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings

    def catalogue(self) -> list[Instrument]:
        """Every instrument of the sample, by symbol."""
        return list(_catalogue().values())

    def ends(self, symbol: str, interval: Interval) -> tuple[pd.Timestamp, pd.Timestamp]:
        """Time of the first and the last bar, by what the file says of itself: no bar is read."""
        from pyarrow.parquet import ParquetFile

        with ParquetFile(self.build(HistoryQuery(symbol, interval))) as file:
            groups = [file.metadata.row_group(at).column(file.schema_arrow.get_field_index("time")).statistics
                      for at in range(file.num_row_groups)]  # fmt: skip
        first, last = min(each.min for each in groups), max(each.max for each in groups)
        return pd.Timestamp(first).tz_convert("UTC"), pd.Timestamp(last).tz_convert("UTC")

    def build(self, query: HistoryQuery) -> Path:
        """The file that answers `query`.

        Raises
        ------
        UnknownSymbolError
            The sample does not hold the symbol; the message offers the nearest and says how to get it live.
        NoDataError
            It holds the symbol, but not in that interval.
        """
        symbol, interval = check_symbol(query.symbol), check_interval(query.interval)
        instrument = _catalogue().get(symbol)
        if instrument is None:
            near = nearest(symbol, self.catalogue())
            offer = f" Nearest in the sample: {', '.join(f'{each.symbol} ({each.name})' for each in near)}."
            raise UnknownSymbolError(
                f"{symbol} is not in the sample; QUANTKIT_PROVIDER=yahoo make run fetches it.{offer if near else ''}"
            )
        if interval not in instrument.intervals:
            others = ", ".join(each.symbol for each in self.catalogue() if interval in each.intervals)
            raise NoDataError(
                f"{symbol} has no {interval} bars in the sample, only {', '.join(instrument.intervals)}; "
                f"with {interval} bars there: {others}"
            )
        return _FOLDER / interval / f"{symbol}.parquet"

    def extract(self, request: Path) -> pd.DataFrame:
        """The file's columns; those that its source does not know are absent."""
        from pyarrow.parquet import ParquetFile

        # ParquetFile, unlike read_table, needs neither pyarrow.dataset nor a pool of threads in a visitor's kernel.
        with ParquetFile(request) as file:
            table = file.read(use_threads=False)
        return pd.DataFrame({name: table.column(name).to_numpy() for name in table.column_names})

    def normalise(self, raw: pd.DataFrame, query: HistoryQuery) -> Extract:
        """Bars from `query.start` to `query.end`, both included, with the instrument they belong to."""
        instrument = _catalogue()[check_symbol(query.symbol)]
        index = pd.DatetimeIndex(raw["time"], name="time").tz_localize("UTC").astype(TIME_DTYPE)
        bars = raw.drop(columns="time").set_axis(index, axis=0).reindex(columns=list(BAR_COLUMNS)).astype(np.float64)
        bars = bars.loc[query.start : query.end]
        bars.attrs.update(
            symbol=instrument.symbol,
            interval=query.interval,
            name=instrument.name,
            currency=instrument.currency,
            calendar=instrument.calendar,
            source=instrument.source,
            price_basis=instrument.price_basis,
        )
        return Extract(instrument=instrument, bars=bars)
