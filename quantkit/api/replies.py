"""What is sent: an answer's bytes with what a cache needs to know, in the form that was asked for."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal
from urllib.parse import urlencode

import pandas as pd
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from quantkit.api.answers import Answer

__all__ = ["ARROW", "CSV", "AtHand", "Format", "Reply", "Sent", "reply_of"]

Format = Literal["json", "csv", "arrow"]
CSV: Final = "text/csv; charset=utf-8"
ARROW: Final = "application/vnd.apache.arrow.stream"

_WORTH_PACKING: Final = 1400
"""Bytes: what fits into one packet gains nothing from being packed."""


class Reply:
    """An answer in one form, sent to whoever asks the same.

    Parameters
    ----------
    content : bytes
    media_type : str
    tag : str
        Entity tag without quotes: the fingerprint, and what tells its forms apart.
    headers : mapping, optional
    lasting : bool
        Whether the address holds the fingerprint, so that what it gives never changes.
    """

    __slots__ = ("_headers", "_packed", "_tag", "content")

    def __init__(
        self, content: bytes, media_type: str, tag: str, headers: Mapping[str, str] | None = None, lasting: bool = False
    ) -> None:
        self.content = content
        self._tag = tag
        self._packed: bytes | None = None
        kept = "private, max-age=31536000, immutable" if lasting else "private, no-cache"
        plain = {"content-type": media_type, "cache-control": kept, "vary": "Accept-Encoding", **(headers or {})}
        self._headers = [(name.lower().encode(), value.encode()) for name, value in plain.items()]

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self.content) + len(self._packed or b"")

    def to_pack(self, scope: Scope) -> bool:
        """Whether whoever asks in `scope` wants it compressed, and it is not yet: that is work for a thread."""
        return self._packed is None and len(self.content) >= _WORTH_PACKING and _understands_gzip(scope)

    def pack(self) -> None:
        """Compress the content, once for all who want that."""
        if self._packed is None:
            self._packed = gzip.compress(self.content, 5, mtime=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, as an ASGI application: not at all where it is known already (304), compressed where wanted."""
        packed = self._packed if self._packed is not None and _understands_gzip(scope) else None
        tag = (b"etag", f'"{self._tag}{"" if packed is None else "-gzip"}"'.encode())
        known = _header(scope, b"if-none-match")
        if known is not None and _among(self._tag, known.decode("latin-1")):
            kept = [pair for pair in self._headers if pair[0] != b"content-type"]
            await send({"type": "http.response.start", "status": 304, "headers": [*kept, tag]})
            await send({"type": "http.response.body", "body": b""})
            return
        body = self.content if packed is None else packed
        headers = [*self._headers, tag, (b"content-length", str(len(body)).encode())]
        if packed is not None:
            headers.append((b"content-encoding", b"gzip"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Sent(Response):
    """A reply as the response of an endpoint."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply."""
        await self._reply(scope, receive, send)


class AtHand:
    """ASGI middleware: what has been asked in the very same words is sent again, if it still holds.

    It spares the framework's reading of the question, which takes longer than the answer.

    Parameters
    ----------
    app : ASGI application
    find : callable
        The reply to a path and a query string; None where there is none that holds.
    """

    def __init__(self, app: ASGIApp, *, find: Callable[[str, bytes], Reply | None]) -> None:
        self._app = app
        self._find = find

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            reply = self._find(scope["path"], scope["query_string"])
            if reply is not None and not reply.to_pack(scope):
                await reply(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)


def _understands_gzip(scope: Scope) -> bool:
    return b"gzip" in (_header(scope, b"accept-encoding") or b"")


def reply_of(answer: Answer, form: Format, *, address: str = "", lasting: bool = False) -> Reply:
    """`answer` in a form; `address` is where it was asked for, for the link to the page that follows.

    Raises
    ------
    ValueError
        The answer has no table and CSV or Arrow is asked for.
    """
    if form == "json":
        content, media = to_json(answer.body), "application/json"
    elif answer.table is None:
        raise ValueError(f"no table in {form}")
    else:
        content, media = _TABLES[form](answer.table), CSV if form == "csv" else ARROW
    headers = {}
    if answer.following is not None and address:
        joined = f"{address}{'&' if '?' in address else '?'}{urlencode({'after': answer.following.isoformat()})}"
        headers["Link"] = f'<{joined}>; rel="next"'
    prints = [
        answer.body.get("fingerprint"),
        *(_inner(answer.body.get(name)) for name in ("frontier", "out_of_sample")),
    ]
    digest = hashlib.blake2b(content, digest_size=6).hexdigest()
    return Reply(content, media, ".".join([*filter(None, prints), digest]), headers, lasting)


def _inner(part: Any) -> str | None:
    return part.get("fingerprint") if isinstance(part, dict) else None


def _among(tag: str, listed: str) -> bool:
    names = (each.strip().removeprefix("W/").strip('"') for each in listed.split(","))
    return any(name in ("*", tag) or name.removesuffix("-gzip") == tag for name in names)


def _csv(table: pd.DataFrame) -> bytes:
    # pandas writes the shortest digits that are read back as the same number.
    return table.to_csv(date_format="%Y-%m-%dT%H:%M:%S+00:00", lineterminator="\n").encode()


def _arrow(table: pd.DataFrame) -> bytes:
    import pyarrow as pa

    plain = table.reset_index()
    plain.attrs = {}
    plain.columns = [str(name) for name in plain.columns]
    found = pa.Table.from_pandas(plain, preserve_index=False)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, found.schema) as writer:
        writer.write_table(found)
    return sink.getvalue()


_TABLES: Final = {"csv": _csv, "arrow": _arrow}
