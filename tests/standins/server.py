"""What the stand-ins share: an HTTP server with faults on demand, and a WebSocket server that a test drives."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

#: ``429`` (with `retry_after` or without), ``500``, ``stall`` (no answer), ``truncated`` (half of the JSON, complete by
#: its length), ``half`` (the connection breaks within the body), ``html`` (a web page, status 200), ``drop`` (no
#: answer, connection closed).
FAULTS = ("429", "500", "stall", "truncated", "half", "html", "drop")


@dataclass(frozen=True)
class Question:
    """One request as it arrived."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True)
class _Fault:
    kind: str
    on: str
    retry_after: float | None


class HttpStandin:
    """Serves ``answer`` on loopback; ``url`` is what to set as the vendor's."""

    def __init__(self) -> None:
        self.requests: list[Question] = []
        self.ending = threading.Event()
        self._faults: deque[_Fault] = deque()
        self._lock = threading.Lock()
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                standin._serve(self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, question: Question) -> tuple[int, Any] | tuple[int, Any, dict[str, str]]:
        """Status and body (text, or what JSON can hold), perhaps headers."""
        raise NotImplementedError

    def counts(self, question: Question) -> bool:
        """Whether a request is one for data, which faults are for and limits count."""
        return True

    def fail(self, kind: str, *, times: int = 1, on: str = "", retry_after: float | None = None) -> None:
        """Let the next `times` requests for data whose path and query contain `on` end in the fault `kind`."""
        assert kind in FAULTS, kind
        with self._lock:
            self._faults.extend([_Fault(kind, on, retry_after)] * times)

    def heal(self) -> None:
        """Forget the faults that are still queued."""
        with self._lock:
            self._faults.clear()

    def asked(self, containing: str = "") -> int:
        """How many requests for data came in whose path and query contain that."""
        return sum(self.counts(each) and containing in _text(each) for each in list(self.requests))

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        question = Question(parts.path, query, dict(handler.headers.items()))
        with self._lock:
            self.requests.append(question)
            fault = None
            if self.counts(question):
                fault = next((each for each in self._faults if each.on in _text(question)), None)
                if fault is not None:
                    self._faults.remove(fault)
        if fault is None:
            self._reply(handler, *self.answer(question))
        elif fault.kind == "429":
            wait = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            self._reply(handler, 429, "Too Many Requests", wait)
        elif fault.kind == "500":
            self._reply(handler, 500, {"error": "internal"})
        elif fault.kind == "html":
            self._reply(handler, 200, "<!doctype html><html><body>Please wait a moment</body></html>")
        elif fault.kind in ("stall", "drop"):
            self.ending.wait(None if fault.kind == "stall" else 0)
            handler.close_connection = True
            _abort(handler.connection)
        else:
            body = _bytes(self.answer(question)[1])
            if fault.kind == "truncated":
                self._reply(handler, 200, body[: len(body) // 2].decode())
            else:
                self._send(handler, 200, body[: len(body) // 2], {}, length=len(body))
                handler.close_connection = True
                _abort(handler.connection)

    def _reply(
        self, handler: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None
    ) -> None:
        data = _bytes(body)
        self._send(handler, status, data, headers or {}, length=len(data))

    def _send(
        self, handler: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str], *, length: int
    ) -> None:
        try:
            handler.send_response(status)
            text = data[:1] not in (b"{", b"[")
            kind = "text/html" if data[:2] == b"<!" else "text/plain" if text else "application/json"
            for name, value in ({"Content-Type": kind, "Content-Length": str(length)} | headers).items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(data)
            handler.wfile.flush()
        except OSError:
            handler.close_connection = True

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class StreamStandin:
    """A WebSocket server of which a test says what it sends and how it breaks; ``url`` is what to connect to."""

    def __init__(self, greet: Callable[[StreamStandin, ServerConnection], None], heard: Callable[..., None]) -> None:
        self.heard: list[Any] = []
        self.subscribed: set[str] = set()
        self.connections = 0
        self._open: list[ServerConnection] = []
        self._changed = threading.Condition()
        self._greet, self._hear = greet, heard
        # What a server logs of its clients is not the clients' doing: tests look for keys in all that is logged.
        quiet = logging.getLogger("standins.stream")
        quiet.setLevel(logging.WARNING)
        self._server = serve(self._handle, "127.0.0.1", 0, ping_interval=None, logger=quiet)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def _handle(self, connection: ServerConnection) -> None:
        with self._changed:
            self.connections += 1
            self._open.append(connection)
            self.subscribed = set()
            self._changed.notify_all()
        try:
            self._greet(self, connection)
            for text in connection:
                message = json.loads(text)
                self._hear(self, connection, message)
                with self._changed:
                    self.heard.append(message)
                    self._changed.notify_all()
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self._changed:
                if connection in self._open:
                    self._open.remove(connection)
                self._changed.notify_all()

    def wait_for(self, *symbols: str, timeout: float = 30) -> None:
        """Until a listener is connected that has subscribed to `symbols`."""
        with self._changed:
            done = self._changed.wait_for(lambda: self._open and self.subscribed.issuperset(symbols), timeout)
        assert done, f"nobody subscribed to {symbols} in {timeout} s; heard {self.heard}"

    def wait_for_connections(self, count: int, timeout: float = 30) -> None:
        """Until `count` connections have been made in all."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.connections >= count, timeout), self.connections

    def send_text(self, text: str) -> None:
        """The same frame to every listener."""
        for connection in list(self._open):
            with suppress(ConnectionClosed):
                connection.send(text)

    def close(self) -> None:
        """Close every connection cleanly, as a vendor does that restarts."""
        for connection in list(self._open):
            connection.close()

    def drop(self) -> None:
        """Break every connection without a word."""
        for connection in list(self._open):
            _abort(connection.socket)

    def half_a_frame(self) -> None:
        """Send the header of a frame and part of its body, then break the connection."""
        for connection in list(self._open):
            connection.socket.sendall(b"\x81\x7e\x01\x00" + b'{"message":')
            time.sleep(0.05)
            _abort(connection.socket)

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.drop()
        self._server.shutdown()

    @contextmanager
    def running(self) -> Iterator[StreamStandin]:
        self.start()
        try:
            yield self
        finally:
            self.stop()


def _abort(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _text(question: Question) -> str:
    return question.path + "?" + "&".join(f"{name}={value}" for name, value in question.query.items())
