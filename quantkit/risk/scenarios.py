"""What today's portfolio would have lost in past crises, under a shock to a factor, and in a person's own scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantkit.core.errors import DataError, UsageError
from quantkit.core.fingerprint import fingerprint
from quantkit.core.results import Result
from quantkit.risk.arrays import align, matrix
from quantkit.risk.contributions import check_weights
from quantkit.risk.drawdowns import max_drawdown_of

__all__ = ["EPISODES", "FACTOR_SHOCKS", "Episode", "Scenario", "Stress", "factor_betas", "stress"]

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Episode:
    """A crisis: from the close of `start` to the close of `end`, the S&P 500's peak and trough."""

    name: str
    start: pd.Timestamp
    end: pd.Timestamp


def _episode(name: str, start: str, end: str) -> Episode:
    return Episode(name, pd.Timestamp(start, tz="UTC"), pd.Timestamp(end, tz="UTC"))


EPISODES: Final[tuple[Episode, ...]] = (
    _episode("Dot-com crash 2000-02", "2000-03-24", "2002-10-09"),
    _episode("Financial crisis 2007-09", "2007-10-09", "2009-03-09"),
    _episode("Debt crisis 2011", "2011-04-29", "2011-10-03"),
    _episode("Sell-off 2018 Q4", "2018-09-20", "2018-12-24"),
    _episode("Pandemic 2020", "2020-02-19", "2020-03-23"),
    _episode("Rate rises 2022", "2022-01-03", "2022-10-12"),
)
#: Moves of a factor that screens offer.
FACTOR_SHOCKS: Final = (-0.20, -0.10, -0.05, 0.05, 0.10)
# Returns from which a beta is estimated at least.
_FOR_BETA: Final = 60


@dataclass(frozen=True, slots=True, eq=False)
class Scenario(Result):
    """One scenario applied to the portfolio.

    Attributes
    ----------
    name : str
    kind : {"episode", "factor", "own"}
    start, end : Timestamp or None
        First and last return replayed; None for shocks.
    total : float
        Return of the portfolio; NaN where `note` says why.
    worst_drawdown : float
        Inside the episode; NaN for shocks.
    profit : float
        In currency: `total` times the position's value; NaN without one.
    parts : dict of float
        By symbol, weight times return; they sum to `total`.
    proxied : tuple of str
        Symbols without prices then, replaced by their beta times the benchmark.
    note : str
    """

    name: str
    kind: str
    start: pd.Timestamp | None
    end: pd.Timestamp | None
    total: float
    worst_drawdown: float
    profit: float
    parts: dict[str, float]
    proxied: tuple[str, ...]
    note: str

    def __post_init__(self) -> None:
        if np.isnan(self.total) and not self.note:
            raise DataError(f"{self.name}: a total of NaN needs its reason")
        if not np.isnan(self.total) and abs(sum(self.parts.values()) - self.total) > 1e-9:
            raise DataError(f"{self.name}: the parts sum to {sum(self.parts.values())}, not to {self.total}")


@dataclass(frozen=True, slots=True, eq=False)
class Stress(Result):
    """Scenarios of one portfolio.

    Attributes
    ----------
    scenarios : tuple of Scenario
    weights : dict of float
    betas : DataFrame, shape (N, factors)
        Of each symbol to each factor, estimated together.
    as_of : Timestamp
    fingerprint : str
    """

    scenarios: tuple[Scenario, ...]
    weights: dict[str, float]
    betas: pd.DataFrame
    as_of: pd.Timestamp
    fingerprint: str

    def to_frame(self) -> pd.DataFrame:
        """One row a scenario: ``kind start end total worst_drawdown profit proxied note``."""
        columns = ["kind", "start", "end", "total", "worst_drawdown", "profit", "proxied", "note"]
        rows = [[getattr(each, column) for column in columns] for each in self.scenarios]
        frame = pd.DataFrame(rows, columns=columns, index=pd.Index([each.name for each in self.scenarios], name="name"))
        return frame.assign(proxied=[", ".join(each.proxied) for each in self.scenarios])

    def _repr_html_(self) -> str:
        shown = self.to_frame().assign(start=lambda f: f["start"].astype(str), end=lambda f: f["end"].astype(str))
        return shown.to_html(float_format=lambda value: f"{value:.2%}" if abs(value) < 10 else f"{value:,.0f}")


