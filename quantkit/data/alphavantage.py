"""Alpha Vantage over HTTP: everything is text, newest first, on New York's clock, and errors come with status 200."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from quantkit.core.calendars import calendar_of, known_at, next_bars, sessions_between
from quantkit.core.errors import (
    KeyRefusedError,
    NonsenseError,
    NotEntitledError,
    ThrottledError,
    UnknownSymbolError,
    VendorDownError,
)
from quantkit.core.schema import BAR_COLUMNS, TIME_DTYPE, check_interval, check_symbol, empty_bars
from quantkit.data.base import PROVIDERS, EarningsQuery, Extract, HistoryQuery, Instrument, QuoteQuery, StreamEvent
from quantkit.data.pacing import Limit
from quantkit.data.vendor import Vendor, actions_frame, read_json, retry_after, within

__all__ = ["AlphaVantageProvider"]

_URL: Final = "https://www.alphavantage.co"
#: Its own suffixes and the currency of each exchange; symbols with another suffix it does not carry.
_EXCHANGES: Final = {
    "XLON": (".LON", "GBX"), "XTSE": (".TRT", "CAD"), "XETR": (".DEX", "EUR"), "XBOM": (".BSE", "INR"),
    "XSHG": (".SHH", "CNY"), "XNYS": ("", "USD"),
}  # fmt: skip
#: Rows of an answer that is not full.
_COMPACT: Final = 100
_DAY: Final = 86_400.0
#: Requests of a day's allowance that are left for prices.
_FOR_PRICES: Final = 5


@PROVIDERS.add("alphavantage")
class AlphaVantageProvider(Vendor):
    """Alpha Vantage: 25 requests a day without a paid plan, and one a second; ``left`` says how many there still are.

    A free key gets the last 100 daily bars as they were traded, without splits or dividends, so that ``adj_close`` is
    missing. With ``alphavantage_premium`` set, bars come whole and adjusted.
    """

    name: str = "alphavantage"
    key_setting: ClassVar[str] = "ALPHAVANTAGE_API_KEY"

    def limits(self) -> tuple[Limit, ...]:
        """One a second, and the day's allowance."""
        return (Limit(1, 1), Limit(self.settings.alphavantage_per_day, _DAY))

    @property
    def refresh(self) -> float:
        """Four hours: the day's allowance would not last for more, and free bars come after the close anyway."""
        return self.settings.refresh_seconds if self.settings.alphavantage_premium else 4 * 3600.0

    def secrets(self) -> Iterable[Any]:
        """The key, which Alpha Vantage repeats in its messages."""
        return (self.settings.alphavantage_api_key,)

    @property
    def left(self) -> int:
        """Requests left of the day's allowance."""
        return self.pace.left()

    def tells_earnings(self) -> bool:
        """Yes, while that leaves some of the day's allowance for prices."""
        return self.left > _FOR_PRICES

    def build(self, query: HistoryQuery | QuoteQuery | EarningsQuery) -> dict[str, str]:
        """The parameters that answer `query`, without the key: always one request.

        Raises
        ------
        NotEntitledError
            The symbol trades on an exchange that Alpha Vantage does not carry.
        """
        symbol = _spelled(check_symbol(query.symbol))
        if isinstance(query, QuoteQuery):
            return {"function": "GLOBAL_QUOTE", "symbol": symbol, "datatype": "json"}
        if isinstance(query, EarningsQuery):
            return {"function": "EARNINGS", "symbol": symbol}
        premium = self.settings.alphavantage_premium
        size = "full" if premium and self._many(query) else "compact"
        about = {"symbol": symbol, "outputsize": size, "datatype": "json"}
        if check_interval(query.interval) == "1m":
            return {"function": "TIME_SERIES_INTRADAY", "interval": "1min", "extended_hours": "false", **about}
        return {"function": "TIME_SERIES_DAILY_ADJUSTED" if premium else "TIME_SERIES_DAILY", **about}

    def extract(self, request: dict[str, str]) -> dict[str, Any]:
        """The answer's JSON object.

        Raises
        ------
        UnknownSymbolError, KeyRefusedError, NotEntitledError, ThrottledError, VendorDownError, NonsenseError
            With Alpha Vantage's own words, and how many requests are left.
        """
        return self.ask(lambda: self._query(request))

    def normalise(self, raw: dict[str, Any], query: HistoryQuery | QuoteQuery | EarningsQuery) -> Extract:
        """Text as bars, oldest first; numbers stay text for cleaning to read, so that a bad one is kept as it came."""
        symbol = check_symbol(query.symbol)
        instrument = Instrument(
            symbol=symbol, name=symbol, currency=_EXCHANGES[calendar_of(symbol)][1], calendar=calendar_of(symbol),
            source=self.name, intervals=("1d", "1m"),
        )  # fmt: skip
        if isinstance(query, QuoteQuery):
            return Extract(instrument, _quote(raw))
        if isinstance(query, EarningsQuery):
            return Extract(instrument, empty_bars(), _earnings(raw, symbol))
        series = next((value for name, value in raw.items() if name.startswith("Time Series")), None)
        if not isinstance(series, dict) or not all(isinstance(each, dict) for each in series.values()):
            raise NonsenseError(f"alphavantage's series of {symbol} has not the form it should: {self.words(raw)}")
        meta = {name.split(". ", 1)[-1]: value for name, value in (raw.get("Meta Data") or {}).items()}
        bars = pd.DataFrame.from_dict(series, orient="index").rename(columns=lambda name: str(name).split(". ", 1)[-1])
        bars = bars.rename(columns={"adjusted close": "adj_close"}).iloc[::-1]
        zone = str(meta.get("Time Zone") or "US/Eastern")
        bars.index = _times(bars.index, query.interval, zone)
        bars, actions = _in_todays_shares(bars)
        bars = bars.reindex(columns=list(BAR_COLUMNS))
        return Extract(instrument, within(bars, query), actions)

    def stream(self, symbols: Sequence[str], *, stop: threading.Event) -> Iterator[StreamEvent | None]:
        """Prices by polling, spread so that the day's allowance lasts until the close; see ``base.Streaming``."""
        wanted, turn = [check_symbol(each) for each in symbols], 0
        last: dict[str, tuple[float, float]] = {}
        due = 0.0
        while not stop.is_set():
            now = pd.Timestamp.now("UTC")
            if now.timestamp() < due:
                stop.wait(min(due - now.timestamp(), 1.0))
                yield None
                continue
            query = QuoteQuery(wanted[turn % len(wanted)])
            turn += 1
            bar = self.normalise(self.extract(self.build(query)), query).bars.astype("float64").iloc[0]
            due = now.timestamp() + max(self._until_close(wanted[0], now) / max(self.left, 1), 1.0)
            if last.get(query.symbol) != (seen := (bar["close"], bar["volume"])):
                last[query.symbol] = seen
                yield StreamEvent(
                    query.symbol, pd.Timestamp.now("UTC").as_unit("us"), float(bar["close"]),
                    day_volume=float(bar["volume"]), source=self.name,
                )  # fmt: skip
            else:
                yield None

    def _attempt_key(self) -> None:
        self.key(self.settings.alphavantage_api_key)

    def _many(self, query: HistoryQuery) -> bool:
        if query.start is None or query.interval == "1m":
            return True
        return len(sessions_between(query.start, pd.Timestamp.now("UTC"), calendar_of(query.symbol))) > _COMPACT - 5

    def _until_close(self, symbol: str, now: pd.Timestamp) -> float:
        calendar = calendar_of(symbol)
        today = sessions_between(now.normalize(), now, calendar)
        label = today if len(today) else next_bars(now, 1, calendar=calendar)
        return max((known_at(label, calendar=calendar)[0] - now).total_seconds(), 60.0)

    def _query(self, request: dict[str, str]) -> dict[str, Any]:
        import httpx

        try:
            response = self._client().get("/query", params=request)
        except httpx.HTTPError as error:
            kind = "does not answer in time" if isinstance(error, httpx.TimeoutException) else "does not answer"
            raise VendorDownError(f"alphavantage {kind}: {self.words(error) or type(error).__name__}") from None
        if response.status_code == 429:
            raise ThrottledError(
                f"alphavantage answers no more questions for now: {self.words(response.text)}",
                retry_after=retry_after(response.headers.get("Retry-After")),
            )
        if response.status_code >= 500:
            raise VendorDownError(
                f"alphavantage answered with status {response.status_code}: {self.words(response.text[:120])}"
            )
        body = read_json(self, response.text)
        if not isinstance(body, dict):
            raise NonsenseError(f"alphavantage's answer has not the form it should: {self.words(body)}")
        self._refuse(body, request["symbol"])
        return body

    def _refuse(self, body: dict[str, Any], symbol: str) -> None:
        """Tell the kinds of refusal apart, which differ only in their words."""
        said = next((str(body[name]) for name in ("Error Message", "Information", "Note") if name in body), None)
        if said is None:
            if body.get("Global Quote") == {}:
                raise UnknownSymbolError(f"{symbol} is not known to alphavantage: an empty quote")
            if not body:
                raise NonsenseError("alphavantage's answer is empty: {}")
            return
        lower, words = said.lower(), repr(self.words(said))
        if "apikey" in lower or ("api key" in lower and "invalid" in lower):
            raise KeyRefusedError(f"alphavantage refused the key; set {self.key_setting}: {words}")
        if "Error Message" in body:
            raise UnknownSymbolError(f"{symbol} is not known to alphavantage: {words}")
        # The text about bursts mentions the daily limit too, and both mention premium plans: the order matters.
        if "sparingly" in lower or ("per second" in lower and "consider" in lower):
            raise ThrottledError(f"alphavantage takes one request a second: {words}", retry_after=1.1)
        if "premium endpoint" in lower or "premium feature" in lower:
            raise NotEntitledError(
                f"alphavantage has this in its paid plans only: {words}; with one, set "
                "QUANTKIT_ALPHAVANTAGE_PREMIUM=1, else name another provider beside it in QUANTKIT_PROVIDER"
            )
        if "per day" in lower and "minute" not in lower:
            midnight = pd.Timestamp.now("US/Eastern").normalize() + pd.DateOffset(days=1)
            wait = (midnight - pd.Timestamp.now("US/Eastern")).total_seconds()
            raise ThrottledError(
                f"alphavantage's requests for today are used up, 0 are left: {words}", retry_after=wait
            )
        raise ThrottledError(f"alphavantage answers no more questions for now: {words}", retry_after=60.0)

    def _client(self) -> Any:
        def make() -> Any:
            import httpx

            key = self.key(self.settings.alphavantage_api_key)

            class WithKey(httpx.HTTPTransport):
                """Adds the key below the client, which logs every URL that it is given."""

                def handle_request(self, request: httpx.Request) -> httpx.Response:
                    url = request.url.copy_add_param("apikey", key)
                    keyed = httpx.Request(
                        request.method, url, headers=request.headers, stream=request.stream,
                        extensions=request.extensions,
                    )  # fmt: skip
                    return super().handle_request(keyed)

            return httpx.Client(
                base_url=self.settings.alphavantage_url or _URL, timeout=self.settings.vendor_timeout,
                transport=WithKey(), headers={"User-Agent": "quantkit"},
            )  # fmt: skip

        return self._once("client", make)


