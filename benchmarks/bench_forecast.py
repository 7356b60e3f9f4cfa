"""Walk-forward ARIMA against refitting statsmodels at every origin, and what a question costs."""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd

ORIGINS = 250


def _bars() -> pd.DataFrame:
    from quantkit.data.base import HistoryQuery
    from quantkit.data.sample import SampleProvider

    provider, query = SampleProvider(), HistoryQuery("AAPL")
    return provider.normalise(provider.extract(provider.build(query)), query).bars


def _refit_everywhere(bars: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """One-step forecasts of statsmodels' ARIMA(1, 1, 1) with drift, on log prices differenced once, refitted."""
    from statsmodels.tsa.arima.model import ARIMA

    returns = np.diff(np.log(bars["close"].to_numpy()))
    scale = returns[: rows[0]].std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(
            [ARIMA(returns[:row] / scale, order=(1, 0, 1), trend="c").fit().forecast(1)[0] * scale for row in rows]
        )


def run() -> list[dict[str, Any]]:
    from quantkit.core.kept import forget
    from quantkit.forecast import explain, leaderboard, predict
    from quantkit.forecast.target import outcomes_of
    from quantkit.forecast.walk import Plan, walk_forward

    bars = _bars()
    predict(bars.iloc[-300:], model="arima", horizon=1)
    plan = Plan(first=len(bars) - ORIGINS - 1, length=len(bars) - 1, horizon=1, origins=ORIGINS)

    started = time.perf_counter()
    walk = walk_forward("arima", bars.iloc[:-1], plan)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    refitted = _refit_everywhere(bars, plan.rows)
    peer = time.perf_counter() - started
    came = outcomes_of(bars, plan.rows, 1).returns[:, 0]
    errors = [float(np.mean(np.abs(came - path))) for path in (walk.paths[:, 0], refitted)]

    rows = [
        {"what": "walk-forward ARIMA, 250 origins; statsmodels refitted at each", "ours": ours, "peer": peer,
         "ratio": ours / peer, "budget": 0.1, "unit": "s"},
        {"what": "its mean absolute error, against the same", "ours": errors[0], "peer": errors[1],
         "ratio": errors[0] / errors[1], "budget": 1.01, "unit": "log-return"},
    ]  # fmt: skip
    for what, ask in (
        ("predict arima, 2,699 bars, warm process", lambda: predict(bars, model="arima")),
        ("predict auto, 2,699 bars, warm process", lambda: predict(bars)),
        ("leaderboard of the seven light models and auto, 250 origins, cold (budget 60 s)", lambda: leaderboard(bars)),
        (
            "predict lstm, 2,500 bars, imports and compiling included (budget 20 s)",
            lambda: predict(bars.iloc[-2500:], model="lstm"),
        ),
        ("predict lstm again, compiled", lambda: predict(bars.iloc[-2500:], model="lstm")),
        ("explain xgboost, 2,699 bars", lambda: explain(bars, model="xgboost")),
    ):
        forget()
        started = time.perf_counter()
        ask()
        took = time.perf_counter() - started
        rows.append({"what": what, "ours": took, "peer": None, "ratio": None, "budget": None, "unit": "s"})
    rows.append(_after_a_new_bar(bars))
    return rows


def _after_a_new_bar(bars: pd.DataFrame, count: int = 40) -> dict[str, Any]:
    """The forecast of ``auto`` as bars arrive one by one, against the cold one."""
    from quantkit.core.kept import forget
    from quantkit.forecast import predict

    forget()
    started = time.perf_counter()
    predict(bars.iloc[:-count])
    cold = time.perf_counter() - started
    times = []
    for missing in range(count - 1, -1, -1):
        known = bars.iloc[: len(bars) - missing]
        started = time.perf_counter()
        predict(known)
        times.append(time.perf_counter() - started)
    late = float(np.quantile(times, 0.95))
    return {"what": "predict auto after one more bar, p95 of 40; the cold answer (budget 0.1 s)", "ours": late,
            "peer": cold, "ratio": late / cold, "budget": None, "unit": "s"}  # fmt: skip


if __name__ == "__main__":
    for row in run():
        print(row, file=sys.stdout)
