"""Charts of a report as inline SVG: text stays text, the same data gives the same bytes, no script, nothing fetched."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from quantkit.reporting.markup import Html
from quantkit.ui.formats import compact, escape
from quantkit.ui.theme import THEMES, ThemeName, Tokens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from quantkit.forecast import Forecast
    from quantkit.risk import RiskHistory
    from quantkit.risk.backtest_results import VarBacktests

__all__ = ["Charts", "sparkline"]

_drawing = threading.Lock()

_WIDTH: Final = 7.6
#: Sessions before the forecast that are drawn beside it.
_NEAR: Final = 22
#: What of a figure is not matplotlib's own default.
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "quantkit",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "path.simplify_threshold": 0.5,
}


class Charts:
    """Draws results in one theme.

    Every method returns an ``<svg>`` element with a title and a description for those who cannot see it; what it
    says in words it takes from the caller's `alt`.
    """

    def __init__(self, theme: ThemeName = "light") -> None:
        self.tokens: Tokens = THEMES[theme]

    def price(self, bars: pd.DataFrame, forecast: Forecast, *, alt: str) -> Html:
        """Closing price, volume, and the forecast's fan on the sessions that it is for.

        Parameters
        ----------
        bars : DataFrame, shape (T, 6)
            What of the past is drawn.
        """
        t = self.tokens
        close, volume = bars["close"].to_numpy(), bars["volume"].to_numpy()
        heights = (3, 1) if np.isfinite(volume).any() else (1,)

        def draw(figure: Figure) -> None:
            grid = figure.add_gridspec(len(heights), 2, width_ratios=(2.5, 1), height_ratios=heights)
            past = figure.add_subplot(grid[0, 0])
            at = np.arange(len(close))
            past.plot(at, close, color=t.text, linewidth=1.1)
            past.plot(at[-1:], close[-1:], "o", color=t.forecast, markersize=3.5)
            lowest = past
            if len(heights) > 1:
                lowest = figure.add_subplot(grid[1, 0], sharex=past)
                past.tick_params(labelbottom=False)
                rising = np.concatenate([[True], np.diff(close) >= 0])
                for which, colour in ((rising, t.up), (~rising, t.down)):
                    _sticks(lowest, at[which], volume[which], color=colour, alpha=0.55, width=285 / len(at))
                lowest.set_ylim(0)
                lowest.yaxis.set_major_formatter(lambda value, _: compact(value))
            ahead = figure.add_subplot(grid[:, 1])
            self._fan(ahead, bars["close"].iloc[-_NEAR:], forecast)
            for each in figure.axes:
                self._plain(each)
            if lowest is not past:
                lowest.yaxis.set_major_locator(MaxNLocator(2))
            self._dates(lowest, bars.index)
            ends = {_NEAR // 2 - 1: bars.index[-min(_NEAR // 2 + 1, len(bars))],
                    _NEAR - 1 + forecast.horizon: forecast.steps[-1].timestamp}  # fmt: skip
            ahead.set_xticks(list(ends), [f"{time.day} {time:%b}" for time in ends.values()])

        from matplotlib.ticker import MaxNLocator

        return self._svg("price", alt, 3.3, draw)

    def _fan(self, axes: Axes, close: pd.Series, forecast: Forecast) -> None:
        """The last closes and the steps ahead, near enough to read the intervals off."""
        t = self.tokens
        last = float(close.iloc[-1])
        axes.plot(np.arange(_NEAR - len(close), _NEAR), close.to_numpy(), color=t.text, linewidth=1.2)
        ahead = np.arange(_NEAR - 1, _NEAR + forecast.horizon)
        for band, alpha in zip(sorted(forecast.fan, key=lambda each: -each.level), (0.16, 0.22, 0.32), strict=False):
            lower, upper = np.array([last, *band.lower]), np.array([last, *band.upper])
            axes.fill_between(ahead, lower, upper, color=t.forecast, alpha=alpha, linewidth=0)
        axes.plot(ahead, [last, *(step.median for step in forecast.steps)], color=t.forecast, linewidth=1.5)
        if forecast.challenger_path:
            axes.plot(ahead, [last, *forecast.challenger_path], color=t.accent, linewidth=1.1, linestyle=(0, (3, 2)))
        axes.axvline(_NEAR - 1, color=t.line, linewidth=0.8)

    def value_at_risk(self, backtests: VarBacktests, method: str, sessions: int, *, alt: str) -> Html:
        """Returns against the VaR that had been said the day before; a breach is marked."""
        t = self.tokens
        path = backtests.path.iloc[-sessions:]
        came, limit = path["return"].to_numpy(), path[method].to_numpy()
        at = np.arange(len(path))
        broken = came < limit

        def draw(figure: Figure) -> None:
            axes = figure.subplots()
            _sticks(axes, at[~broken], came[~broken], color=t.neutral, width=0.8)
            _sticks(axes, at[broken], came[broken], color=t.down, width=1.3)
            axes.plot(at, limit, color=t.forecast, linewidth=1.1)
            axes.plot(at[broken], came[broken], "o", color=t.down, markersize=3.2)
            self._plain(axes, percent=True)
            self._dates(axes, path.index)

        return self._svg("var", alt, 2.2, draw)

    def drawdown(self, history: RiskHistory, *, alt: str) -> Html:
        """How far below its highest wealth the investment stood."""
        t = self.tokens

        def draw(figure: Figure) -> None:
            axes = figure.subplots()
            values = _thinned(history.drawdown)
            at = np.arange(len(values))
            axes.fill_between(at, values, 0, color=t.down, alpha=0.25, linewidth=0)
            axes.plot(at, values, color=t.down, linewidth=0.9)
            self._plain(axes, percent=True)
            self._dates(axes, values.index)

        return self._svg("drawdown", alt, 1.9, draw)

    def rolling(self, history: RiskHistory, *, alt: str) -> Html:
        """Volatility by several estimators, and the rolling Sharpe ratio, one above the other."""
        t = self.tokens

        def draw(figure: Figure) -> None:
            top, below = figure.subplots(2, 1, sharex=True)
            index = history.returns.index
            at = np.arange(len(index))
            colours = {"rolling": t.neutral, "ewma": t.accent, "yang_zhang": t.up, "garch": t.forecast}
            step = _step(len(index))
            for name in history.volatility.columns:
                top.plot(at[::step], history.volatility[name].to_numpy()[::step], color=colours.get(name, t.text),
                         linewidth=0.9, label=name.replace("_", "-"))  # fmt: skip
            # Above the axes: within them it would stand on a peak of volatility sooner or later.
            top.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, fontsize=7.5,
                       labelcolor=t.muted, borderaxespad=0)  # fmt: skip
            sharpe = history.sharpe.reindex(index).to_numpy()
            below.plot(at[::step], sharpe[::step], color=t.text, linewidth=0.9)
            below.axhline(0, color=t.line, linewidth=0.8)
            self._plain(top, percent=True)
            self._plain(below)
            self._dates(below, index)

        return self._svg("rolling", alt, 2.9, draw)

    def histogram(self, history: RiskHistory, limit: float, *, alt: str) -> Html:
        """How the returns are distributed, with the VaR of the next period."""
        t = self.tokens
        bins = history.histogram

        def draw(figure: Figure) -> None:
            axes = figure.subplots()
            middle = ((bins["lower"] + bins["upper"]) / 2).to_numpy()
            count = bins["count"].to_numpy()
            for which, colour in ((middle < limit, t.down), (middle >= limit, t.neutral)):
                _sticks(axes, middle[which], count[which], color=colour, width=420 / len(bins))
            axes.set_ylim(0)
            axes.axvline(limit, color=t.forecast, linewidth=1.1)
            self._plain(axes)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")

        return self._svg("histogram", alt, 1.9, draw)

    def wealth(self, wealth: pd.DataFrame, names: Sequence[str], *, alt: str) -> Html:
        """Growth of 1 by several strategies, on a logarithmic axis."""
        t = self.tokens

        def draw(figure: Figure) -> None:
            axes = figure.subplots()
            step = _step(len(wealth))
            at = np.arange(len(wealth))[::step]
            for name, colour in zip(names, (t.forecast, t.accent, t.up, t.neutral), strict=False):
                axes.plot(
                    at, wealth[name].to_numpy()[::step], color=colour, linewidth=1.2, label=name.replace("_", " ")
                )
            axes.legend(loc="upper left", frameon=False, fontsize=8, labelcolor=t.muted)
            axes.set_yscale("log")
            self._plain(axes)
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_locator(NullLocator())
            self._dates(axes, wealth.index)

        from matplotlib.ticker import LogLocator, NullLocator

        return self._svg("wealth", alt, 2.6, draw)

    def bars(self, values: pd.Series, *, name: str, alt: str, percent: bool = True) -> Html:
        """One horizontal bar a label, the first on top."""
        t = self.tokens

        def draw(figure: Figure) -> None:
            axes = figure.subplots()
            at = np.arange(len(values))[::-1]
            axes.barh(at, values.to_numpy(), height=0.62, color=np.where(values >= 0, t.up, t.down), linewidth=0)
            axes.axvline(0, color=t.muted, linewidth=0.8)
            self._plain(axes)
            axes.grid(visible=False, axis="y")
            axes.grid(visible=True, axis="x", color=t.grid, linewidth=0.8)
            axes.set_yticks(at, [str(label) for label in values.index])
            axes.yaxis.tick_left()
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.3%}" if percent else f"{value:.3g}")

        return self._svg(name, alt, 0.6 + 0.2 * len(values), draw)

    def _plain(self, axes: Axes, *, percent: bool = False) -> None:
        t = self.tokens
        axes.grid(visible=True, axis="y", color=t.grid, linewidth=0.8)
        axes.tick_params(colors=t.muted, length=0, labelsize=8)
        axes.spines["bottom"].set_color(t.line)
        axes.yaxis.tick_right()
        axes.margins(x=0.01)
        if percent:
            axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:g}%")

    def _dates(self, axes: Axes, times: pd.DatetimeIndex) -> None:
        """Labels of a bar-number axis: the first session of each month, or of each year where there are many."""
        span = (times[-1] - times[0]).days
        parts, form = (times.year, "%Y") if span > 900 else (times.year * 12 + times.month, "%b %Y")
        first = np.flatnonzero(np.concatenate([[False], parts[1:] != parts[:-1]]))
        first = first[:: max(1, -(-len(first) // 8))]
        if len(first):
            axes.set_xticks(first, [f"{times[at]:{form}}" for at in first])
        else:
            ends = [0, len(times) - 1]
            axes.set_xticks(ends, [f"{times[at]:%Y-%m-%d}" for at in ends])

    def _svg(self, name: str, alt: str, height: float, draw: Callable[[Figure], None]) -> Html:
        from matplotlib.figure import Figure

        # Not through pyplot, which would choose a window system and keep every figure that a worker draws.
        with _own_style():
            figure = Figure(figsize=(_WIDTH, height), layout="constrained")
            figure.set_facecolor("none")
            draw(figure)
            for axes in figure.axes:
                axes.set_facecolor("none")
            written = io.StringIO()
            figure.savefig(
                written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
            )
        return Html(_inline(written.getvalue(), name, alt))


@contextmanager
def _own_style() -> Iterator[None]:
    """matplotlib's defaults with :data:`_STYLE`, whatever a person's matplotlibrc or another library has set."""
    import matplotlib as mpl

    # The settings are the process's: a second thread's would be those of this one, or the reverse.
    with _drawing, mpl.rc_context():
        # The backend alone stays: savefig names its own, and to look that one up would choose a window system.
        wanted = {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")} | _STYLE
        mpl.rcParams.update({name: value for name, value in wanted.items() if mpl.rcParams[name] != value})
        yield


def _sticks(axes: Axes, at: np.ndarray, heights: np.ndarray, *, color: str, width: float, alpha: float = 1.0) -> None:
    """Upright bars from zero as one path; as patches, each would be an element of its own."""
    gap = np.full(len(at), np.nan)
    x, y = np.column_stack([at, at, gap]).ravel(), np.column_stack([np.zeros(len(at)), heights, gap]).ravel()
    axes.plot(x, y, color=color, linewidth=width, alpha=alpha, solid_capstyle="butt")


def sparkline(values: Sequence[float], *, alt: str, theme: ThemeName = "light") -> Html:
    """A line of `values` without axes, for a table's cell."""
    t = THEMES[theme]
    series = np.asarray(values, dtype=np.float64)
    low, high = float(series.min()), float(series.max())
    span = high - low or 1.0
    points = " ".join(
        f"{116 * at / max(len(series) - 1, 1) + 2:.1f},{22 - 18 * (value - low) / span:.1f}"
        for at, value in enumerate(series)
    )
    colour = t.up if series[-1] >= series[0] else t.down
    return Html(
        f'<svg class="spark" role="img" aria-label="{escape(alt)}" width="120" height="26" viewBox="0 0 120 26">'
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.4" points="{points}"/></svg>'
    )


