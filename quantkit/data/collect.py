"""``quantkit collect`` as it runs: which provider, which way, until when."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quantkit.core.errors import UsageError
from quantkit.core.schema import check_symbols
from quantkit.data import PROVIDERS
from quantkit.data.base import Streaming
from quantkit.data.collector import Collector
from quantkit.data.replay import ReplayProvider, restore, rewind
from quantkit.data.store import Store

if TYPE_CHECKING:
    from quantkit.settings import Settings

__all__ = ["parse_every", "run_collect"]

_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def parse_every(text: str) -> float:
    """Seconds of ``60s``, ``5m``, ``1h``, or of a bare number.

    Examples
    --------
    >>> parse_every("60s"), parse_every("5m")
    (60.0, 300.0)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h)?\s*", text)
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"every {text!r} is no interval; expected something like 60s, 5m or 1h")
    return float(found[1]) * _UNITS[found[2] or ""]


def run_collect(
    settings: Settings,
    *,
    symbols: str | None = None,
    every: str | None = None,
    stream: bool = False,
    replay: str | None = None,
    speed: float = 60.0,
    loop: bool = False,
    restore_sample: bool = False,
    follow: int | None = None,
    say: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Collect until `stop` is set, by SIGINT or SIGTERM too, a recording ends, or the process `follow` has ended.

    Raises
    ------
    UsageError
        More or less than one way of collecting was named, or the provider cannot be collected from.
    """
    say = say or (lambda text: print(text, file=sys.stderr, flush=True))
    if settings.provider[0] == "replay" and replay is None and not restore_sample:
        replay, stream, every = symbols or ",".join(_recorded()), False, None
    ways = [replay is not None, stream, every is not None, restore_sample]
    if sum(ways) != 1:
        raise UsageError("name one way of collecting: --stream, --every 60s, or --replay MSFT")
    stop = stop or threading.Event()
    _stop_on_signals(stop)
    if follow is not None:
        threading.Thread(target=_follow, args=(follow, stop), daemon=True).start()
    with Store.open(settings) as store:
        if restore_sample:
            back = restore(settings, store)
            say(f"the sample's again: {', '.join(back)}" if back else "no replay has left anything in this store")
        elif replay is not None:
            _replay(settings, store, replay, speed, loop, stop, say)
        else:
            _collect(settings, store, symbols, every, stop, say)


def _collect(
    settings: Settings, store: Store, symbols: str | None, every: str | None, stop: threading.Event,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    wanted = check_symbols(symbols) if symbols is not None else list(settings.watchlist)
    if every is not None:
        provider = PROVIDERS[settings.provider[0]](settings)
        if settings.provider[0] == "sample":
            raise UsageError("the sample does not change; replay it: quantkit collect --replay MSFT --speed 60")
        seconds = parse_every(every)
        collector = Collector(settings, store, provider, wanted, say=say)
        say(f"polling {provider.name} for {', '.join(wanted)} every {every}")
        collector.poll(stop, every=seconds)
        return
    streaming = [each for each in map(_made(settings), settings.provider) if isinstance(each, Streaming)]
    if not streaming:
        raise UsageError(
            f"{', '.join(settings.provider)} has no stream; poll with --every 60s, or --replay MSFT on the sample"
        )
    collector = Collector(settings, store, streaming[0], wanted, say=say)  # type: ignore[arg-type]
    say(f"listening to {streaming[0].name} for {', '.join(wanted)}")
    collector.stream(stop)


def _replay(
    settings: Settings, store: Store, symbols: str, speed: float, loop: bool, stop: threading.Event,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    wanted, again = check_symbols(symbols), False
    while not stop.is_set():
        start = rewind(settings, store, wanted, again=again)
        if again:
            store.live.prune(source="replay")
        provider = ReplayProvider(settings, speed=speed, start=start)
        where = ", ".join(f"{symbol} from {at:%Y-%m-%d %H:%M}" for symbol, at in start.items())
        say(f"replaying {where} UTC, {speed:g} recorded seconds in a second")
        Collector(settings, store, provider, wanted, say=say, recorded=True).stream(stop)
        again = loop
        if not loop:
            if not stop.is_set():
                say("the replay is over")
            return


def _made(settings: Settings) -> Callable[[str], Any]:
    return lambda name: PROVIDERS[name](settings)


def _recorded() -> list[str]:
    return [each.symbol for each in ReplayProvider().catalogue() if "1m" in each.intervals]


def _stop_on_signals(stop: threading.Event) -> None:
    if threading.current_thread() is threading.main_thread():
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: stop.set())


def _follow(pid: int, stop: threading.Event) -> None:
    """End with the process that started this one, however that ended."""
    while not stop.wait(1.0):
        if os.getppid() != pid:
            stop.set()
