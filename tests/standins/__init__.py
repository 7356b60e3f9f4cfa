"""Loopback servers that speak each vendor's form, with faults on demand; the real client libraries talk to them.

Each is a context manager on an ephemeral port of 127.0.0.1 and serves a :class:`Truth`, which a test may change while
the server runs. ``requests`` are the questions that came in, ``fail(...)`` queues faults for the next ones. The streams
have ``send``, ``close``, ``drop``, ``half_a_frame`` and ``wait_for``.

    from standins import Truth
    from standins.yahoo import YahooStandin

    with YahooStandin(Truth.of("AAPL", "MSFT")) as yahoo:
        settings = Settings.load(provider="yahoo", yahoo_url=yahoo.url, yahoo_stream_url=yahoo.stream_url, ...)
        yahoo.fail("429", retry_after=30)
"""

from standins.server import FAULTS, HttpStandin, Question, StreamStandin
from standins.truth import Listing, Truth, candles

__all__ = ["FAULTS", "HttpStandin", "Listing", "Question", "StreamStandin", "Truth", "candles"]
