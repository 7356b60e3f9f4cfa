"""Quotes as server-sent events: one watch on the store wakes every listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import StreamingResponse

from quantkit.api.problems import TooManyError, problem_of, unexpected
from quantkit.core.errors import QuantkitError

if TYPE_CHECKING:
    from quantkit.api.service import Service

__all__ = ["MEDIA_TYPE", "quotes"]

MEDIA_TYPE: Final = "text/event-stream"
LISTENERS: Final = 200
LOOK_SECONDS: Final = 0.1
BEAT_SECONDS: Final = 15.0
"""A comment as often keeps proxies from closing a quiet stream, and finds out who has left."""

_listening: set[object] = set()


async def quotes(service: Service, symbols: list[str], request: Request) -> StreamingResponse:
    """Stream of the price bodies of `symbols`: each at once, then whenever it changes; ``id`` is the bar's time.

    Raises
    ------
    QuantkitError
        A symbol is unknown.
    TooManyError
    """
    if len(_listening) >= LISTENERS:
        raise TooManyError(f"{LISTENERS} streams are open", 30.0)
    for symbol in symbols:
        await service.reply("price", {"symbol": symbol})
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(service, symbols), media_type=MEDIA_TYPE, headers=headers)


async def _events(service: Service, symbols: list[str]) -> AsyncIterator[bytes]:
    me = object()
    _listening.add(me)
    sent: dict[str, str] = {}
    version, beat = None, monotonic()
    try:
        yield b"retry: 2000\n\n"
        while not service.stopping.is_set():
            now = service.desk.store.data_version()
            if now != version:
                version = now
                for symbol in symbols:
                    try:
                        event = await _event(service, symbol, sent)
                    except QuantkitError as error:
                        event = b"event: problem\ndata: " + bytes(problem_of(error).body) + b"\n\n"
                    except Exception as error:
                        yield b"event: problem\ndata: " + bytes(unexpected(error).body) + b"\n\n"
                        return
                    if event:
                        beat = monotonic()
                        yield event
            elif monotonic() - beat > BEAT_SECONDS:
                beat = monotonic()
                yield b": still here\n\n"
            try:
                await asyncio.wait_for(service.stopping.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue
    finally:
        _listening.discard(me)


async def _event(service: Service, symbol: str, sent: dict[str, str]) -> bytes:
    from pydantic_core import from_json

    reply = await service.reply("price", {"symbol": symbol})
    body = from_json(reply.content)
    # Its age grows by itself; a quote is another one when anything else has changed.
    mark = repr({name: value for name, value in body.items() if name != "age_seconds"})
    if sent.get(symbol) == mark:
        return b""
    sent[symbol] = mark
    return b"id: " + body["timestamp"].encode() + b"\nevent: quote\ndata: " + reply.content + b"\n\n"
