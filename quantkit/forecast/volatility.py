"""Volatility of the next bars by every model, each beside how good it has been on the same walk through the past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from quantkit.core.calendars import periods_per_year
from quantkit.core.errors import ComputeError, DataError, UsageError
from quantkit.core.fingerprint import fingerprint as fingerprint_of
from quantkit.core.kept import History
from quantkit.core.progress import Progress, silent
from quantkit.core.results import Result
from quantkit.core.returns import annualise_volatility
from quantkit.core.schema import Interval, check_bars, check_interval
from quantkit.core.walkforward import Slice, WalkForward
from quantkit.forecast.confidence_set import CONFIDENCE_SEED, CONFIDENCE_SIZE, confidence_set
from quantkit.forecast.target import close_returns, session_gaps
from quantkit.forecast.volatility_models import VOLATILITY_MODELS, VolatilityModel
from quantkit.forecast.walk import GRID, MIN_ORIGINS, MIN_TRAIN, Plan, check_horizon, check_origins
from quantkit.risk.garch import GARCH_MINIMUM

__all__ = ["VolatilityLeaderboard", "VolatilityStanding", "qlike", "volatility_leaderboard"]

_NAN = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class VolatilityStanding(Result):
    """One model's forecast and its record; NaN and empty where it failed.

    Attributes
    ----------
    model : str
    per_period : tuple of float
        Standard deviation of the return of each of the next bars, a decimal.
    annualised : float
        Of their root mean square.
    qlike : float
        Mean of :func:`qlike` at the horizon, against the sum of squared returns; smaller is better.
    qlike_range : float
        The same against squared gaps and ranges, a less noisy proxy; NaN on bars without highs and lows.
    ratio : float
        Mean forecast over mean realised variance: above 1 the model said too much.
    set_p_value : float
        Smallest size at which the model would leave the model confidence set on QLIKE.
    in_confidence_set : bool
        Whether it cannot be told from the best.
    failure : str
        Why the model could not be used; empty when it could.
    """

    model: str
    per_period: tuple[float, ...] = ()
    annualised: float = _NAN
    qlike: float = _NAN
    qlike_range: float = _NAN
    ratio: float = _NAN
    set_p_value: float = _NAN
    in_confidence_set: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class VolatilityLeaderboard(Result):
    """Models of volatility ranked by QLIKE at one horizon; failed ones last.

    Attributes
    ----------
    symbol, interval : str
    horizon : int
        Bars ahead over which variance is summed.
    origins : int
        Walk-forward outcomes that the models were scored on.
    as_of : Timestamp
    periods_per_year : float
        What `annualised` was annualised with.
    rows : tuple of VolatilityStanding
    fingerprint : str
    confidence_size : float
        Of the model confidence set.
    confidence_seed : int
        Of its bootstrap.
    """

    symbol: str
    interval: str
    horizon: int
    origins: int
    as_of: pd.Timestamp
    periods_per_year: float
    rows: tuple[VolatilityStanding, ...]
    fingerprint: str
    confidence_size: float = CONFIDENCE_SIZE
    confidence_seed: int = CONFIDENCE_SEED

    @property
    def best(self) -> VolatilityStanding:
        """The model with the smallest QLIKE."""
        return self.rows[0]

    @property
    def failures(self) -> dict[str, str]:
        """Reason by model, for those that could not be used."""
        return {row.model: row.failure for row in self.rows if row.failure}

    def to_frame(self) -> pd.DataFrame:
        """One row a model, indexed by ``model``, in order of rank; ``next`` is the next bar's volatility."""
        names = ("annualised", "qlike", "qlike_range", "ratio", "set_p_value", "in_confidence_set", "failure")
        rows = [
            {"model": row.model, "next": row.per_period[0] if row.per_period else _NAN}
            | {name: getattr(row, name) for name in names}
            for row in self.rows
        ]
        return pd.DataFrame(rows).set_index("model")

    def in_words(self) -> str:
        """Which model is best, and which cannot be told from it."""
        others = [row.model for row in self.rows[1:] if row.in_confidence_set]
        beside = f"not told from it: {', '.join(others)}" if others else "every other model is told from it"
        failed = f" Failed: {', '.join(self.failures)}." if self.failures else ""
        return (
            f"{self.best.model} has the smallest QLIKE over {self.origins} origins, {self.horizon} "
            f"step{'s' if self.horizon > 1 else ''} ahead; {beside} ({self.confidence_size:.0%} model confidence "
            f"set).{failed}"
        )

    def _repr_html_(self) -> str:
        """Table of the rows under a caption in words, for JupyterLab."""
        shown = {
            "next": "{:.3%}",
            "annualised": "{:.2%}",
            "qlike": "{:.4f}",
            "qlike_range": "{:.4f}",
            "ratio": "{:.2f}",
        }
        header = "".join(f"<th scope='col'>{name.replace('_', ' ')}</th>" for name in ("model", *shown, "in set"))
        body = ""
        for model, row in self.to_frame().iterrows():
            cells = "".join(
                f"<td>{'–' if np.isnan(row[name]) else form.format(row[name])}</td>" for name, form in shown.items()
            )
            held = escape(row["failure"]) or ("yes" if row["in_confidence_set"] else "no")
            body += f"<tr><th scope='row'>{escape(str(model))}</th>{cells}<td>{held}</td></tr>"
        return (
            f"<table><caption style='text-align:left'><b>{escape(self.symbol)}</b> volatility, {self.horizon} ahead<br>"
            f"{escape(self.in_words())}</caption><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
        )


