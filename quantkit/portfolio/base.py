"""What the portfolio functions answer: an allocation, a frontier, a backtest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError, InfeasibleError
from quantkit.core.results import Result
from quantkit.portfolio.constraints import Constraints
from quantkit.portfolio.moments import Moments
from quantkit.portfolio.shares import Shares
from quantkit.portfolio.views import View

__all__ = ["Allocation", "Frontier", "PortfolioBacktest", "Stability"]


@dataclass(frozen=True, slots=True, eq=False)
class Allocation(Result):
    """The weights that an objective chose, and what is expected of them.

    Attributes
    ----------
    objective : str
    weights : Series by symbol
        Shares of the capital.
    expected_return, volatility, sharpe : float
        Annual, before trading costs; `sharpe` is NaN without volatility. What is not invested earns `risk_free`.
    cvar : float
        Mean loss of one period in the worst ``1 - level`` of the history, positive for a loss.
    level : float
    risk_free : float
        Annual.
    periods_per_year : float
    diversification : float
        Weighted mean volatility over the portfolio's own.
    risk_contributions : Series by symbol
        Shares of the variance; they sum to one.
    turnover : float
        What is traded from the current weights, bought plus sold; NaN where those are not known.
    as_of : Timestamp
        Last price that was used.
    moments : Moments
        The estimates, the assets left out and why.
    constraints : Constraints
    views : tuple of View
    relaxed : dict of limit to float
        Where no portfolio met the constraints and the nearest was asked for: how much each limit gave.
    binding : tuple of str
        The limits that could not hold together then.
    shares : Shares or None
        Whole shares for a capital, where one was given.
    notes : tuple of str
    fingerprint : str
    """

    objective: str
    weights: pd.Series
    expected_return: float
    volatility: float
    sharpe: float
    cvar: float
    level: float
    risk_free: float
    periods_per_year: float
    diversification: float
    risk_contributions: pd.Series
    turnover: float
    as_of: pd.Timestamp
    moments: Moments
    constraints: Constraints
    views: tuple[View, ...] = ()
    relaxed: dict[str, float] = field(default_factory=dict)
    binding: tuple[str, ...] = ()
    shares: Shares | None = None
    notes: tuple[str, ...] = ()
    fingerprint: str = ""

    def __post_init__(self) -> None:
        total = float(self.weights.sum())
        low, high = self.constraints.net
        if not np.isfinite(self.weights.to_numpy()).all() or not low - 1e-6 <= total <= high + 1e-6:
            raise DataError(f"{self.objective}: weights sum to {total}, not to {low} .. {high}")

    @property
    def dropped(self) -> dict[str, str]:
        """Assets left out, each with its reason."""
        return self.moments.dropped

    @property
    def leftover_cash(self) -> float:
        """Cash left after whole shares were bought; NaN where no capital was given."""
        return self.shares.leftover_cash if self.shares is not None else float("nan")

    def to_frame(self) -> pd.DataFrame:
        """One row an asset: ``weight expected_return volatility risk_contribution`` and, with a capital, ``shares``."""
        from quantkit.core.returns import annualise_mean, annualise_volatility

        periods = self.periods_per_year
        spread = np.sqrt(np.diag(self.moments.cov.to_numpy()))
        frame = pd.DataFrame(
            {
                "weight": self.weights,
                "expected_return": annualise_mean(self.moments.mu, periods_per_year=periods),
                "volatility": annualise_volatility(spread, periods_per_year=periods),
                "risk_contribution": self.risk_contributions,
            }
        )
        if self.shares is not None:
            frame = frame.assign(shares=self.shares.shares, value=self.shares.value)
        return frame.rename_axis("symbol")

    def in_words(self) -> str:
        """One or two sentences for the person who asked."""
        held = self.weights[self.weights.abs() > 5e-5].sort_values(ascending=False)
        top = ", ".join(f"{symbol} {weight:.1%}" for symbol, weight in held.head(3).items())
        said = (
            f"{self.objective}: {len(held)} of {len(self.weights)} assets, most in {top}; expected return "
            f"{self.expected_return:.1%} a year at volatility {self.volatility:.1%}, by estimates from "
            f"{self.moments.observations:,} returns to {self.as_of:%Y-%m-%d}."
        )
        if self.relaxed:
            said += f" No portfolio met the constraints; relaxed: {_named(self.relaxed)}."
        return said

    def _repr_html_(self) -> str:
        lines = (self.in_words(), *_dropped(self.dropped), *self.moments.notes, *self.notes)
        formats = {"weight": "{:.2%}", "expected_return": "{:.1%}", "volatility": "{:.1%}",
                   "risk_contribution": "{:.1%}", "shares": "{:,.6g}", "value": "{:,.2f}"}  # fmt: skip
        return _table(self.to_frame(), lines, formats)


@dataclass(frozen=True, slots=True, eq=False)
class Frontier(Result):
    """The efficient set of portfolios.

    Attributes
    ----------
    points : DataFrame, shape (P, 3)
        ``expected_return volatility sharpe``, evenly spaced in return from the least volatility to the highest return.
    weights : DataFrame, shape (P, N)
        Of the same points.
    corners : DataFrame, shape (K, N)
        Weights of the corner portfolios, from the highest return down. Between two of them weights move along a
        straight line, so that they are the whole frontier where `exact`.
    corner_points : DataFrame, shape (K, 3)
        As `points`.
    min_volatility : Series by symbol
        Weights.
    tangency : Series by symbol or None
        Weights of the highest Sharpe ratio; None where no feasible portfolio is expected to earn more than
        `risk_free`.
    mu : Series by symbol
    cov : DataFrame, symbol x symbol
        As they were given, per period.
    risk_free : float
        Per year.
    periods_per_year : float
        By which returns and volatilities are annualised; 1 leaves them per period.
    exact : bool
        Whether the critical line was traced; else `corners` are the solved points.
    constraints : Constraints
    as_of : Timestamp or None
    dropped : dict of symbol to reason
    notes : tuple of str
    fingerprint : str
    """

    points: pd.DataFrame
    weights: pd.DataFrame
    corners: pd.DataFrame
    corner_points: pd.DataFrame
    min_volatility: pd.Series
    tangency: pd.Series | None
    mu: pd.Series
    cov: pd.DataFrame
    risk_free: float
    periods_per_year: float
    exact: bool
    constraints: Constraints
    as_of: pd.Timestamp | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if (np.diff(self.points["volatility"].to_numpy()) < -1e-9).any():
            raise DataError("frontier: volatility falls while the expected return rises")

    def weights_at(self, expected_return: float) -> pd.Series:
        """Weights of the frontier's portfolio with this annual expected return.

        Raises
        ------
        InfeasibleError
            It lies outside the frontier; the message says how far that reaches.
        """
        means = self.corner_points["expected_return"].to_numpy()
        slack = 1e-12 * max(abs(means[0]), abs(means[-1]), 1e-12)
        if not means[-1] - slack <= expected_return <= means[0] + slack:
            raise InfeasibleError(
                f"expected return {expected_return:.4%} is not on the frontier, "
                f"which reaches from {means[-1]:.4%} to {means[0]:.4%}"
            )
        corners = self.corners.to_numpy()
        at = min(max(int(np.searchsorted(-means, -expected_return, side="right")) - 1, 0), max(len(means) - 2, 0))
        if len(means) == 1 or means[at] == means[at + 1]:
            return pd.Series(corners[at], index=self.corners.columns)
        share = float(np.clip((means[at] - expected_return) / (means[at] - means[at + 1]), 0.0, 1.0))
        return pd.Series((1.0 - share) * corners[at] + share * corners[at + 1], index=self.corners.columns)

    def point(self, weights: pd.Series) -> tuple[float, float]:
        """Annual expected return and volatility of any `weights` under this frontier's estimates."""
        from quantkit.core.returns import annualise_mean, annualise_volatility, per_period_rate

        periods = self.periods_per_year
        w = weights.reindex(self.mu.index).to_numpy(dtype=np.float64)
        rate = per_period_rate(self.risk_free, periods_per_year=periods)
        mean = float(w @ self.mu.to_numpy() + (1.0 - w.sum()) * rate)
        spread = float(np.sqrt(max(w @ self.cov.to_numpy() @ w, 0.0)))
        return (
            annualise_mean(mean, periods_per_year=periods),
            annualise_volatility(spread, periods_per_year=periods),
        )

    def capital_market_line(self, volatilities: Iterable[float]) -> pd.Series:
        """Expected return, by volatility, of the tangency portfolio mixed with lending or borrowing at `risk_free`.

        Raises
        ------
        InfeasibleError
            There is no tangency portfolio.
        """
        if self.tangency is None:
            raise InfeasibleError(
                f"no feasible portfolio is expected to earn more than the risk-free rate of {self.risk_free:.2%}"
            )
        from quantkit.core.returns import annualise_mean, per_period_rate

        mean, spread = self.point(self.tangency)
        axis = np.asarray(list(volatilities), dtype=np.float64)
        periods = self.periods_per_year
        # Means are annualised arithmetically, and so must be the rate that they are held against.
        rate = annualise_mean(per_period_rate(self.risk_free, periods_per_year=periods), periods_per_year=periods)
        line = rate + (mean - rate) / spread * axis
        return pd.Series(line, index=pd.Index(axis, name="volatility"), name="expected_return")

    def to_frame(self) -> pd.DataFrame:
        """Points and their weights side by side."""
        return pd.concat([self.points, self.weights], axis=1)

    def _repr_html_(self) -> str:
        kind = f"exact, {len(self.corners)} corner portfolios" if self.exact else f"{len(self.points)} solved points"
        lines = (f"Efficient frontier of {len(self.mu)} assets ({kind})", *_dropped(self.dropped), *self.notes)
        return _table(self.points, lines, {"expected_return": "{:.2%}", "volatility": "{:.2%}", "sharpe": "{:.3f}"})


