"""Statistical proof of the VaR backtests on prices whose law is known (``make proof``; the table is committed).

200 series of GARCH(1,1) with Student-t shocks, 99 %, 2,000 origins each. The model that knows the true parameters must
be rejected about as often as the test's size says, the one that takes returns for independent normals nearly always.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from quantkit.risk import backtest_var
from quantkit.risk.coverage import conditional_coverage, coverage_ratio, kupiec, kupiec_critical
from quantkit.risk.garch import fit_garch

SERIES, TRAIN, ORIGINS, LEVEL = 200, 1000, 2000, 0.99
OMEGA, ALPHA, BETA, NU = 2e-6, 0.10, 0.88, 5.0
TABLE = Path(__file__).parents[2] / "docs/proof/risk.md"


def garch_t(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([20240101, seed])
    count = TRAIN + ORIGINS
    shocks = rng.standard_t(NU, count) * np.sqrt((NU - 2) / NU)
    returns, sigma = np.empty(count), np.empty(count)
    variance = OMEGA / (1 - ALPHA - BETA)
    for t in range(count):
        sigma[t] = np.sqrt(variance)
        returns[t] = sigma[t] * shocks[t]
        variance = OMEGA + ALPHA * returns[t] ** 2 + BETA * variance
    return returns, sigma


def refitted(returns: np.ndarray, every: int = 250) -> np.ndarray:
    """VaR of a GARCH-t whose parameters are estimated every 250 origins from the past, filtered in between."""
    var = np.empty(ORIGINS)
    for start in range(0, ORIGINS, every):
        model = fit_garch(returns[: TRAIN + start], innovations="t")
        nu = model.parameters["nu"]
        quantile = stats.t.ppf(1 - LEVEL, nu) * np.sqrt((nu - 2) / nu)
        stop = min(start + every, ORIGINS)
        sigma = model.filter(returns[: TRAIN + stop])[TRAIN + start : TRAIN + stop]
        var[start:stop] = model.mean + sigma * quantile
    return var


@pytest.mark.proof
@pytest.mark.timeout(3000)
def test_the_true_model_is_rejected_as_often_as_it_should_be_and_the_gaussian_in_most() -> None:
    quantile = stats.t.ppf(1 - LEVEL, NU) * np.sqrt((NU - 2) / NU)
    index = pd.date_range("2000-01-01", periods=TRAIN + ORIGINS, freq="D", tz="UTC", unit="us")
    names = ("true parameters", "refitted GARCH-t", "fhs", "gaussian")
    kupiec_p = {name: [] for name in names}
    joint_p = {name: [] for name in names}
    breaches = {name: [] for name in names}
    for seed in range(SERIES):
        returns, sigma = garch_t(seed)
        outcome = returns[TRAIN:]
        tested = backtest_var(
            pd.Series(returns, index=index, name=f"series {seed}"), level=LEVEL, methods=["gaussian", "fhs"],
            origins=ORIGINS, min_train=TRAIN, refit=250,
        )  # fmt: skip
        hits = {
            "true parameters": outcome < sigma[TRAIN:] * quantile,
            "refitted GARCH-t": outcome < refitted(returns),
            "fhs": (tested.path["return"] < tested.path["fhs"]).to_numpy(),
            "gaussian": (tested.path["return"] < tested.path["gaussian"]).to_numpy(),
        }
        for name, each in hits.items():
            assert len(each) == ORIGINS
            breaches[name].append(int(each.sum()))
            kupiec_p[name].append(kupiec(int(each.sum()), ORIGINS, level=LEVEL).p_value)
            joint_p[name].append(conditional_coverage(each, level=LEVEL).p_value)
    rejected = {name: float(np.mean(np.array(kupiec_p[name]) < 0.05)) for name in names}
    x = np.arange(ORIGINS + 1)
    ratios = coverage_ratio(x, np.array(ORIGINS), 1 - LEVEL)
    beyond = ratios >= kupiec_critical(ORIGINS, 1 - LEVEL) - 1e-9
    size = stats.binom.pmf(x, ORIGINS, 1 - LEVEL)[beyond].sum()
    lines = [
        f"# VaR backtests on {SERIES} simulated GARCH-t series, {LEVEL:.0%}, {ORIGINS} origins",
        "",
        f"Written by `tests/proof/test_var_proof.py`. Exact size of Kupiec's test here: {size:.1%}.",
        "",
        "| model | mean breach rate | rejected by Kupiec | rejected by conditional coverage |",
        "|---|---|---|---|",
        *(
            f"| {name} | {np.mean(breaches[name]) / ORIGINS:.2%} | {rejected[name]:.1%} "
            f"| {np.mean(np.array(joint_p[name]) < 0.05):.1%} |"
            for name in names
        ),
        "",
    ]
    TABLE.write_text("\n".join(lines), encoding="utf-8")
    assert 0.02 <= rejected["true parameters"] <= 0.09
    assert rejected["gaussian"] > 0.5
    assert rejected["refitted GARCH-t"] < rejected["gaussian"]