def _spelled(symbol: str) -> str:
    calendar = calendar_of(symbol)
    stem, dot, suffix = symbol.rpartition(".")
    if symbol.startswith("^") or calendar not in _EXCHANGES or (dot and calendar == "XNYS" and len(suffix) > 1):
        raise NotEntitledError(
            f"{symbol} is not among what alphavantage carries (shares in New York, London, Toronto, Frankfurt, Bombay "
            "and Shanghai); name another provider beside it in QUANTKIT_PROVIDER"
        )
    return (stem if dot else symbol) + _EXCHANGES[calendar][0]


def _times(texts: pd.Index, interval: str, zone: str) -> pd.DatetimeIndex:
    """Days as session labels, minutes from the wall clock of `zone`; what is not a time becomes NaT."""
    stamps = pd.DatetimeIndex(pd.to_datetime(texts, errors="coerce", format="ISO8601"), name="time")
    if interval == "1d":
        return stamps.tz_localize("UTC").astype(TIME_DTYPE)
    local = stamps.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    return pd.DatetimeIndex(local.tz_convert("UTC").astype(TIME_DTYPE), name="time")


def _in_todays_shares(bars: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bars as traded divided by every split after them, where the answer has splits; and its splits and dividends."""
    if "split coefficient" not in bars.columns:
        return bars, actions_frame([])
    coefficient = pd.to_numeric(bars["split coefficient"], errors="coerce").fillna(1.0).to_numpy(np.float64)
    paid = pd.to_numeric(bars["dividend amount"], errors="coerce").fillna(0.0).to_numpy(np.float64)
    later = np.append(np.cumprod(coefficient[::-1])[::-1][1:], 1.0)
    bars = bars.copy()
    for name in ("open", "high", "low", "close", "volume"):
        given = bars[name]
        number = pd.to_numeric(given, errors="coerce")
        scaled = number * later if name == "volume" else number / later
        bars[name] = scaled.where(number.notna(), given)
    splits = [(bars.index[i], "split", coefficient[i]) for i in np.flatnonzero(coefficient != 1.0)]
    dividends = [(bars.index[i], "dividend", paid[i] / later[i]) for i in np.flatnonzero(paid > 0)]
    return bars, actions_frame(splits + dividends)


def _quote(raw: dict[str, Any]) -> pd.DataFrame:
    quote = {name.split(". ", 1)[-1]: value for name, value in (raw.get("Global Quote") or {}).items()}
    if "price" not in quote or "latest trading day" not in quote:
        raise NonsenseError(f"alphavantage's quote has not the form it should: {sorted(quote)}")
    day = _times(pd.Index([quote["latest trading day"]]), "1d", "UTC")
    row = {name: quote.get(name) for name in ("open", "high", "low", "volume")} | {"close": quote["price"]}
    return pd.DataFrame([row], index=day).reindex(columns=list(BAR_COLUMNS))


def _earnings(raw: dict[str, Any], symbol: str) -> pd.DataFrame:
    """Reports by the day they were made; funds have none, and a quarter still to be reported has no figure."""
    quarters = raw.get("quarterlyEarnings", [])
    if not isinstance(quarters, list) or not all(isinstance(each, dict) for each in quarters):
        raise NonsenseError(f"alphavantage's earnings of {symbol} have not the form they should: {sorted(raw)}")
    days = _times(pd.Index([each.get("reportedDate") for each in quarters], dtype=object), "1d", "UTC")
    told = pd.to_numeric(pd.Series([each.get("reportedEPS") for each in quarters], dtype=object), errors="coerce")
    return actions_frame(
        [(day, "earnings", value) for day, value in zip(days, told, strict=True) if pd.notna(day) and pd.notna(value)]
    )