@dataclass(frozen=True, slots=True, eq=False)
class Stability(Result):
    """How far the weights move when the estimates do.

    Attributes
    ----------
    objective : str
    weights : Series by symbol
        On all of the history.
    lower, upper : Series by symbol
        5th and 95th percentile of the weight over histories drawn anew from the same returns.
    moved : float
        Mean over those draws of half the sum of absolute differences from `weights`: the share of the capital that
        sits elsewhere.
    mean_shift : Series by symbol
        The same measure when one asset's expected return is higher by one standard error.
    draws : int
        That had an answer.
    as_of : Timestamp
    fingerprint : str
    """

    objective: str
    weights: pd.Series
    lower: pd.Series
    upper: pd.Series
    moved: float
    mean_shift: pd.Series
    draws: int
    as_of: pd.Timestamp
    fingerprint: str = ""

    def to_frame(self) -> pd.DataFrame:
        """One row an asset: ``weight lower upper mean_shift``."""
        return pd.DataFrame(
            {"weight": self.weights, "lower": self.lower, "upper": self.upper, "mean_shift": self.mean_shift}
        ).rename_axis("symbol")

    def in_words(self) -> str:
        """One sentence."""
        return (
            f"{self.objective}: on histories as likely as the one that happened, {self.moved:.0%} of the capital "
            f"would sit elsewhere ({self.draws} draws)."
        )

    def _repr_html_(self) -> str:
        return _table(self.to_frame(), (self.in_words(),), dict.fromkeys(self.to_frame().columns, "{:.1%}"))


