"""What is sent: an answer's bytes with what a cache needs to know, in the form that was asked for."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import urlencode

import pandas as pd
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from quantkit.api.answers import Answer

__all__ = ["ARROW", "CSV", "Format", "Reply", "reply_of"]

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

    __slots__ = ("_packed", "content", "headers", "tag")

    def __init__(
        self, content: bytes, media_type: str, tag: str, headers: Mapping[str, str] | None = None, lasting: bool = False
    ) -> None:
        self.content = content
        self.tag = tag
        self._packed: bytes | None = None
        kept = "private, max-age=31536000, immutable" if lasting else "private, no-cache"
        self.headers = {"Content-Type": media_type, "Cache-Control": kept, "Vary": "Accept-Encoding", **(headers or {})}

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self.content) + len(self._packed or b"")

    def response(self, request: Request) -> Response:
        """To `request`: not at all where it has this one already (304), packed where it understands that."""
        pack = len(self.content) >= _WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", "")
        headers = {**self.headers, "ETag": f'"{self.tag}-gzip"' if pack else f'"{self.tag}"'}
        known = request.headers.get("if-none-match")
        if known is not None and _among(self.tag, known):
            headers.pop("Content-Type")
            return Response(status_code=304, headers=headers)
        if not pack:
            return Response(self.content, headers=headers)
        if self._packed is None:
            self._packed = gzip.compress(self.content, 5, mtime=0)
        return Response(self._packed, headers={**headers, "Content-Encoding": "gzip"})

    def pack(self) -> None:
        """Compress now, in a thread, rather than while others wait."""
        if len(self.content) >= _WORTH_PACKING and self._packed is None:
            self._packed = gzip.compress(self.content, 5, mtime=0)


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