def qlike(proxy: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Loss ``ln(variance) + proxy / variance`` of variance forecasts, element by element.

    Ranks forecasts as the true variance would where `proxy` is an unbiased estimate of it, however noisy, such as a
    squared return; and is finite where nothing moved.

    References
    ----------
    Patton, A. J. (2011). Volatility forecast comparison using imperfect volatility proxies. Journal of Econometrics
    160(1).
    """
    return np.log(variance) + proxy / variance


def volatility_leaderboard(
    bars: pd.DataFrame,
    *,
    models: Sequence[str] | None = None,
    horizon: int = 5,
    origins: int = 250,
    interval: Interval = "1d",
    calendar: str = "XNYS",
    symbol: str = "",
    progress: Progress = silent,
    fingerprint: str = "",
) -> VolatilityLeaderboard:
    """Forecasts of volatility by all models, with the loss that each has had on one walk through the past.

    Parameters
    ----------
    bars : DataFrame, shape (T, 6)
        A bars frame. With fewer than 290 rows and one for each step the GARCH family cannot be walked, and fails.
    models : sequence of str, optional
        Names in ``VOLATILITY_MODELS``; all that can forecast the interval by default.
    horizon : int
        Bars ahead, 1 to 60: the variance summed over them is scored.
    origins : int
        Outcomes to be scored, 40 to 5,000; fewer where the history is short.
    interval : {"1d", "1m"}
    calendar : str
        Exchange whose minutes a year has.
    symbol, progress, fingerprint
        As for :func:`~quantkit.forecast.predict`.

    Raises
    ------
    UsageError
        The question makes no sense; lists what would.
    DataError
        Too few bars, constant prices, a bar out of shape.
    ComputeError
        Not one model could be used; with their reasons.
    """
    from quantkit.core.threads import one_thread
    from quantkit.forecast.inquiry import refuse_constant

    interval = check_interval(interval)
    horizon, origins = check_horizon(horizon), check_origins(origins)
    names = _names(models, interval)
    symbol = symbol or str(bars.attrs.get("symbol", ""))
    check_bars(bars, name=symbol or "bars")
    refuse_constant(bars, symbol or "bars")
    plan = _plan(len(bars), horizon, origins, symbol or "bars")
    if not fingerprint:
        question = {"kind": "volatility", "models": names, "horizon": horizon, "origins": origins,
                    "interval": interval, "calendar": calendar, "symbol": symbol}  # fmt: skip
        fingerprint = fingerprint_of(question, bars)
    returns = np.expm1(close_returns(bars))
    scored = plan.scored(horizon)
    realised = _summed(returns**2, plan, scored)
    ranged = _summed(_range_squares(bars, returns), plan, scored)
    history = History(bars, plan.first)
    paths, failures = {}, {}
    with one_thread():
        for count, name in enumerate(names):

            def part(done: int, total: int, doing: str = "", count: int = count) -> None:
                progress(count * total + done, len(names) * total, doing)

            try:
                paths[name] = _walk(name, bars, returns, plan, history, part)
            except (DataError, ComputeError, ValueError, ArithmeticError) as error:
                failures[name] = str(error)
    if not paths:
        raise ComputeError(f"{symbol or 'bars'}: no model of volatility could be used: {'; '.join(failures.values())}")
    forecast = {name: path[scored].sum(axis=1) for name, path in paths.items()}
    losses = {name: qlike(realised, said) for name, said in forecast.items()}
    held = confidence_set(losses, horizon=horizon)
    a_year = periods_per_year(interval, calendar)
    rows = [
        VolatilityStanding(
            model=name,
            per_period=tuple(np.sqrt(path[-1]).tolist()),
            annualised=float(annualise_volatility(np.sqrt(path[-1].mean()), periods_per_year=a_year)),
            qlike=_mean(losses[name]),
            qlike_range=_mean(qlike(ranged, forecast[name])),
            ratio=_mean(np.where(np.isnan(realised), np.nan, forecast[name])) / _mean(realised),
            set_p_value=held[name],
            in_confidence_set=held[name] > CONFIDENCE_SIZE,
        )
        for name, path in paths.items()
    ]
    rows.sort(key=lambda row: (row.qlike, names.index(row.model)))
    return VolatilityLeaderboard(
        symbol=symbol,
        interval=interval,
        horizon=horizon,
        origins=int(np.count_nonzero(~np.isnan(realised))),
        as_of=bars.index[-1],
        periods_per_year=a_year,
        rows=(*rows, *(VolatilityStanding(model=name, failure=reason) for name, reason in failures.items())),
        fingerprint=fingerprint,
    )


def _names(models: Sequence[str] | None, interval: str) -> list[str]:
    if isinstance(models, str):
        raise UsageError(f"models {models!r} is one name; expected a list such as ['ewma', {models!r}]")
    if models is None:
        return [name for name, kind in VOLATILITY_MODELS.items() if interval in kind.intervals]
    for name in models:
        if interval not in VOLATILITY_MODELS[name].intervals:
            raise UsageError(f"{name} forecasts {' and '.join(VOLATILITY_MODELS[name].intervals)} bars, not {interval}")
    if not models:
        raise UsageError(f"no model was named; choose from {', '.join(VOLATILITY_MODELS)}")
    return list(dict.fromkeys(models))


def _plan(length: int, horizon: int, origins: int, name: str) -> Plan:
    """A walk from a row that stays where it is for some months, so that it can be gone on with."""
    first = (length - horizon - origins + 1) // GRID * GRID - 1
    if first < GARCH_MINIMUM:
        # A short history gives up origins, down to 40, before it gives up what the GARCH family needs.
        first = min(GARCH_MINIMUM, length - horizon - MIN_ORIGINS)
    if first < MIN_TRAIN - 1:
        raise DataError(
            f"{name}: {length} bars are too few for a forecast of volatility with its proof; at least "
            f"{MIN_TRAIN - 1 + MIN_ORIGINS + horizon} are needed"
        )
    return Plan(first=first, length=length, horizon=horizon, origins=min(origins, length - horizon - first))


@dataclass(frozen=True, slots=True)
class _Walked:
    model: VolatilityModel
    paths: np.ndarray


def _walk(
    name: str, bars: pd.DataFrame, returns: np.ndarray, plan: Plan, history: History, progress: Progress
) -> np.ndarray:
    """Variances by one model at every origin, shape (origins, horizon); gone on with where `history` knows it."""
    kind = VOLATILITY_MODELS[name]
    key = ("volatility", kind, plan.horizon)
    kept: _Walked | None = history.take(*key)
    model = kind() if kept is None else kept.model
    walked = 0 if kept is None else len(kept.paths)
    paths = np.full((plan.length - plan.first, plan.horizon), np.nan)
    if kept is not None:
        paths[:walked] = kept.paths
    squares = np.nan_to_num(returns**2).cumsum() / np.maximum(np.cumsum(~np.isnan(returns)), 1)

    def decide(past: pd.DataFrame, at: Slice) -> None:
        done = at.origin - plan.first
        if (done - walked) % 25 == 0:
            progress(done, len(paths), name)
        said = (model.fit(past) if at.refit else model.update(past)).predict(plan.horizon)
        # A halted stock does not get a variance of nothing: as everywhere, a hundredth of its mean square so far.
        said = np.maximum(said, 0.01 * squares[at.origin])
        if not (np.isfinite(said) & (said > 0.0)).all():
            raise ComputeError(f"{name} forecast variances {said.tolist()} at {past.index[-1].isoformat()}")
        paths[done] = said

    engine = WalkForward(
        origins=len(paths), horizon=plan.horizon, min_train=plan.first + 1, refit=kind.refit_every, live=True,
        anchored=True,
    )  # fmt: skip
    engine.run(bars, decide, since=plan.first + walked)
    history.keep(_Walked(model, paths), *key)
    return paths


def _summed(squares: np.ndarray, plan: Plan, scored: slice) -> np.ndarray:
    """Sum over the next `horizon` bars at the scored origins; NaN where one of them is not known."""
    rows = plan.rows[scored]
    return np.asarray(sum(squares[rows + step] for step in range(1, plan.horizon + 1)))


def _range_squares(bars: pd.DataFrame, returns: np.ndarray) -> np.ndarray:
    """Variance of each bar from gap and range, ``ln(o / c[-1])^2 + ln(h / l)^2 / (4 ln 2)`` (Parkinson, 1980)."""
    logs = np.log(bars[["open", "high", "low", "close"]].to_numpy())
    gaps = np.append(np.nan, (logs[1:, 0] - logs[:-1, 3]) ** 2)
    squares = gaps + (logs[:, 1] - logs[:, 2]) ** 2 / (4.0 * np.log(2.0))
    return np.where(session_gaps(bars.index) | np.isnan(returns), np.nan, squares)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else _NAN
