"""Quotes as server-sent events: what ``Desk.watch`` hears, sent on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_json
from starlette.responses import StreamingResponse

from quantkit.api.bodies import price_body
from quantkit.api.problems import TooManyError, problem_of, unexpected
from quantkit.core.errors import QuantkitError

if TYPE_CHECKING:
    from quantkit.api.service import Service
    from quantkit.data.quote import Quote

__all__ = ["MEDIA_TYPE", "quotes"]

MEDIA_TYPE: Final = "text/event-stream"
LISTENERS: Final = 64
"""Streams at a time: each has a thread that waits on the bus."""

BEAT_SECONDS: Final = 15.0
"""A comment as often keeps proxies from closing a quiet stream, and finds out who has left."""

_listening: set[_Listener] = set()


async def quotes(service: Service, symbols: list[str]) -> StreamingResponse:
    """Stream of the price bodies of `symbols`: each at once, then whenever it changes; ``id`` is the bar's time.

    Raises
    ------
    QuantkitError
        A symbol is unknown.
    TooManyError
    """
    if len(_listening) >= LISTENERS:
        raise TooManyError(f"{LISTENERS} streams are open", 30.0)
    watch = await service.run(lambda progress: service.desk.watch(symbols, initial=True))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(service, watch), media_type=MEDIA_TYPE, headers=headers)


class _Listener(threading.Thread):
    """Hears quotes in a thread of its own and leaves the latest of each symbol for the event loop."""

    def __init__(self, watch: Any) -> None:
        super().__init__(name="quantkit-stream", daemon=True)
        self.watch = watch
        self.news = asyncio.Event()
        self.latest: dict[str, Quote] = {}
        self.failed: BaseException | None = None
        self.over = False
        self._loop = asyncio.get_running_loop()

    def run(self) -> None:
        try:
            for quote in self.watch:
                self._loop.call_soon_threadsafe(self._heard, quote)
        except Exception as error:
            self.failed = error
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ended)

    def _heard(self, quote: Quote) -> None:
        self.latest[quote.symbol] = quote
        self.news.set()

    def _ended(self) -> None:
        self.over = True
        self.news.set()


async def _events(service: Service, watch: Any) -> AsyncIterator[bytes]:
    listener = _Listener(watch)
    _listening.add(listener)
    listener.start()
    sent: dict[str, dict[str, Any]] = {}
    stopping = asyncio.ensure_future(service.stopping.wait())
    try:
        yield b"retry: 2000\n\n"
        while not listener.over and not stopping.done():
            news = asyncio.ensure_future(listener.news.wait())
            await asyncio.wait({news, stopping}, timeout=BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not news.done():
                news.cancel()
                yield b": still here\n\n"
                continue
            listener.news.clear()
            while listener.latest:
                symbol, quote = listener.latest.popitem()
                body = price_body(quote)
                # A quote grows older by itself; it is another one when anything else has changed.
                mark = {name: value for name, value in body.items() if name != "age_seconds"}
                if sent.get(symbol) != mark:
                    sent[symbol] = mark
                    yield b"id: " + body["timestamp"].encode() + b"\nevent: quote\ndata: " + to_json(body) + b"\n\n"
        if listener.failed is not None:
            error = listener.failed
            problem = problem_of(error) if isinstance(error, QuantkitError) else unexpected(error)
            yield b"event: problem\ndata: " + bytes(problem.body) + b"\n\n"
    finally:
        _listening.discard(listener)
        stopping.cancel()
        watch.close()
