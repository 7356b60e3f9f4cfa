"""What every screen's state has: what its page is told, what runs behind it, and how several traits change at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import traitlets as t

from quantkit.core.calendars import exchange_timezone
from quantkit.ui.background import Background
from quantkit.ui.formats import date_words
from quantkit.ui.live import Live

if TYPE_CHECKING:
    from quantkit.data.base import Instrument
    from quantkit.data.quote import Quote
    from quantkit.desk import Desk

__all__ = ["ScreenState", "pill_words", "sentence_of"]


class ScreenState(t.HasTraits):
    """A screen without its widgets.

    Attributes
    ----------
    error : str
        A sentence for the page's banner, or nothing.
    failed : bool
        There is an error and nothing to show.
    busy : bool
        Something that was asked is on its way.
    query : str
        The view as a query string.
    title, pill, status : str
        Of the page, as :class:`~quantkit.ui.page.Page` takes them.
    visible : bool
        Whether anybody sees the page; one that nobody sees hears of the market seldom.
    news, painted : int
        Number of the latest news of the market, and of those that the page has painted; 0 where no page says so.
    """

    error = t.Unicode("")
    failed = t.Bool(False)
    busy = t.Bool(False)
    query = t.Unicode("")
    title = t.Unicode("")
    pill = t.Unicode("")
    status = t.Unicode("")
    visible = t.Bool(True)
    news = t.Int(0)
    painted = t.Int(0)

    def __init__(self, desk: Desk, background: Background | None = None) -> None:
        super().__init__()
        self.desk = desk
        self.background = background or Background()
        self.live = Live(desk, self._heard, self._told)
        self._settling = False
        for name in ("visible", "painted"):
            self.observe(lambda change: setattr(self.live, change.name, change.new), name)

    def close(self) -> None:
        """Stop watching the market, and what runs in the background."""
        self.live.close()
        self.background.close()

    def _follow(self, symbols: Iterable[str]) -> None:
        """Have :meth:`_heard` called with the quotes of these symbols, and of no others, as they come."""
        wanted = frozenset(symbols)
        self.background.ask("live", lambda progress: self.live.follow(wanted), lambda none: None, lambda why: None)

    def _told(self, number: int) -> None:
        """The news that come now have this number; the page paints them with what :meth:`_heard` changes."""
        self.news = number

    def _heard(self, quotes: dict[str, Quote]) -> None:
        """The market has moved. What of it a screen shows is for the screen to say."""

    @contextmanager
    def _settle(self) -> Iterator[None]:
        """Several traits change, and nothing is asked because of it."""
        before, self._settling = self._settling, True
        try:
            yield
        finally:
            self._settling = before


def pill_words(quote: Quote, instrument: Instrument) -> str:
    """The data status in the words of the pill: ``SAMPLE · 2023-09-21``."""
    daily = quote.timestamp == quote.timestamp.normalize()
    zone = "UTC" if daily else exchange_timezone(instrument.calendar)
    as_of = date_words(quote.timestamp, "1d" if daily else "1m", zone)
    stale = f" {quote.age.days} d" if quote.status == "stale" else ""
    return f"{quote.status.upper()}{stale} · {as_of}"


def sentence_of(text: str) -> str:
    """`text` with a capital and a full stop."""
    text = text.strip()
    text = text[:1].upper() + text[1:] if text[:1].islower() and " " in text else text
    return text if text.endswith((".", "!", "?")) else text + "."
