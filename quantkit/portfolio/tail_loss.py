"""The portfolio of least conditional value at risk, as a linear program in its dual form.

Stated over T scenarios the primal has a row for each of them; its dual has one for each asset, and HiGHS solves it
several times faster. The weights are the dual's multipliers, a vertex of the primal and therefore exact.
"""

from __future__ import annotations

import numpy as np

from quantkit.core.errors import ComputeError
from quantkit.portfolio.constraints import Array, Feasible
from quantkit.portfolio.programs import InfeasibleProgramError

__all__ = ["conditional_value_at_risk", "least_cvar"]


def conditional_value_at_risk(returns: Array, level: float) -> float:
    """Mean loss in the worst ``1 - level`` of equally likely scenarios, positive for a loss.

    The scenario at the boundary counts with the part that is still missing, so that this is the minimum over ``a`` of
    ``a + mean(max(-returns - a, 0)) / (1 - level)``.

    Parameters
    ----------
    returns : array, shape (T,)
    level : float in (0, 1)

    References
    ----------
    Rockafellar, R. and Uryasev, S. (2000). Optimization of conditional value-at-risk. Journal of Risk 2(3).

    Examples
    --------
    >>> round(conditional_value_at_risk(np.array([-0.04, -0.02, 0.01, 0.03]), 0.625), 6)
    0.033333
    """
    losses = np.sort(-returns)[::-1]
    tail = (1.0 - level) * len(losses)
    # 0.1 * 20 is 1.9999999999999996 in floating point.
    whole = int(tail + 1e-9)
    total = losses[:whole].sum()
    if whole < len(losses):
        total += max(tail - whole, 0.0) * losses[whole]
    return float(total / tail)


def least_cvar(returns: Array, feasible: Feasible, level: float) -> Array:
    """Weights of the least :func:`conditional_value_at_risk` under linear limits.

    Parameters
    ----------
    returns : array, shape (T, N)
    feasible : Feasible
        Without a limit on tracking error, which is not linear.
    level : float in (0, 1)

    Raises
    ------
    InfeasibleProgramError
        No portfolio meets the limits.
    """
    from scipy.optimize import linprog

    scale = float(returns.std()) or 1.0
    rows, most, equal, value, lower, upper = _lifted(feasible)
    count, size = returns.shape[0], len(lower)
    scenarios = np.zeros((count, size))
    scenarios[:, : feasible.size] = returns / scale
    bounded = np.isfinite(upper)
    # Variables: p (T) over scenarios, lambda of rows, nu of equalities, and the multipliers of the bounds.
    # d+ - d- = -R' p + A' lambda + E' nu; maximise -b' lambda - e' nu + l' d+ - u' d-.
    columns = [-scenarios.T, rows.T, equal.T, -np.eye(size), np.eye(size)[:, bounded]]
    balance = np.vstack([np.hstack(columns), np.zeros((1, sum(each.shape[1] for each in columns)))])
    balance[-1, :count] = 1.0
    gain = np.concatenate([np.zeros(count), -most, -value, lower, -upper[bounded]])
    cap = 1.0 / (count * (1.0 - level))
    bounds = [(0.0, cap)] * count + [(0.0, None)] * len(most) + [(None, None)] * len(value)
    bounds += [(0.0, None)] * (size + int(bounded.sum()))
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(-gain, A_eq=balance, b_eq=np.r_[np.zeros(size), 1.0], bounds=bounds, method="highs", options=tight)
    # An unbounded dual is an infeasible primal.
    if found.status == 3 or (found.status in (2, 4) and not _exists(rows, most, equal, value, lower, upper)):
        raise InfeasibleProgramError("no portfolio meets the limits")
    if found.status != 0:
        raise ComputeError(f"the linear program could not be solved: {found.message}")
    return np.clip(found.eqlin.marginals[: feasible.size], feasible.lower, feasible.upper)


def _lifted(feasible: Feasible) -> tuple[Array, Array, Array, Array, Array, Array]:
    """``A x <= b, E x = e, l <= x <= u`` with the weights first in x, then absolute weights, then trades."""
    size = feasible.size
    gross, trades = feasible.gross is not None, feasible.turnover is not None
    total = size * (1 + gross + trades)
    eye = np.eye(size)
    rows: list[Array] = []
    most: list[float] = []

    def add(row: Array, limit: float) -> None:
        rows.append(row)
        most.append(limit)

    def on(offset: int, values: Array) -> Array:
        row = np.zeros(total)
        row[offset : offset + size] = values
        return row

    equal, value = [], []
    if feasible.net[0] == feasible.net[1]:
        equal.append(on(0, np.ones(size)))
        value.append(feasible.net[0])
    else:
        add(on(0, np.ones(size)), feasible.net[1])
        add(on(0, -np.ones(size)), -feasible.net[0])
    for group in feasible.groups:
        add(on(0, group.member), group.upper)
        add(on(0, -group.member), -group.lower)
    offset = size
    for limit, centre in ((feasible.gross, np.zeros(size)), (feasible.turnover, feasible.current)):
        if limit is None:
            continue
        for at in range(size):
            add(on(0, eye[at]) - on(offset, eye[at]), centre[at])
            add(-on(0, eye[at]) - on(offset, eye[at]), -centre[at])
        add(on(offset, np.ones(size)), limit)
        offset += size
    lower = np.concatenate([feasible.lower, np.zeros(total - size)])
    upper = np.concatenate([feasible.upper, np.full(total - size, np.inf)])
    return (
        np.array(rows).reshape(-1, total),
        np.array(most),
        np.array(equal).reshape(-1, total),
        np.array(value),
        lower,
        upper,
    )


def _exists(rows: Array, most: Array, equal: Array, value: Array, lower: Array, upper: Array) -> bool:
    from scipy.optimize import linprog

    found = linprog(
        np.zeros(len(lower)),
        A_ub=rows if len(rows) else None,
        b_ub=most if len(rows) else None,
        A_eq=equal if len(equal) else None,
        b_eq=value if len(equal) else None,
        bounds=list(zip(lower, upper, strict=True)),
        method="highs",
    )
    return bool(found.status == 0)
