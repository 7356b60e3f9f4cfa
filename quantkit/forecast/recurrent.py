"""Recurrent networks on the last twenty bars' features: LSTM and GRU, small, with keras on jax.

The layers and the optimiser are keras'; the loop around them is written out, since a compiled step that takes the
weights as an argument is compiled once in a process and serves every fit of a walk, where ``Model.fit`` compiles anew.
Everything is seeded and on one CPU thread, and a row is forecast by itself, not as part of a batch: bits do not depend
on what else was asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from quantkit.forecast.base import FORECASTERS
from quantkit.forecast.direct import STEPS, Direct
from quantkit.forecast.features import WARM_UP, feature_table
from quantkit.forecast.target import close_returns, local_scale

__all__ = ["CHANNELS", "Gru", "Lstm", "Recurrent"]

#: Features that a network sees of every bar; what else there is, it can sum up itself.
CHANNELS: Final = ("lag_1", "momentum_20", "volatility_5", "volatility_60", "rsi_14", "macd", "volume_relative",
                   "weekday", "session_minute")  # fmt: skip
#: Bars that it looks back on.
LENGTH: Final = 20
_BATCH: Final = 256
#: Rows forecast in one call, each by itself.
_CHUNK: Final = 32
_BACKGROUND: Final = 20
_VALIDATION: Final = 0.2
_PATIENCE: Final = 10
_SEED: Final = 20_231

Weights = list[np.ndarray]


class Recurrent(Direct):
    """A recurrent layer and a linear one, early stopped on the most recent fifth of the past.

    Parameters
    ----------
    units : int
        Width of the recurrent layer.
    epochs : int
        Most passes over the training rows; training ends earlier when the validation error has not fallen for ten.
    window : int
        Most recent rows that it learns from; the last fifth of them validates, and says how far it is believed.

    Notes
    -----
    Not deterministic across processors: relative 1e-4.

    References
    ----------
    Hochreiter, S. and Schmidhuber, J. (1997). Long short-term memory. Neural Computation 9(8). Cho, K. et al. (2014).
    Learning phrase representations using RNN encoder-decoder. EMNLP 2014.
    """

    heavy: ClassVar[bool] = True
    minimum: ClassVar[int] = 110
    warm_up: ClassVar[int] = WARM_UP + LENGTH - 1
    #: Name of the layer in ``keras.layers``.
    cell: ClassVar[str]

    def __init__(self, units: int = 16, epochs: int = 60, window: int = 2500) -> None:
        super().__init__(window)
        self.units = units
        self.epochs = epochs

    def _learn(self, inputs: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
        cut = int(len(inputs) * (1.0 - _VALIDATION))
        # Rows whose outcomes reach into the validation rows are left out.
        taught = inputs[: cut - STEPS]
        self._centre = taught.mean(axis=(0, 1))
        self._spread = taught.std(axis=(0, 1))
        self._spread[self._spread == 0.0] = 1.0
        rows = np.linspace(0, len(taught) - 1, min(_BACKGROUND, len(taught))).astype(int)
        self._background = self._standardised(taught[rows])
        self._weights = self._trained(
            self._standardised(taught),
            outcomes[: cut - STEPS].astype(np.float32),
            self._standardised(inputs[cut:]),
            outcomes[cut:],
        )
        held_out = np.full_like(outcomes, np.nan)
        held_out[cut:] = self._forecast(inputs[cut:])
        return held_out

    def _trained(self, inputs: np.ndarray, outcomes: np.ndarray, unseen: np.ndarray, truth: np.ndarray) -> Weights:
        """Weights of the epoch with the least squared error on the validation rows."""
        network = self._network()
        weights, state = network.initial, network.optimiser
        best, fewest, since = weights, float("inf"), 0
        rng = np.random.default_rng(_SEED)
        for _ in range(self.epochs):
            order = rng.permutation(len(inputs))
            for start in range(0, len(order), _BATCH):
                rows = order[start : start + _BATCH]
                counted = np.zeros(_BATCH, dtype=np.float32)
                counted[: len(rows)] = 1.0
                rows = np.concatenate([rows, np.zeros(_BATCH - len(rows), dtype=rows.dtype)])
                weights, state = network.step(weights, state, inputs[rows], outcomes[rows], counted)
            error = float(np.mean((network.forecast(weights, unseen) - truth) ** 2))
            if error < fewest:
                best, fewest, since = weights, error, 0
            else:
                since += 1
                if since == _PATIENCE:
                    break
        return [np.asarray(each) for each in best]

    def _forecast(self, inputs: np.ndarray) -> np.ndarray:
        return self._network().forecast(self._weights, self._standardised(inputs))

    def _shares(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shapley values by permutation: a channel left out is that of sequences from the past, averaged over them."""
        from shap import PermutationExplainer
        from shap.maskers import Independent

        network, here = self._network(), self._standardised(inputs)[0]
        background, size = self._background, len(CHANNELS)

        def masked(there: np.ndarray) -> np.ndarray:
            rows = np.where(there[:, None, None, :] > 0.5, here, background)
            said = network.forecast(self._weights, rows.reshape(-1, LENGTH, size))
            return said.reshape(len(there), len(background), STEPS).mean(axis=1)

        explainer = PermutationExplainer(masked, Independent(np.zeros((1, size))), seed=_SEED)
        found = explainer(np.ones((1, size)), max_evals=10 * (2 * size + 1), silent=True)
        return np.asarray(found.base_values, dtype=float)[0], np.asarray(found.values, dtype=float)[0].T

    def _inputs(self, bars: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        table = feature_table(bars)[list(CHANNELS)].to_numpy()
        before = np.full((LENGTH - 1, len(CHANNELS)), np.nan)
        windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([before, table]), LENGTH, axis=0)
        return windows.transpose(0, 2, 1), local_scale(close_returns(bars))

    def _standardised(self, inputs: np.ndarray) -> np.ndarray:
        return np.clip((inputs - self._centre) / self._spread, -5.0, 5.0).astype(np.float32)

    def _names(self) -> tuple[str, ...]:
        return CHANNELS

    def _values(self) -> np.ndarray:
        return np.asarray(self._here[0, -1])

    def _network(self) -> _Network:
        return _network(self.cell, self.units)