def stress(
    returns: pd.DataFrame,
    weights: Mapping[str, float] | pd.Series,
    *,
    benchmark: pd.Series | None = None,
    factors: pd.DataFrame | None = None,
    shocks: Mapping[str, float] | None = None,
    own: Mapping[str, Mapping[str, float]] | None = None,
    episodes: tuple[Episode, ...] = EPISODES,
    value: float | None = None,
) -> Stress:
    """Replay crises on today's weights, shock factors through beta, and apply a person's own scenarios.

    Parameters
    ----------
    returns : DataFrame, shape (T, N)
        Simple per-period returns; NaN where a symbol has no history yet (the longest history gives most episodes).
    weights : mapping or Series by symbol
        Sum to 1. In an episode they are bought at its start and held.
    benchmark : Series, optional
        Stands in, times beta, for symbols that had no price in an episode, and is the factor of the default shocks.
    factors : DataFrame, shape (T, K), optional
        Returns of factors to be shocked beside the benchmark; betas are estimated jointly by least squares.
    shocks : mapping, optional
        Returns by factor that happen together, one scenario; by default one scenario for each of ``FACTOR_SHOCKS`` of
        the benchmark.
    own : mapping of mappings, optional
        Scenarios by name, each with returns by symbol; symbols not named stand still and are listed.
    episodes : tuple of Episode
    value : float, optional
        Of the position, in its currency.

    Returns
    -------
    Stress

    Raises
    ------
    UsageError
        Weights that do not sum to 1, unknown symbols or factors, a return below -1.
    DataError
        A benchmark or factor that does not overlap the returns.
    """
    matrix(returns.fillna(0.0))
    weight = check_weights(weights, returns.columns)
    held = [str(symbol) for symbol in weight.index[weight != 0.0]]
    weight, returns = weight[held], returns[held]
    known = _factors(returns, benchmark, factors)
    betas = factor_betas(returns, known) if known is not None else pd.DataFrame(index=held)
    amount = float("nan") if value is None else float(value)
    market = None if benchmark is None else str(benchmark.name or "benchmark")

    scenarios = [_replay(each, returns, weight, benchmark, betas, market, amount) for each in episodes]
    if shocks is not None:
        scenarios.append(_shock(dict(shocks), weight, betas, amount))
    elif market is not None:
        scenarios.extend(_shock({market: shock}, weight, betas[[market]] if factors is None else
                                factor_betas(returns, known[[market]]), amount)  # type: ignore[index]
                         for shock in FACTOR_SHOCKS)  # fmt: skip
    scenarios.extend(_own(name, moves, weight, amount) for name, moves in (own or {}).items())

    question: dict[str, Any] = {
        "kind": "stress",
        "weights": {symbol: float(each) for symbol, each in weight.items()},
        "shocks": None if shocks is None else dict(shocks),
        "own": None if own is None else {name: dict(moves) for name, moves in own.items()},
        "episodes": [[each.name, each.start.isoformat(), each.end.isoformat()] for each in episodes],
        "value": value,
    }
    data = [returns] if known is None else [returns, known]
    return Stress(
        scenarios=tuple(scenarios),
        weights=question["weights"],
        betas=betas,
        as_of=returns.index[-1],
        fingerprint=fingerprint(question, *data),
    )


