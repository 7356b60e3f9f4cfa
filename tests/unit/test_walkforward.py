from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import DataError, UsageError
from quantkit.core.walkforward import WalkForward


def spans(walk: WalkForward, length: int) -> list[tuple[int, int, int, int, bool]]:
    return [(s.train.start, s.train.stop, s.test.start, s.test.stop, s.refit) for s in walk.slices(length)]


def test_every_test_slice_begins_where_its_training_ends():
    for train_start, train_stop, test_start, test_stop, _ in spans(
        WalkForward(origins=20, horizon=3, min_train=10), 60
    ):
        assert (train_start, test_start, test_stop - test_start) == (0, train_stop, 3)


def test_the_last_origin_has_its_whole_horizon_after_it():
    assert spans(WalkForward(origins=5, horizon=3, min_train=10), 60)[-1][3] == 60


def test_a_live_walk_goes_on_to_the_last_row_whose_outcome_nobody_knows():
    slices = spans(WalkForward(origins=4, horizon=2, min_train=3, live=True), 10)
    assert [s[1] - 1 for s in slices] == [6, 7, 8, 9]
    assert [s[2:4] for s in slices] == [(7, 9), (8, 10), (9, 10), (10, 10)]


def test_anchored_refits_stay_on_their_rows_when_a_row_is_added():
    walk = WalkForward(origins=30, min_train=10, refit=10, live=True, anchored=True)
    before = {s.origin for s in walk.slices(60) if s.refit}
    after = {s.origin for s in walk.slices(61) if s.refit}
    assert before == {30, 39, 49, 59}
    assert after == {31, 39, 49, 59}


def test_refits_that_are_not_anchored_count_from_the_first_origin():
    assert [s[4] for s in spans(WalkForward(origins=5, min_train=3, refit=2), 20)] == [True, False, True, False, True]


def test_a_rolling_window_keeps_its_length():
    slices = spans(WalkForward(origins=5, min_train=8, window=8), 40)
    assert {stop - start for start, stop, *_ in slices} == {8}


def test_who_decides_gets_a_copy_of_the_past_and_nothing_else():
    data = pd.DataFrame({"x": np.arange(30.0)})
    seen = WalkForward(origins=3, min_train=5).run(
        data, lambda past, step: (past["x"].max(), past.__setitem__("x", -1))
    )
    assert [last for last, _ in seen] == [26.0, 27.0, 28.0]
    assert data["x"].tolist() == list(np.arange(30.0))


def test_too_few_rows_say_how_many_are_needed():
    with pytest.raises(DataError, match="50 to learn from and 5"):
        list(WalkForward(origins=1, horizon=5, min_train=50).slices(54))


@pytest.mark.parametrize("name", ["origins", "horizon", "min_train", "refit", "step"])
def test_a_walk_with_no_sense_is_refused(name):
    with pytest.raises(UsageError, match=name):
        WalkForward(**{name: 0})
    with pytest.raises(UsageError, match="window"):
        WalkForward(min_train=10, window=5)