@dataclass(frozen=True, slots=True, eq=False)
class PortfolioBacktest(Result):
    """What an objective would have earned after costs, beside 1/N, buying and holding, and the benchmark.

    Attributes
    ----------
    objective : str
    rebalance : str
    cost_bps : float
        Of what is bought plus sold.
    lag : int
        Periods between a decision and its trade.
    wealth : DataFrame, index time
        Of 1 at the first trade, after costs; a column for each strategy: `objective`, ``1/N``, ``buy_and_hold`` and,
        where one was given, ``benchmark`` (without costs).
    measures : DataFrame, strategy by measure
        ``annual_return volatility sharpe sortino max_drawdown turnover costs``; turnover and costs a year.
    weights : DataFrame, index time of the decision
        As decided.
    turnover : Series, index time of the trade
        Bought plus sold, share of the portfolio.
    sharpe_difference : float
        Annual Sharpe ratio less that of 1/N.
    difference_lower, difference_upper : float
        Its 95 % interval, by stationary bootstrap of the paired returns.
    p_value : float
        Two-sided, that there is no difference.
    block_length : float
        Mean length of the bootstrap's blocks.
    probabilistic_sharpe : float
        Probability that the true Sharpe ratio is above zero.
    deflated_sharpe : float
        The same although it is one of `trials` that were tried; NaN where only one was.
    trials : int
    trials_variance : float
        Of the trials' Sharpe ratios per period; NaN with one trial.
    start, as_of : Timestamp
        First trade and last price.
    risk_free, periods_per_year : float
    expected_returns, covariance : str
    window : int
        Returns that each decision saw at most; 0 for all of the past.
    constraints : Constraints
    kept : dict of decision time to reason
        Decisions that had no answer: what was held was kept.
    dropped : dict of symbol to reason
    notes : tuple of str
    fingerprint : str
    """

    objective: str
    rebalance: str
    cost_bps: float
    lag: int
    wealth: pd.DataFrame
    measures: pd.DataFrame
    weights: pd.DataFrame
    turnover: pd.Series
    sharpe_difference: float
    difference_lower: float
    difference_upper: float
    p_value: float
    block_length: float
    probabilistic_sharpe: float
    deflated_sharpe: float
    trials: int
    trials_variance: float
    start: pd.Timestamp
    as_of: pd.Timestamp
    risk_free: float
    periods_per_year: float
    expected_returns: str
    covariance: str
    window: int
    constraints: Constraints
    kept: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    fingerprint: str = ""

    @property
    def beyond_luck(self) -> bool:
        """Whether the difference from 1/N is significant at 5 %."""
        return self.p_value < 0.05

    def to_frame(self) -> pd.DataFrame:
        """The measures, one row a strategy."""
        return self.measures

    def in_words(self) -> str:
        """The comparison with 1/N, and whether it is more than luck."""
        ours, even = self.measures.loc[self.objective], self.measures.loc["1/N"]
        said = (
            f"After costs of {self.cost_bps:g} basis points, {self.objective} earned {ours['annual_return']:.1%} a "
            f"year and 1/N {even['annual_return']:.1%}, {self.start:%Y-%m} to {self.as_of:%Y-%m}; Sharpe ratio "
            f"{ours['sharpe']:.2f} against {even['sharpe']:.2f}. "
        )
        if self.objective == "equal_weight":
            return said + "They are the same strategy."
        range_of = f"95 % interval {self.difference_lower:+.2f} to {self.difference_upper:+.2f}, p = {self.p_value:.2g}"
        which = "better" if self.sharpe_difference > 0 else "worse"
        if self.beyond_luck:
            return f"{said}The difference of {self.sharpe_difference:+.2f} ({range_of}) is more than luck: {which}."
        return f"{said}The difference of {self.sharpe_difference:+.2f} ({range_of}) is not shown to be more than luck."

    def _repr_html_(self) -> str:
        percent = ("annual_return", "volatility", "max_drawdown", "costs")
        formats = {**dict.fromkeys(percent, "{:.1%}"), **dict.fromkeys(("sharpe", "sortino", "turnover"), "{:.2f}")}
        deflated = (
            f"Deflated Sharpe ratio {self.deflated_sharpe:.3f}, of {self.trials} trials."
            if self.trials > 1
            else f"Probability that the true Sharpe ratio is positive: {self.probabilistic_sharpe:.3f} (one trial)."
        )
        kept = (f"{len(self.kept)} decisions had no answer; holdings were kept.",) if self.kept else ()
        return _table(self.measures, (self.in_words(), deflated, *kept, *_dropped(self.dropped), *self.notes), formats)


def _dropped(dropped: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{symbol} is left out: {reason}." for symbol, reason in dropped.items())


def _named(amounts: dict[str, float]) -> str:
    return "; ".join(f"{name} by {amount:.4g}" for name, amount in amounts.items())


def _table(frame: pd.DataFrame, lines: Iterable[str], formats: dict[str, str]) -> str:
    """A table with its sentences as caption, for JupyterLab."""
    caption = "<br>".join(escape(line) for line in lines)
    head = "".join(f"<th scope='col'>{escape(str(column))}</th>" for column in frame.columns)
    rows = []
    for label, row in frame.iterrows():
        cells = "".join(
            f"<td>{'–' if pd.isna(row[column]) else formats.get(str(column), '{}').format(row[column])}</td>"
            for column in frame.columns
        )
        rows.append(f"<tr><th scope='row'>{escape(str(label))}</th>{cells}</tr>")
    return (
        f"<table><caption style='text-align:left'>{caption}</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