@FORECASTERS.add("lstm")
class Lstm(Recurrent):
    """Long short-term memory on the last twenty bars, early stopped on the past.

    With ``x[t]`` the bar's standardised features, ``i f o`` the gates and ``*`` element by element::

        i[t], f[t], o[t] = sigmoid(W x[t] + U h[t-1] + b)
        c[t] = f[t] * c[t-1] + i[t] * tanh(W_c x[t] + U_c h[t-1] + b_c)
        h[t] = o[t] * tanh(c[t])
        E r[t+s] = belief[s] * scale * (V h[t] + v)[s]

    References
    ----------
    Hochreiter, S. and Schmidhuber, J. (1997). Long short-term memory. Neural Computation 9(8).
    """

    cell: ClassVar[str] = "LSTM"


@FORECASTERS.add("gru")
class Gru(Recurrent):
    """Gated recurrent units on the last twenty bars, early stopped on the past.

    With ``x[t]`` the bar's standardised features, ``z r`` the gates and ``*`` element by element::

        z[t], r[t] = sigmoid(W x[t] + U h[t-1] + b)
        h[t] = z[t] * h[t-1] + (1 - z[t]) * tanh(W_h x[t] + r[t] * (U_h h[t-1] + u) + b_h)
        E r[t+s] = belief[s] * scale * (V h[t] + v)[s]

    References
    ----------
    Cho, K. et al. (2014). Learning phrase representations using RNN encoder-decoder. EMNLP 2014.
    """

    cell: ClassVar[str] = "GRU"


@dataclass(frozen=True, slots=True)
class _Network:
    """Compiled functions of the weights, and the weights that training starts from."""

    initial: list[Any]
    optimiser: list[Any]
    step: Callable[..., tuple[list[Any], list[Any]]]
    rows: Callable[..., Any]

    def forecast(self, weights: list[Any], inputs: np.ndarray) -> np.ndarray:
        """Outcomes expected in units of scale, shape (n, STEPS)."""
        said = np.empty((len(inputs), STEPS))
        for start in range(0, len(inputs), _CHUNK):
            part = inputs[start : start + _CHUNK]
            padded = np.zeros((_CHUNK, *inputs.shape[1:]), dtype=np.float32)
            padded[: len(part)] = part
            said[start : start + len(part)] = np.asarray(self.rows(weights, padded))[: len(part)]
        return said


@lru_cache(maxsize=4)
def _network(cell: str, units: int) -> _Network:
    """Built and compiled once in a process."""
    # Read when they are imported; a person's own choice stands.
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if "xla_cpu_multi_thread_eigen" not in os.environ.get("XLA_FLAGS", ""):
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    import jax
    import keras

    layer = getattr(keras.layers, cell)(
        units,
        kernel_initializer=keras.initializers.GlorotUniform(seed=_SEED),
        recurrent_initializer=keras.initializers.Orthogonal(seed=_SEED + 1),
    )
    # It starts by expecting nothing, and has to be taught otherwise.
    head = keras.layers.Dense(STEPS, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((LENGTH, len(CHANNELS))), layer, head])
    optimiser = keras.optimizers.AdamW(learning_rate=1e-2, weight_decay=1e-2)
    optimiser.build(model.trainable_variables)
    fixed = [each.value for each in model.non_trainable_variables]

    def call(weights: list[Any], inputs: Any) -> Any:
        return model.stateless_call(weights, fixed, inputs)[0]

    def loss(weights: list[Any], inputs: Any, outcomes: Any, counted: Any) -> Any:
        errors = (call(weights, inputs) - outcomes) ** 2
        return (errors.mean(axis=1) * counted).sum() / counted.sum()

    @jax.jit
    def step(
        weights: list[Any], state: list[Any], inputs: Any, outcomes: Any, counted: Any
    ) -> tuple[list[Any], list[Any]]:
        slopes = jax.grad(loss)(weights, inputs, outcomes, counted)
        moved, state = optimiser.stateless_apply(state, slopes, weights)
        return moved, state

    @jax.jit
    def rows(weights: list[Any], inputs: Any) -> Any:
        return jax.lax.map(lambda row: call(weights, row[None])[0], inputs)

    return _Network(
        initial=[each.value for each in model.trainable_variables],
        optimiser=[each.value for each in optimiser.variables],
        step=step,
        rows=rows,
    )