def _step(count: int, most: int = 700) -> int:
    return max(1, -(-count // most))


def _thinned(series: pd.Series, most: int = 700) -> pd.Series:
    """At most about `most` points of `series`: the lowest of each run, so that no trough is lost."""
    step = _step(len(series), most)
    if step == 1:
        return series
    groups = np.arange(len(series)) // step
    return series.loc[series.groupby(groups).idxmin()]


_REFERENCE: Final = re.compile(r'(?:url\(#|href="#)([^")]+)')
_ID: Final = re.compile(r' id="([^"]+)"')
_ROOT: Final = re.compile(r"<svg\b[^>]*>")


def _inline(document: str, name: str, alt: str) -> str:
    """The ``<svg>`` element alone, fit to stand beside others: ids that nothing refers to go, others get a prefix."""
    body = document[document.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    used = set(_REFERENCE.findall(body))
    body = _ID.sub(lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", body)
    body = _REFERENCE.sub(lambda found: found[0][: -len(found[1])] + f"{name}-{found[1]}", body)
    body = body.replace("xlink:href", "href")
    # What matplotlib repeats on every glyph; the style sheet says it once.
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    body = re.sub(r" font-family: [^;\"]*;", "", body)
    body = re.sub(r"\s*\n\s*", " ", body)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body).replace("<defs>  </defs>", "")
    root = _ROOT.search(body)
    assert root is not None
    box = re.search(r'viewBox="[^"]+"', root[0])
    assert box is not None
    opened = (
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" {box[0]} role="img" aria-label="{escape(alt)}">'
        f"<title>{escape(alt)}</title>"
    )
    return opened + body[root.end() :].strip()
