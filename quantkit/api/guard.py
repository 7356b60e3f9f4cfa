"""What every request passes before it is answered: host, key, limits, and the headers of what goes out."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterable
from time import monotonic
from typing import Final

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quantkit.api.problems import Problem, RefusedError, TooManyError, unexpected

__all__ = ["BODY_LIMIT", "Guard", "Keys", "Rate", "Traffic"]

BODY_LIMIT: Final = 1 << 20
"""Bytes of a body that is sent; 500 symbols with bounds for each come to 30 kB."""

#: What says nothing about anybody's data: whoever watches the server or reads its manual needs no key.
OPEN: Final = frozenset({"/", "/docs", "/openapi.json", "/health/live", "/health/ready"})

#: What never ends has no length and no tag to be asked for.
ENDLESS: Final = frozenset({"/stream"})

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_POLICY: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Keys:
    """The keys that let somebody in, compared in constant time; none lets everybody in.

    Parameters
    ----------
    text : str or None
        Keys separated by commas.
    """

    def __init__(self, text: str | None) -> None:
        parts = (part.strip() for part in (text or "").split(","))
        self._digests = [hashlib.sha256(part.encode()).digest() for part in parts if part]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __repr__(self) -> str:
        return f"<{len(self._digests)} keys>"

    def holder(self, key: bytes) -> str | None:
        """Who the key belongs to, as a name that gives nothing away; None for an unknown key."""
        given = hashlib.sha256(key).digest()
        # Every one is compared, so that time does not tell which it was.
        found = [at for at, digest in enumerate(self._digests) if hmac.compare_digest(digest, given)]
        return f"key {found[0]}" if found else None


class Rate:
    """Token buckets: so many requests a second for each asker, and a burst of two seconds' worth.

    Parameters
    ----------
    per_second : float
        0 for no limit.
    """

    MOST_ASKERS: Final = 10_000

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._burst = max(2.0 * per_second, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, asker: str, now: float | None = None) -> float:
        """Seconds that `asker` must wait before asking; 0 lets the request through and counts it."""
        if not self.per_second:
            return 0.0
        now = monotonic() if now is None else now
        tokens, then = self._buckets.pop(asker, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self.per_second)
        wait = 0.0 if tokens >= 1.0 else (1.0 - tokens) / self.per_second
        self._buckets[asker] = (tokens - 1.0 if not wait else tokens, now)
        if len(self._buckets) > self.MOST_ASKERS:
            self._buckets.popitem(last=False)
        return wait


class Traffic:
    """How many requests were taken, and how many of them were answered to the last byte."""

    def __init__(self) -> None:
        self.taken = self.answered = 0


class Guard:
    """ASGI middleware; also takes the prefix and ``/v1`` off a path, under which everything is served too.

    Parameters
    ----------
    app : ASGI application
    keys : Keys
    rate : Rate
    hosts : iterable of str, optional
        Names by which the server may be asked for, beside those of loopback. None takes any, which is safe only where
        a key is asked for: a web page that points its own name here (DNS rebinding) knows no key.
    traffic : Traffic
    prefix : str
        Path under which a proxy serves everything, such as ``/api``; whether it takes that off is its own affair.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys,
        rate: Rate,
        hosts: Iterable[str] | None,
        traffic: Traffic,
        prefix: str = "",
    ) -> None:
        self._app = app
        self._keys = keys
        self._rate = rate
        self._hosts = None if hosts is None else _LOOPBACK_HOSTS | frozenset(hosts)
        self._traffic = traffic
        self._prefixes = tuple(filter(None, (prefix, "/v1")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        for prefix in self._prefixes:
            if path == prefix or path.startswith(f"{prefix}/"):
                scope["path"] = path = path.removeprefix(prefix) or "/"
        if scope["method"] == "HEAD" and path not in ENDLESS:
            # What is asked for its headers alone is asked as GET; the server, which knows better, sends no body.
            scope = {**scope, "method": "GET"}
        self._traffic.taken += 1
        started = False

        async def told(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = message["headers"]
                headers.extend(_HEADERS)
                if not any(name == b"content-security-policy" for name, _ in headers):
                    headers.append(_POLICY)
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                self._traffic.answered += 1

        try:
            self._admit(scope, path)
            await self._app(scope, _limited(scope, receive), told)
        except RefusedError as refused:
            if started:
                raise
            await refused.problem(scope, receive, told)
        except Exception as error:
            problem = unexpected(error)
            if started:
                raise
            await problem(scope, receive, told)

    def _admit(self, scope: Scope, path: str) -> None:
        found = {name: value for name, value in scope["headers"] if name in _READ}
        if self._hosts is not None:
            host = found.get(b"host", b"").decode("latin-1").lower()
            name = host if host.endswith("]") else host.rsplit(":", 1)[0]
            if name not in self._hosts:
                raise RefusedError(
                    Problem.own("forbidden-host", "without keys only this machine's own names are served")
                )
        asker = (scope.get("client") or ("",))[0]
        if self._keys and path not in OPEN and scope["method"] != "OPTIONS":
            key = found.get(b"x-api-key")
            if key is None and (bearer := found.get(b"authorization", b""))[:7].lower() == b"bearer ":
                key = bearer[7:].strip()
            known = None if key is None else self._keys.holder(key)
            if known is None:
                # Guesses are limited like questions, by where they come from.
                self._limit(asker)
                said = "the key is not known" if key is not None else "send a key in the header X-API-Key"
                raise RefusedError(Problem.own("unauthorized", said, headers={"WWW-Authenticate": "Bearer"}))
            asker = known
        if path not in OPEN:
            self._limit(asker)
        length = found.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            raise RefusedError(Problem.own("too-large", f"a body may have {BODY_LIMIT:,} bytes"))

    def _limit(self, asker: str) -> None:
        wait = self._rate.take(asker)
        if wait:
            raise TooManyError(
                f"more than {self._rate.per_second:g} requests a second; come back in {wait:.1f} s", wait
            )


_READ: Final = frozenset({b"host", b"x-api-key", b"authorization", b"content-length"})


def _limited(scope: Scope, receive: Receive) -> Receive:
    """`receive` that refuses a body that grows beyond the limit, whatever its header said."""
    if scope["method"] in ("GET", "HEAD", "DELETE", "OPTIONS"):
        return receive
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_LIMIT:
            # Inside a body's reading, FastAPI lets no other exception through as itself.
            raise HTTPException(413)
        return message

    return counted
