"""An ARMA process with known coefficients, and the filter that applies it to newer returns."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from quantkit.forecast.attribution import Attribution

__all__ = ["LAGS", "Arma", "ArmaFilter"]

#: Returns that are named one by one where a forecast is taken apart; older ones stand together.
LAGS: Final = 10


@dataclass(frozen=True, slots=True)
class Arma:
    """``y[t] - constant = sum ar[i] (y[t-i] - constant) + e[t] + sum ma[j] e[t-j]``, ``e`` of variance `sigma2`."""

    constant: float
    ar: tuple[float, ...]
    ma: tuple[float, ...]
    sigma2: float
    aicc: float

    @property
    def order(self) -> tuple[int, int]:
        """``(p, q)``."""
        return len(self.ar), len(self.ma)


class ArmaFilter:
    """Kalman filter of an :class:`Arma` in Harvey's form, started at the stationary distribution.

    The state after each return gives the conditional means of the next ones, the same as statsmodels' ``apply`` and
    ``forecast`` (tested to 1e-8). NaN is a missing return. Once the gain has settled it is kept.
    """

    def __init__(self, model: Arma) -> None:
        from scipy.linalg import solve_discrete_lyapunov

        p, q = model.order
        size = max(p, q + 1)
        self._constant = model.constant
        self._transition = np.eye(size, k=1)
        self._transition[:p, 0] = model.ar
        shock = np.zeros(size)
        shock[0] = 1.0
        shock[1 : q + 1] = model.ma
        # In units of sigma2: neither the gain nor the means depend on it.
        self._shock = np.outer(shock, shock)
        self._state = np.zeros(size)
        self._variance = solve_discrete_lyapunov(self._transition, self._shock)
        self._gain: np.ndarray | None = None
        # The last returns, less the constant, and the gains that they were taken in with; None for a missing one.
        self._taken: deque[tuple[float, np.ndarray | None]] = deque(maxlen=LAGS)

    def observe(self, values: np.ndarray) -> None:
        """Take in further returns, oldest first."""
        step = self._transition
        for value in (values - self._constant).tolist():
            if value != value:
                self._state = step @ self._state
                self._variance = step @ self._variance @ step.T + self._shock
                self._gain = None
                self._taken.append((0.0, None))
                continue
            surprise = value - self._state[0]
            if self._gain is None:
                scale = self._variance[0, 0]
                gain = step @ self._variance[:, 0] / scale
                variance = step @ self._variance @ step.T + self._shock - np.outer(gain, gain) * scale
                if np.max(np.abs(variance - self._variance)) < 1e-15:
                    self._gain = gain
                self._variance = variance
            else:
                gain = self._gain
            self._state = step @ self._state + gain * surprise
            self._taken.append((value, gain))

    def forecast(self, horizon: int) -> np.ndarray:
        """Conditional means of the next `horizon` returns."""
        means = np.empty(horizon)
        state = self._state
        for at in range(horizon):
            means[at] = self._constant + state[0]
            state = self._transition @ state
        return means

    def attribute(self, horizon: int) -> Attribution:
        """The forecast as the constant and what each of the last :data:`LAGS` returns adds to it.

        The state is linear in the returns: ``state' = (T - gain e1') state + gain (value - constant)``, so what a
        return still contributes is its gain, carried through the steps since.
        """
        size = len(self._state)
        carried = np.eye(size)
        states = []
        for value, gain in reversed(self._taken):
            if gain is None:
                states.append(np.zeros(size))
                carried = carried @ self._transition
            else:
                states.append(carried @ gain * value)
                carried = carried @ (self._transition - np.outer(gain, np.eye(size)[0]))
        states.append(self._state - np.sum(states, axis=0))
        ahead = np.array(states).T
        contributions = np.empty((horizon, len(states)))
        for at in range(horizon):
            contributions[at] = ahead[0]
            ahead = self._transition @ ahead
        values = [0.0 if gain is None else value + self._constant for value, gain in reversed(self._taken)]
        return Attribution(
            base=np.full(horizon, self._constant),
            features=(*(f"return_{back}" for back in range(1, len(values) + 1)), "earlier_returns"),
            values=np.array([*values, np.nan]),
            contributions=contributions,
        )