def factor_betas(returns: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """Betas of each symbol to all factors together, by least squares with a constant, shape (N, K).

    Each symbol over the rows that it and every factor have; NaN where those are fewer than 60.

    Raises
    ------
    DataError
        Factors that do not vary or repeat each other: their betas cannot be told apart.
    """
    left, right, _ = align(returns, factors.dropna(), name="the factors")
    design = np.column_stack([np.ones(len(right)), right.to_numpy(dtype=np.float64)])
    found = np.full((returns.shape[1], factors.shape[1]), np.nan)
    for at, symbol in enumerate(returns.columns):
        own = left[symbol].to_numpy(dtype=np.float64)
        present = np.isfinite(own)
        if present.sum() < _FOR_BETA:
            continue
        solution, _, rank, _ = np.linalg.lstsq(design[present], own[present], rcond=None)
        if rank < design.shape[1]:
            names = ", ".join(map(str, factors.columns))
            raise DataError(f"the factors {names} do not vary or repeat each other, so betas cannot be told apart")
        found[at] = solution[1:]
    return pd.DataFrame(found, index=[str(each) for each in returns.columns], columns=[str(c) for c in factors.columns])


def _factors(returns: pd.DataFrame, benchmark: pd.Series | None, factors: pd.DataFrame | None) -> pd.DataFrame | None:
    if benchmark is None:
        return factors
    market = benchmark.rename(str(benchmark.name or "benchmark"))
    matrix(market, name=str(market.name))
    align(returns, market, name=str(market.name))
    if factors is None:
        return market.to_frame()
    others = factors.drop(columns=[market.name], errors="ignore")
    return pd.concat([market, others], axis=1, join="inner")


def _replay(
    episode: Episode,
    returns: pd.DataFrame,
    weight: pd.Series,
    benchmark: pd.Series | None,
    betas: pd.DataFrame,
    market: str | None,
    value: float,
) -> Scenario:
    def untold(note: str) -> Scenario:
        nan = float("nan")
        return Scenario(episode.name, "episode", episode.start, episode.end, nan, nan, nan, {}, (), note)

    inside = (returns.index > episode.start) & (returns.index <= episode.end)
    then = returns.loc[inside]
    reference = then.dropna(how="all")
    if benchmark is not None:
        span = benchmark.loc[(benchmark.index > episode.start) & (benchmark.index <= episode.end)]
        reference = span.to_frame() if len(span) > len(reference) else reference
    covered = not reference.empty and (
        _first_known(returns, benchmark) <= episode.start and returns.index[-1] >= episode.end
    )
    if not covered:
        return untold("the data does not cover it")
    then = then.reindex(reference.index)
    absent = [symbol for symbol in weight.index if then[symbol].isna().any()]
    if absent:
        if benchmark is None or market is None:
            return untold(f"no prices then: {', '.join(absent)}; a benchmark would stand in for them")
        stand_in = benchmark.reindex(then.index)
        lost = [symbol for symbol in absent if np.isnan(betas.loc[symbol, market])]
        if stand_in.isna().any() or lost:
            return untold(f"no prices then, and no beta to stand in: {', '.join(lost or absent)}")
        then = then.copy()
        for symbol in absent:
            then[symbol] = (betas.loc[symbol, market] * stand_in).clip(lower=-1.0)
    wealth = (1.0 + then.to_numpy()).cumprod(axis=0)
    parts = weight.to_numpy() * (wealth[-1] - 1.0)
    total = 1.0 + (wealth - 1.0) @ weight.to_numpy()
    path = total / np.concatenate([[1.0], total[:-1]]) - 1.0
    return Scenario(
        name=episode.name,
        kind="episode",
        start=then.index[0],
        end=then.index[-1],
        total=float(parts.sum()),
        worst_drawdown=float(max_drawdown_of(path[:, None])[0]),
        profit=value * float(parts.sum()),
        parts=dict(zip(weight.index, parts.tolist(), strict=True)),
        proxied=tuple(absent),
        note=f"beta x {market} stands in for {', '.join(absent)}" if absent else "",
    )


def _first_known(returns: pd.DataFrame, benchmark: pd.Series | None) -> pd.Timestamp:
    # The first return needs the price before it, so an episode must start no earlier than a week before the data:
    # weekends and holidays lie between.
    first = returns.index[0] if benchmark is None else min(returns.index[0], benchmark.index[0])
    return pd.Timestamp(first) - pd.Timedelta(days=7)


def _shock(shocks: dict[str, float], weight: pd.Series, betas: pd.DataFrame, value: float) -> Scenario:
    for factor, move in shocks.items():
        if factor not in betas.columns:
            known = ", ".join(betas.columns) or "none: give a benchmark or factors"
            raise UsageError(f"unknown factor {factor!r}; choose from {known}")
        _check_move(factor, move)
    name = ", ".join(f"{factor} {move:+.0%}" for factor, move in shocks.items())
    moves = betas[list(shocks)].to_numpy() @ np.array(list(shocks.values()))
    nan = float("nan")
    if np.isnan(moves).any():
        short = [symbol for symbol, move in zip(weight.index, moves, strict=True) if np.isnan(move)]
        note = f"fewer than {_FOR_BETA} returns to estimate a beta from: {', '.join(short)}"
        return Scenario(name, "factor", None, None, nan, nan, nan, {}, (), note)
    parts = weight.to_numpy() * np.maximum(moves, -1.0)
    total = float(parts.sum())
    parted = dict(zip(weight.index, parts.tolist(), strict=True))
    return Scenario(name, "factor", None, None, total, nan, value * total, parted, (), "")


def _own(name: str, moves: Mapping[str, float], weight: pd.Series, value: float) -> Scenario:
    unknown = [symbol for symbol in moves if symbol not in weight.index]
    if unknown:
        raise UsageError(f"scenario {name!r}: {unknown[0]} is not held; choose from {', '.join(weight.index)}")
    for symbol, move in moves.items():
        _check_move(symbol, move)
    still = [symbol for symbol in weight.index if symbol not in moves]
    parts = {symbol: float(weight[symbol]) * float(moves.get(symbol, 0.0)) for symbol in weight.index}
    total = float(sum(parts.values()))
    note = f"taken as unchanged: {', '.join(still)}" if still else ""
    return Scenario(name, "own", None, None, total, float("nan"), value * total, parts, (), note)


def _check_move(name: str, move: object) -> None:
    if isinstance(move, bool) or not isinstance(move, (int, float, np.floating)) or not -1.0 <= move < np.inf:
        raise UsageError(f"{name}: {move!r} is not a return of at least -1, such as -0.1 for a fall of a tenth")
