"""Claims about whole families of series: ten or so here, hundreds under the marker ``proof``.

The proofs write their figures to ``docs/proof/forecasts.md``.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantkit.forecast import FORECASTERS, evaluate
from quantkit.forecast.base import SIGNIFICANCE, Composite
from quantkit.forecast.intervals import FAN, calibrate
from quantkit.forecast.predict import contend
from quantkit.forecast.walk import plan_walk, walk_models

LIGHT = [name for name, kind in FORECASTERS.items() if not kind.heavy]
BARS, ORIGINS = 1000, 250
DOCS = Path(__file__).parents[2] / "docs" / "proof"

proof = pytest.mark.proof
slow = pytest.mark.timeout(4 * 3600)


def simulated(bars_of, seed: int, phi: float) -> pd.DataFrame:
    shocks = 0.01 * np.random.default_rng([seed, 20240101]).normal(size=BARS - 1)
    for t in range(1, len(shocks)):
        shocks[t] += phi * shocks[t - 1]
    return bars_of(shocks)


def claims(bars: pd.DataFrame, horizon: int) -> dict[str, bool]:
    """Which models would be said to beat naive, each alone; whether any would after adjustment; what auto does."""
    plan = plan_walk(len(bars), horizon=horizon, origins=ORIGINS)
    walks, outcomes = walk_models(LIGHT, bars, plan, step=horizon)
    said = {
        name: contend({name: walk}, outcomes, plan)[0].p_value < SIGNIFICANCE
        for name, walk in walks.items()
        if name != "naive"
    }
    single = {name: walk for name, walk in walks.items() if not isinstance(FORECASTERS[name](), Composite)}
    said["something"] = any(each.p_value < SIGNIFICANCE for each in contend(single, outcomes, plan))
    said["auto leaves"] = walks["auto"].chosen != "naive"
    return said


def counts(bars_of, series: int, phi: float, horizon: int) -> dict[str, int]:
    frame = pd.DataFrame([claims(simulated(bars_of, seed, phi), horizon) for seed in range(series)])
    return {str(name): int(count) for name, count in frame.sum().items()}


def note(name: str, figures: object) -> None:
    """Keep the figures of a proof and rewrite the page that shows them all."""
    DOCS.mkdir(parents=True, exist_ok=True)
    kept = DOCS / "forecasts.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    known[name] = figures
    kept.write_text(json.dumps(known, indent=1) + "\n")
    lines = ["# Forecasts: what was proven", "", "Written by `make proof` (`tests/unit/test_forecast_claims.py`).", ""]
    for title, table in sorted(known.items()):
        lines += [f"## {title}", "", "| | " + " | ".join(next(iter(table.values()))) + " |"]
        lines += ["|---" * (1 + len(next(iter(table.values())))) + "|"]
        lines += [
            f"| {row} | " + " | ".join(str(value) for value in cells.values()) + " |" for row, cells in table.items()
        ]
        lines += [""]
    (DOCS / "forecasts.md").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("series", "at_most"),
    # 18 of 200 and 2 of 10 are about the 99 % bounds of a binomial with 5 %.
    [(10, 2), pytest.param(200, 18, marks=[proof, slow])],
)
@pytest.mark.parametrize("horizon", [1, pytest.param(5, marks=proof)])
def test_on_random_walks_hardly_anything_is_said_to_beat_naive(bars_of, series, at_most, horizon):
    found = counts(bars_of, series, 0.0, horizon)
    if series == 200:
        note("False claims on 200 random walks", _rows("False claims on 200 random walks", f"horizon {horizon}", found))
    assert max(found.values()) <= at_most, found


@pytest.mark.parametrize(("series", "at_least"), [(6, 5), pytest.param(50, 45, marks=[proof, slow])])
def test_on_autoregressions_arima_is_seen_to_beat_naive(bars_of, series, at_least):
    found = counts(bars_of, series, 0.5, 1)
    if series == 50:
        note("Claims on 50 AR(1) series with phi = 0.5", {"horizon 1": found})
    assert found["arima"] >= at_least, found
    assert found["auto leaves"] >= at_least - 2, found


def _rows(title: str, row: str, found: dict[str, int]) -> dict[str, dict[str, int]]:
    kept = DOCS / "forecasts.json"
    known = json.loads(kept.read_text()).get(title, {}) if kept.exists() else {}
    return known | {row: found}


def measured(bars: pd.DataFrame, model: str, origins: int) -> tuple[np.ndarray, np.ndarray]:
    """Coverage, and interval score over that of a historical band of constant width around the same medians: the
    quantiles of the last 500 known errors. Shape (steps, levels) each."""
    plan = plan_walk(len(bars), horizon=5, origins=origins)
    walks, outcomes = walk_models([model], bars, plan, step=5)
    ours = calibrate(walks[model].medians, outcomes)
    flat = dataclasses.replace(outcomes, scale=np.ones(len(plan.rows)))
    constant = calibrate(walks[model].medians, flat, gamma=0.0, pool=500)
    coverage, ratio = np.empty((5, 3)), np.empty((5, 3))
    for step in range(1, 6):
        scored = plan.scored(step)
        came = outcomes.returns[scored, step - 1]
        for at, level in enumerate(FAN):
            lower, upper = ours.lower[scored, step - 1, at], ours.upper[scored, step - 1, at]
            coverage[step - 1, at] = evaluate.coverage(came, lower, upper)
            ratio[step - 1, at] = evaluate.interval_score(came, lower, upper, level=level) / evaluate.interval_score(
                came, constant.lower[scored, step - 1, at], constant.upper[scored, step - 1, at], level=level
            )
    return coverage, ratio


@pytest.mark.parametrize("symbol", ["AAPL", "XOM"])
def test_on_real_prices_intervals_hold_what_they_say(sample_bars, symbol):
    coverage, ratio = measured(sample_bars(symbol), "naive", 500)
    assert (np.abs(coverage[0] - FAN) <= [0.035, 0.035, 0.025]).all()
    assert (np.abs(coverage[4] - FAN) <= [0.06, 0.06, 0.04]).all()
    assert ratio[0, 2] < 1.05


@proof
@slow
@pytest.mark.parametrize("model", ["naive", "arima", "auto"])
def test_on_all_embedded_symbols_intervals_hold_what_they_say(sample_bars, model):
    from quantkit.data.sample import SampleProvider

    symbols = [each.symbol for each in SampleProvider().catalogue() if "1d" in each.intervals and each.symbol[0] != "^"]
    assert len(symbols) == 25
    found = [measured(sample_bars(symbol), model, 500) for symbol in symbols]
    coverage, ratio = np.stack([each[0] for each in found]), np.stack([each[1] for each in found])
    score = np.exp(np.log(ratio).mean(axis=0))
    rows = {}
    for step in (1, 5):
        for at, level in enumerate(FAN):
            worse = [symbol for symbol, each in zip(symbols, ratio[:, step - 1, at], strict=True) if each > 1]
            rows[f"step {step}, {level:.0%}"] = {
                "mean coverage": round(float(coverage[:, step - 1, at].mean()), 4),
                "lowest": round(float(coverage[:, step - 1, at].min()), 3),
                "highest": round(float(coverage[:, step - 1, at].max()), 3),
                "score / constant band": round(float(score[step - 1, at]), 4),
                "worse than the constant band": " ".join(worse) or "none",
            }
    note(f"Intervals of {model} on 25 symbols, 500 origins", rows)
    for step, mean, each in ((1, 0.015, [0.035, 0.035, 0.025]), (5, 0.03, [0.06, 0.06, 0.04])):
        assert (np.abs(coverage[:, step - 1].mean(axis=0) - FAN) <= mean).all(), rows
        assert (np.abs(coverage[:, step - 1] - FAN) <= each).all(), rows
    assert (score[[0, 4]] <= 1).all(), rows
