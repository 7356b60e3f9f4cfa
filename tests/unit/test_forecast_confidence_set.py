"""The model confidence set: the best is in it, the clearly worse is not, and luck is counted."""

from __future__ import annotations

import numpy as np
import pytest
from arch.bootstrap import MCS

from quantkit.core.errors import DataError
from quantkit.forecast import leaderboard
from quantkit.forecast.confidence_set import CONFIDENCE_SEED, CONFIDENCE_SIZE, confidence_set


def losses(seed: int, extra: tuple[float, ...], count: int = 250) -> dict[str, np.ndarray]:
    """Absolute errors of models that add noise of the given size to the best one's."""
    rng = np.random.default_rng(seed)
    outcome = 0.01 * rng.standard_t(5, size=count)
    return {f"m{at}": np.abs(outcome - each * rng.normal(size=count)) for at, each in enumerate(extra)}


def test_it_is_the_one_of_arch_called_directly():
    table = losses(1, (0.0, 0.002, 0.004, 0.02))
    theirs = MCS(np.column_stack(list(table.values())), 0.1, reps=1000, block_size=16, method="R", seed=CONFIDENCE_SEED)
    theirs.compute()
    # Columns are sorted before the test, which changes nothing about which model is worst.
    found = confidence_set(table)
    np.testing.assert_allclose([found[f"m{at}"] for at in theirs.pvalues.index], theirs.pvalues["Pvalue"])
    assert {name for name in found if found[name] > CONFIDENCE_SIZE} == {f"m{at}" for at in theirs.included}


def test_a_clearly_worse_model_is_out_and_the_best_has_one():
    found = confidence_set(losses(2, (0.0, 0.0, 0.05)))
    assert found["m2"] <= CONFIDENCE_SIZE < min(found["m0"], found["m1"])
    assert max(found.values()) == 1.0


def test_models_that_said_the_same_share_their_value():
    table = losses(3, (0.0, 0.004))
    found = confidence_set(
        {"naive": table["m0"], "auto": table["m0"].copy(), "other": table["m1"], "same": table["m1"]}
    )
    assert found["naive"] == found["auto"]
    assert found["other"] == found["same"]
    assert confidence_set({"a": table["m0"], "b": table["m0"]}) == {"a": 1.0, "b": 1.0}
    assert confidence_set({"a": table["m0"]}) == {"a": 1.0}


def test_the_same_losses_give_the_same_set_in_whatever_order():
    table = losses(4, (0.0, 0.001, 0.002))
    backwards = confidence_set(dict(reversed(table.items())))
    assert backwards == confidence_set(table)
    assert list(backwards) == ["m2", "m1", "m0"]


def test_outcomes_that_nobody_knows_are_left_out():
    table = losses(5, (0.0, 0.003))
    holes = {name: np.where(np.arange(250) % 10 == 0, np.nan, loss) for name, loss in table.items()}
    known = {name: loss[np.arange(250) % 10 != 0] for name, loss in table.items()}
    assert confidence_set(holes) == confidence_set(known)
    with pytest.raises(DataError, match="19 forecasts are too few"):
        confidence_set({name: loss[:19] for name, loss in table.items()})


def test_the_best_model_is_kept_about_as_often_as_promised():
    kept = sum(confidence_set(losses(seed, (0.0, 0.002, 0.003)))["m0"] > CONFIDENCE_SIZE for seed in range(40))
    # At least 90 % are promised; 31 of 40 is the 1 % bound of a binomial.
    assert kept >= 31


def test_a_leaderboard_says_which_models_are_in_the_set(bars_of):
    shocks = 0.01 * np.random.default_rng(3).normal(size=700)
    for t in range(1, len(shocks)):
        shocks[t] += 0.7 * shocks[t - 1]
    board = leaderboard(bars_of(shocks), models=["drift", "arima"], horizon=1)
    frame = board.to_frame()
    assert frame.loc["arima", "in_confidence_set"]
    assert not frame.loc["naive", "in_confidence_set"]
    assert frame.loc["naive", "set_p_value"] <= board.confidence_size == 0.1
    assert board.confidence_seed == CONFIDENCE_SEED
    assert "10% model confidence set: " in board.in_words()
    assert "arima" in board.in_words().split("set: ")[1]
    assert type(board).from_dict(board.to_dict()) == board
