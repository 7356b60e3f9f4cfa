"""The bridge between a screen's kernel and the page around it; its other end is the page template's script.

Kernel to page: a hidden HTML widget of class ``qk-message`` whose span carries JSON. Page to kernel: a hidden Text
widget of class ``qk-command`` that receives JSON with a running ``n``. What comes from the page is input like any
other.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from html import escape
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import ipywidgets as widgets
import traitlets as t

from quantkit.core.errors import UsageError
from quantkit.core.schema import check_symbol
from quantkit.ui.outbox import Outbox
from quantkit.ui.theme import THEMES

__all__ = ["MAX_SYMBOLS", "Page", "query_string", "read_command"]

MAX_SYMBOLS: Final = 100
_LONGEST: Final = 10_000


def query_string() -> str:
    """The visitor's query string under Voila, without the token; empty everywhere else.

    In a pre-heated kernel this waits for the visitor: call it after the imports.
    """
    text = ""
    if "VOILA_PREHEAT" in os.environ or os.environ.get("SERVER_SOFTWARE", "").startswith("voila/"):
        from quantkit.serve.visitor import visitor_query

        text = visitor_query()
    return urlencode([(key, value) for key, value in parse_qsl(text, keep_blank_values=True) if key != "token"])


def read_command(text: str) -> dict[str, Any]:
    """What the page asks for, checked; anything malformed or unknown is left out.

    Returns
    -------
    dict
        Some of ``n`` (int), ``symbol`` (str), ``theme`` (a known one), ``visible`` (bool), ``width`` (int, pixels),
        ``painted`` (int), ``watchlist`` (list of symbols), ``retry`` (True).

    Examples
    --------
    >>> read_command('{"n": 3, "symbol": " msft ", "width": "wide", "shell": "rm"}')
    {'n': 3, 'symbol': 'MSFT'}
    >>> read_command('{"symbol": "<script>"')
    {}
    """
    if len(text) > _LONGEST:
        return {}
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(asked, dict):
        return {}
    read: dict[str, Any] = {}
    if isinstance(asked.get("n"), int):
        read["n"] = asked["n"]
    painted = asked.get("painted")
    if isinstance(painted, int) and not isinstance(painted, bool) and painted > 0:
        read["painted"] = painted
    symbol = _symbol(asked.get("symbol"))
    if symbol is not None:
        read["symbol"] = symbol
    if isinstance(asked.get("theme"), str) and asked["theme"] in THEMES:
        read["theme"] = asked["theme"]
    if isinstance(asked.get("visible"), bool):
        read["visible"] = asked["visible"]
    width = asked.get("width")
    if isinstance(width, (int, float)) and not isinstance(width, bool) and 1 <= width <= 20_000:
        read["width"] = int(width)
    if isinstance(asked.get("watchlist"), list):
        names = [_symbol(each) for each in asked["watchlist"][:MAX_SYMBOLS]]
        read["watchlist"] = list(dict.fromkeys(name for name in names if name is not None))
    if asked.get("retry") is True:
        read["retry"] = True
    return read


def _symbol(value: object) -> str | None:
    try:
        return check_symbol(value)
    except UsageError:
        return None


class Page(t.HasTraits):
    """What the frame around a screen shows, as traits to link to, and what it asks for.

    Attributes
    ----------
    ready, failed : bool
        The first figure has really been drawn with data; nothing can be drawn at all.
    state : {"loading", "ready", "error"}
        Follows from these two.
    symbol, query, title, error : str
        An empty `error` takes the banner away.
    status, pill : str
        Kind of data, and the words for it.
    watchlist : list of str or None
        To be kept until the next visit; None says nothing, so that what the page remembers stands.
    theme : {"dark", "light"}
        As the page has it.
    visible : bool
        Whether the page is in a visible tab.
    news, painted : int
        Number of the latest news of the market, and of those that the page has painted.
    widget : Box
        To be displayed once, anywhere; it cannot be seen.
    """

    state = t.Enum(("loading", "ready", "error"), default_value="loading")
    ready = t.Bool(False)
    failed = t.Bool(False)
    symbol = t.Unicode("")
    query = t.Unicode("")
    title = t.Unicode("")
    error = t.Unicode("")
    status = t.Unicode("")
    pill = t.Unicode("")
    watchlist = t.List(t.Unicode(), default_value=None, allow_none=True)
    theme = t.Enum(tuple(THEMES), default_value="dark")
    visible = t.Bool(True)
    news = t.Int(0)
    painted = t.Int(0)
    width = t.Int(0)

    _SAID: Final = ("state", "symbol", "query", "title", "error", "status", "pill", "watchlist", "news")

    def __init__(self) -> None:
        super().__init__()
        self._outbox = Outbox()
        self._message = widgets.HTML().add_class("qk-message")
        self._command = widgets.Text().add_class("qk-command")
        self.widget = widgets.Box([self._message, self._command, self._outbox]).add_class("qk-bridge")
        self._handlers: list[Callable[[dict[str, Any]], None]] = []
        self._transfers = 0
        self._last = -1
        self._known: set[str] = {"state", "error"}
        self._command.observe(lambda change: self.receive(change.new), "value")
        self.observe(lambda change: self.say(**{change.name: change.new}), list(self._SAID))
        self.observe(lambda change: self._judge(), ["ready", "failed"])
        self.say()

    def say(self, **values: Any) -> None:
        """Tell the page; what was said before is said again: only the newest message is there when it connects."""
        transfer = {name: values.pop(name) for name in ("download", "copy") if name in values}
        self._known |= set(values)
        with self.hold_trait_notifications():
            for name, value in values.items():
                if getattr(self, name) != value:
                    setattr(self, name, value)
        said = {name: getattr(self, name) for name in self._SAID if name in self._known}
        message = {name: value for name, value in said.items() if value is not None} | transfer
        text = escape(json.dumps(message, separators=(",", ":")), quote=True)
        self._message.value = f"<span class='qk-message' data-qk-message='{text}'></span>"

    def download(self, name: str, content: str | bytes, mime: str = "text/csv") -> None:
        """Have the browser save a file."""
        self._transfers += 1
        raw = content.encode() if isinstance(content, str) else content
        self.say(
            download={
                "id": self._transfers,
                "name": name,
                "mime": mime,
                "base64": base64.b64encode(raw).decode("ascii"),
            }
        )

    def copy(self, text: str) -> None:
        """Put a text on the visitor's clipboard."""
        self._transfers += 1
        self.say(copy={"id": self._transfers, "text": text})

    def _judge(self) -> None:
        # Once there is a figure the screen lives: a later failure is a sentence, not the end of it.
        if self.state != "ready":
            self.state = "ready" if self.ready else "error" if self.failed else "loading"

    def on_command(self, handler: Callable[[dict[str, Any]], None]) -> None:
        """Call `handler` with every checked command; see :func:`read_command`."""
        self._handlers.append(handler)

    def receive(self, text: str) -> None:
        """Take a command from the page."""
        asked = read_command(text)
        number = asked.get("n", self._last + 1)
        if not asked or number <= self._last:
            return
        self._last = number
        for name in ("theme", "visible", "width", "painted"):
            if name in asked:
                setattr(self, name, asked[name])
        for handler in self._handlers:
            handler(asked)
