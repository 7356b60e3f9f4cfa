"""Asking the local cluster through its scheduler's process, which holds the Dask client for everybody.

A Dask client costs a process 38 MB and a second of imports (measured); a dashboard's kernel has neither to spare.
So the scheduler that ``quantkit up`` starts also listens on a second port of the loopback interface, where a question
is one connection: a token, the sealed order, then signs of life, progress and the answer back.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import socket
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import IO, TYPE_CHECKING, Any

from quantkit.compute.link import Gone, Link, receive, send
from quantkit.compute.shared import Avoided, Flight, SharedCompute, Unavailable
from quantkit.compute.task import Envelope, Order, Sealed, StoreAddress, open_order, travelling
from quantkit.core.errors import Cancelled

if TYPE_CHECKING:
    from quantkit.settings import Settings

__all__ = ["Broker", "BrokerBackend", "broker_file"]

log = logging.getLogger("quantkit.compute")

TOKEN_BYTES = 32
REACH_SECONDS = 4.0
ALIVE_SECONDS = 1.0


def broker_file(address_file: Path) -> Path:
    """Where a scheduler that writes its address to `address_file` writes how its broker is reached."""
    return address_file.with_name(address_file.name + ".broker")


class BrokerBackend:
    """The local cluster by way of its broker, or ``Unavailable`` within about ten seconds."""

    name = "dask"

    def __init__(self, settings: Settings, address_file: Path) -> None:
        self._store = StoreAddress.of(settings)
        self._file = broker_file(address_file)
        self._avoided = Avoided()

    @property
    def available(self) -> bool:
        """False for half a minute after it was found wanting."""
        return self._avoided.available

    def answer(self, flight: Flight) -> Envelope:
        """Ask, and wait as long as the broker says that a living worker has the question."""
        sealed = Sealed.seal(Order(flight.task, self._store))
        self._avoided.check()
        try:
            return self._ask(sealed, flight)
        except Unavailable:
            self._avoided.avoid()
            raise

    def warm(self) -> None:
        """See whether a broker listens."""
        try:
            self._connect().close()
        except Unavailable:
            self._avoided.avoid()
            raise

    def close(self) -> None:
        """Nothing is held between questions."""

    def _ask(self, sealed: Sealed, flight: Flight) -> Envelope:
        connection = self._connect()
        link = Link(connection.makefile("rb"), connection.makefile("wb"), closed=lambda: _end(connection))
        try:
            link.send("ask", sealed)
            while True:
                if flight.cancelled.is_set():
                    link.send("cancel")
                    raise Cancelled("the question was withdrawn")
                match link.receive():
                    case ("progress", int(done), int(total), str(doing)):
                        with suppress(Cancelled):
                            flight.report(done, total, doing)
                    case ("done", Envelope() as envelope):
                        break
        except Gone as gone:
            _end(connection)
            raise Unavailable(f"the cluster's broker is {gone}") from None
        finally:
            link.close()
        if envelope.kind == "unable" or isinstance(envelope.error, Unavailable):
            raise Unavailable(envelope.said or str(envelope.error))
        return envelope

    def _connect(self) -> socket.socket:
        deadline = monotonic() + REACH_SECONDS
        while True:
            try:
                address, token = self._file.read_text().split()
                host, _, port = address.rpartition(":")
                connection = socket.create_connection((host, int(port)), timeout=REACH_SECONDS)
                connection.settimeout(None)
                connection.sendall(token.encode())
                return connection
            except (OSError, ValueError) as error:
                if monotonic() > deadline:
                    raise Unavailable(f"no broker is reached by way of {self._file}: {error}") from None
                sleep(0.2)


def _end(connection: socket.socket) -> None:
    # Shut down, not only closed: that also wakes a thread that reads from it.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class Broker:
    """The listening side, in the scheduler's process; every question has a thread of its own that mostly waits."""

    def __init__(self, host: str, scheduler: str) -> None:
        self._scheduler = scheduler
        self._token = secrets.token_hex(TOKEN_BYTES // 2)
        self._listener = socket.create_server((host, 0))
        self._computes: dict[StoreAddress, SharedCompute] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="quantkit-broker", daemon=True).start()

    def describe(self) -> str:
        """What `broker_file` holds."""
        host, port = self._listener.getsockname()[:2]
        return f"{host}:{port} {self._token}"

    def close(self) -> None:
        """Take no more questions."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="quantkit-asker", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # The end of the connection is no withdrawal: what a vanished asker wanted to know is finished and kept.
        withdrawn = threading.Event()
        with connection, connection.makefile("rb") as source, connection.makefile("wb") as sink, suppress(OSError):
            # Nothing is unpickled for somebody who cannot read our files.
            if not hmac.compare_digest(source.read(TOKEN_BYTES), self._token.encode()):
                return
            while (message := receive(source)) is not None:
                match message:
                    case ("ask", Sealed() as sealed):
                        arguments = (sink, sealed, withdrawn)
                        threading.Thread(target=self._answer, args=arguments, daemon=True).start()
                    case ("cancel",):
                        withdrawn.set()

    def _answer(self, stream: IO[bytes], sealed: Sealed, withdrawn: threading.Event) -> None:
        told: Any = None
        spoke = monotonic()

        def say(*message: Any) -> None:
            nonlocal spoke
            spoke = monotonic()
            with suppress(OSError, ValueError):
                send(stream, message)

        def report(done: int, total: int, doing: str = "") -> None:
            nonlocal told
            if withdrawn.is_set():
                raise Cancelled("the question was withdrawn")
            if (done, total, doing) != told:
                told = (done, total, doing)
                say("progress", done, total, doing)
            elif monotonic() - spoke > ALIVE_SECONDS:
                say("alive")

        say("alive")
        try:
            order = open_order(sealed)
            envelope = order if isinstance(order, Envelope) else self._compute(order.store).answer(order.task, report)
        except Cancelled:
            envelope = Envelope("cancelled")
        except Exception as error:
            envelope = travelling(Envelope("error", error=error))
        say("done", envelope)

    def _compute(self, address: StoreAddress) -> SharedCompute:
        from quantkit.compute.cluster import DaskBackend

        with self._lock:
            compute = self._computes.get(address)
            if compute is None:
                store = address.open()
                if store is None:
                    raise Unavailable(f"the cluster's broker cannot open the store under {address.home}")
                settings = address.settings(scheduler=self._scheduler)
                compute = self._computes[address] = SharedCompute(store, DaskBackend(settings, store))
            return compute
