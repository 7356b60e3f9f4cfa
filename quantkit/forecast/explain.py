"""Why a forecast is what it is: what each input contributed to it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from quantkit.core.errors import ComputeError
from quantkit.core.progress import Progress, silent
from quantkit.core.results import Result
from quantkit.core.schema import Interval, check_interval
from quantkit.forecast.attribution import Attributed, Attribution
from quantkit.forecast.base import FORECASTERS, Composite
from quantkit.forecast.features import FEATURES
from quantkit.forecast.inquiry import check_model, inquire
from quantkit.forecast.walk import Plan, standing, walk_models

__all__ = ["Contribution", "Explanation", "explain"]


@dataclass(frozen=True, slots=True, eq=False)
class Contribution(Result):
    """What one input added to the forecast.

    Attributes
    ----------
    feature : str
        A name in :data:`~quantkit.forecast.features.FEATURES`; ``return_3`` is the log-return of the third bar back;
        a blend puts the member before it, ``forest: rsi_14``.
    value : float
        Of the feature at the origin, in its own unit; NaN where a name stands for several values.
    contribution_return : float
        Log-return, cumulative over the horizon.
    contribution_price : float
        Its proportional share of the price change that all of them make, in the quote currency.
    """

    feature: str
    value: float
    contribution_return: float
    contribution_price: float

    @property
    def about(self) -> str:
        """What the feature is, in words."""
        member, _, name = self.feature.rpartition(": ")
        if name.startswith("return_"):
            back = int(name.removeprefix("return_"))
            said = f"log-return of the {'last bar' if back == 1 else f'bar {back - 1} before the last'}"
        else:
            said = {"earlier_returns": "all returns before those", "mean_return": "mean log-return of the history"}.get(
                name, FEATURES.get(name, name)
            )
        return f"{said} (in {member})" if member else said


@dataclass(frozen=True, slots=True, eq=False)
class Explanation(Result):
    """A forecast taken apart: ``base_return`` and the contributions add up to ``forecast_return``.

    Attributes
    ----------
    symbol, model, interval, currency : str
    as_of : Timestamp
        Bar that the forecast stands on.
    horizon : int
        Bars ahead of the forecast explained.
    last_price : float
    base_return : float
        Log-return that would be expected without knowing the features.
    base_price : float
        ``last_price * exp(base_return)``.
    forecast_return : float
        Log-return over the horizon: that of the median which :func:`~quantkit.forecast.predict` shows.
    forecast_price : float
        That median price.
    contributions : tuple of Contribution
        The largest first.
    chosen : str
        Model explained: `model` itself, or the one that ``auto`` chose.
    method : str
        How it was taken apart.
    fingerprint : str
    indicative : bool
        Whether prices are known only in adjusted form, so that currency figures are indicative.
    """

    symbol: str
    model: str
    interval: str
    currency: str
    as_of: pd.Timestamp
    horizon: int
    last_price: float
    base_return: float
    base_price: float
    forecast_return: float
    forecast_price: float
    contributions: tuple[Contribution, ...]
    chosen: str
    method: str
    fingerprint: str
    indicative: bool = False

    def to_frame(self) -> pd.DataFrame:
        """One row an input, indexed by ``feature``: ``value contribution_return contribution_price about``."""
        rows = [each.to_dict() | {"about": each.about} for each in self.contributions]
        columns = ["feature", "value", "contribution_return", "contribution_price", "about"]
        frame = pd.DataFrame(rows, columns=columns).set_index("feature")
        return frame.astype(dict.fromkeys(columns[1:4], float))

    def in_words(self) -> str:
        """One sentence: where the forecast starts, and what moves it most."""
        name = self.model if self.chosen in ("", self.model) else f"{self.model} ({self.chosen})"
        ahead = f"{self.horizon} step{'s' if self.horizon > 1 else ''} ahead"
        if not self.contributions:
            return f"{name} predicts no change, nothing to explain."
        said = (
            f"{name} expects {self.forecast_return:+.3%} {ahead}, {self.base_return:+.3%} of it whatever the features"
        )
        moving = [each for each in self.contributions if each.contribution_return != 0.0][:3]
        most = ", ".join(f"{each.feature} {each.contribution_return:+.3%}" for each in moving)
        return f"{said}; most from {most}." if moving else f"{said}."

    def _repr_html_(self) -> str:
        """Table of the contributions under a caption, for JupyterLab."""
        stamp = "%Y-%m-%d" if self.interval == "1d" else "%Y-%m-%d %H:%M"
        head = (
            f"<b>{escape(self.symbol)}</b> {escape(self.model)} from {self.as_of.strftime(stamp)} at "
            f"{self.last_price:,.2f} {escape(self.currency)}{' (indicative)' if self.indicative else ''}: median "
            f"{self.forecast_price:,.2f}"
        )
        columns = ("feature", "value", "return", f"price {self.currency}".strip())
        header = "".join(f"<th scope='col'>{escape(name)}</th>" for name in columns)
        rows = [("base", "", self.base_return, self.base_price - self.last_price, "expected whatever the features")]
        rows += [
            (each.feature, _text(each.value), each.contribution_return, each.contribution_price, each.about)
            for each in self.contributions
        ]
        rows.append(("forecast", "", self.forecast_return, self.forecast_price - self.last_price, "their sum"))
        body = "".join(
            f"<tr title='{escape(about, quote=True)}'><th scope='row'>{escape(name)}</th><td>{value}</td>"
            f"<td>{share:+.3%}</td><td>{price:+,.3f}</td></tr>"
            for name, value, share, price, about in rows
        )
        return (
            f"<table><caption style='text-align:left'>{head}<br>{escape(self.in_words())} {escape(self.method)}."
            f"</caption><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
        )


def _text(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4g}"


def explain(
    bars: pd.DataFrame,
    *,
    model: str = "auto",
    horizon: int = 1,
    interval: Interval = "1d",
    symbol: str = "",
    currency: str = "",
    origins: int = 250,
    progress: Progress = silent,
    fingerprint: str = "",
) -> Explanation:
    """What the inputs contributed to the forecast that :func:`~quantkit.forecast.predict` makes of the same question.

    Trees and networks are taken apart by Shapley values, ``arima`` and ``sarima`` by the coefficients of past returns.
    ``auto`` is explained by the model it chose, a blend by the weighted sum of its members' explanations.

    Parameters
    ----------
    bars : DataFrame, shape (T, 6)
        As for a forecast.
    model : str
        A name in ``FORECASTERS``.
    horizon : int
        Bars ahead, 1 to 60; contributions are cumulative up to there.
    interval, symbol, currency, origins, progress, fingerprint
        As for :func:`~quantkit.forecast.predict`.

    Raises
    ------
    UsageError, DataError
        As for a forecast.
    ComputeError
        The model failed; with its reason.

    References
    ----------
    Lundberg, S. M. and Lee, S.-I. (2017). A unified approach to interpreting model predictions. NeurIPS 30. Lundberg,
    S. M. et al. (2020). From local explanations to global understanding with explainable AI for trees. Nature Machine
    Intelligence 2.
    """
    from quantkit.core.threads import one_thread

    model = check_model(model, check_interval(interval))
    asked = inquire(
        bars, "explanation", interval=interval, horizon=horizon, origins=origins, symbol=symbol, currency=currency,
        fingerprint=fingerprint, model=model,
    )  # fmt: skip
    plan, name = asked.plan, asked.name
    with one_thread():
        weights = _members(model, bars, plan, interval, progress)
        parts: dict[str, Attribution] = {}
        for count, member in enumerate(weights):
            progress(count, len(weights), member)
            try:
                standing_there = standing(member, bars, plan)
                assert isinstance(standing_there, Attributed), member
                parts[member] = standing_there.attribute(horizon)
            except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
                raise ComputeError(f"{name}: {member} failed: {error}") from error
    progress(1, 1, model)

    last = float(bars["close"].iloc[-1])
    base = sum(weight * float(parts[member].base.sum()) for member, weight in weights.items())
    shares = [
        (feature if len(weights) == 1 else f"{member}: {feature}", float(value), weight * float(contribution))
        for member, weight in weights.items()
        for feature, value, contribution in zip(
            parts[member].features, parts[member].values, parts[member].contributions.sum(axis=0), strict=True
        )
    ]
    shares.sort(key=lambda each: -abs(each[2]))
    total = sum(each[2] for each in shares)
    base_price, price = last * float(np.exp(base)), last * float(np.exp(base + total))
    # Prices compound, so a return's price depends on the others; in proportion, they add up to the change of price.
    rate = base_price * (float(np.expm1(total)) / total if total else 1.0)
    chosen = next(iter(weights)) if len(weights) == 1 else model
    return Explanation(
        symbol=asked.symbol,
        model=model,
        interval=asked.interval,
        currency=asked.currency,
        as_of=bars.index[-1],
        horizon=asked.horizon,
        last_price=last,
        base_return=base,
        base_price=base_price,
        forecast_return=base + total,
        forecast_price=price,
        contributions=tuple(Contribution(feature, value, share, rate * share) for feature, value, share in shares),
        chosen=chosen,
        method=" and ".join(dict.fromkeys(_METHODS.get(member, "Its own terms") for member in weights)),
        fingerprint=asked.fingerprint,
        indicative=asked.indicative,
    )


_METHODS = {
    "arima": "Coefficients of past returns",
    "sarima": "Coefficients of past returns",
    "forest": "Shapley values of the trees",
    "xgboost": "Shapley values of the trees",
    "lstm": "Shapley values by permutation",
    "gru": "Shapley values by permutation",
}


def _members(model: str, bars: pd.DataFrame, plan: Plan, interval: str, progress: Progress) -> dict[str, float]:
    """What the forecast is a mean of, by weight: the model itself, or what a composite stands on at the last bar."""
    composite = FORECASTERS[model]()
    if not isinstance(composite, Composite):
        return {model: 1.0}
    members = composite.members(interval)
    walks, outcomes = walk_models(members, bars, plan, step=plan.horizon, interval=interval, progress=progress)
    weights = composite.weights(
        {each: walks[each] for each in members},
        outcomes,
        step=plan.horizon,
        window=plan.origins,
        since=len(plan.rows) - 1,
    )[-1]
    return {each: float(weight) for each, weight in zip(members, weights, strict=True) if weight != 0.0}
