"""What a VaR backtest says: the verdict on each method, all of them side by side, and the choice that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from quantkit.core.results import Result
from quantkit.risk.coverage import CoverageTest

__all__ = ["ENOUGH_POWER", "ShortfallTest", "VarBacktest", "VarBacktests"]

#: Probability of catching a model with twice the breaches from which not being rejected says something.
ENOUGH_POWER: Final = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class ShortfallTest(Result):
    """Second test of Acerbi and Szekely for expected shortfall.

    ``Z2 = 1 - sum(X[t] 1(X[t] < VaR[t]) / ES[t]) / (n (1 - level))``: 0 is expected of a right model, and losses that
    are larger or more frequent than its ES make it negative.

    Attributes
    ----------
    level : float
    statistic : float
    p_value : float
        Share of outcomes drawn from each day's own forecast distribution that give a statistic at most as large; NaN
        where `note` says why.
    breaches : int
        Of the VaR at the same level.
    note : str

    References
    ----------
    Acerbi, C. and Szekely, B. (2014). Backtesting expected shortfall. Risk, December.
    """

    level: float
    statistic: float
    p_value: float
    breaches: int
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class VarBacktest(Result):
    """How one method did.

    Attributes
    ----------
    method : str
    level : float
    origins : int
        Scored.
    undefined : int
        Origins at which the method gave no figure; `reason` says why.
    breaches : int
    expected : float
        ``(1 - level) origins``.
    quantile_loss : float
        Mean of ``(p - 1(r < VaR)) (r - VaR)``: lower is better.
    rank : int or None
        By quantile loss among the methods with a figure at every origin; None for one that lacks some.
    kupiec, independence, conditional_coverage : CoverageTest
    rejected_by : tuple of str
        Which of Kupiec and conditional coverage reject at 5 %.
    power : float
        Probability that Kupiec's test would reject a model with twice as many breaches as it should have.
    zone : {"green", "yellow", "red"}
        Traffic light of the cumulative binomial probability over all origins.
    basel_zone : str or None
        The Basel Committee's zone, of the last 250 origins; only at 99 % one period ahead.
    shortfall : ShortfallTest
    reason : str
        Why there were no figures at `undefined` origins.
    """

    method: str
    level: float
    origins: int
    undefined: int
    breaches: int
    expected: float
    quantile_loss: float
    rank: int | None
    kupiec: CoverageTest
    independence: CoverageTest
    conditional_coverage: CoverageTest
    rejected_by: tuple[str, ...]
    power: float
    zone: str
    basel_zone: str | None
    shortfall: ShortfallTest
    reason: str

    @property
    def rejected(self) -> bool:
        """Whether a coverage test rejects at 5 %."""
        return bool(self.rejected_by)

    @property
    def verdict(self) -> str:
        """``rejected``, ``not rejected``, or ``too few to tell`` where even twice the breaches would mostly pass."""
        if self.rejected:
            return "rejected"
        return "not rejected" if self.power >= ENOUGH_POWER else "too few to tell"

    def in_words(self) -> str:
        """One sentence with the verdict and what it is worth."""
        counted = f"{self.breaches} breaches in {self.origins} origins, {self.expected:.1f} expected"
        if self.origins == 0:
            return f"{self.method}: no figure at any origin: {self.reason}."
        if self.rejected:
            return f"{self.method}: rejected ({' and '.join(self.rejected_by).replace('_', ' ')}); {counted}."
        power = f"a model with twice the breaches would be caught with probability {self.power:.0%}"
        few = f" {self.kupiec.note}." if self.kupiec.note else ""
        return f"{self.method}: {self.verdict}; {counted}; {power}.{few}"


@dataclass(frozen=True, slots=True, eq=False)
class VarBacktests(Result):
    """All methods side by side, and the choice that follows.

    Attributes
    ----------
    level : float
    horizon : int
    side : {"long", "short"}
    rows : dict of VarBacktest
        By method, in the registry's order, `auto` last.
    ranking : tuple of str
        Methods by quantile loss, best first.
    auto_method : str
        What `auto` stands on for the period after the last return.
    auto_note : str
        Said where every method is rejected, or where there is no evidence yet.
    auto_methods : tuple of str
        What `auto` stood on at each origin.
    path : DataFrame
        Indexed by the period forecast (the last one of the horizon): ``return`` of the position, and the VaR of each
        method.
    """

    level: float
    horizon: int
    side: str
    rows: dict[str, VarBacktest]
    ranking: tuple[str, ...]
    auto_method: str
    auto_note: str
    auto_methods: tuple[str, ...]
    path: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """One row a method: counts, p-values, loss, verdict."""
        records = [
            {
                "origins": row.origins,
                "breaches": row.breaches,
                "expected": row.expected,
                "p_kupiec": row.kupiec.p_value,
                "p_independence": row.independence.p_value,
                "p_conditional": row.conditional_coverage.p_value,
                "p_shortfall": row.shortfall.p_value,
                "power": row.power,
                "zone": row.zone,
                "quantile_loss": row.quantile_loss,
                "verdict": row.verdict,
            }
            for row in self.rows.values()
        ]
        return pd.DataFrame(records, index=pd.Index(list(self.rows), name="method"))

    def _repr_html_(self) -> str:
        said = self.auto_note or f"auto stands on {self.auto_method}"
        return f"<p>{said}.</p>{self.to_frame().to_html(float_format=lambda value: f'{value:.4f}', na_rep='–')}"
