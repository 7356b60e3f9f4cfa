"""The recorded session, played through the collector as if it were arriving."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from quantkit import Desk
from quantkit.data.collector import Collector
from quantkit.data.replay import ReplayProvider, recorded_session


@contextmanager
def playing(desk: Desk, symbol: str, speed: float) -> Iterator[None]:
    """Bars of `symbol` arrive `speed` times as fast as they did, in a thread of its own."""
    stop = threading.Event()
    provider = ReplayProvider(desk.settings, speed=speed, start={symbol: recorded_session(symbol).index[0]})
    collector = Collector(desk.settings, desk.store, provider, [symbol], say=lambda text: None, recorded=True)
    thread = threading.Thread(target=collector.stream, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
