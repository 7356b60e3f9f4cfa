"""Many symbols at once: the same bits as one by one, whoever computes; one that fails takes nothing from the others."""

from __future__ import annotations

import pytest

from quantkit import Desk
from quantkit.compute import open_compute
from quantkit.compute.many import ask_many
from quantkit.core.errors import Cancelled, DataError, UnknownChoiceError
from quantkit.core.kept import forget
from quantkit.data.files import import_file, write_table
from quantkit.forecast import Survey, leaderboard

ASKED = {"models": ["drift", "arima"], "horizon": 1, "origins": 60, "interval": "1d"}


@pytest.fixture(scope="module")
def survey(shared_desk):
    return shared_desk.survey("KO,PG,9988.HK", **ASKED)


def test_it_is_what_one_by_one_would_have_said(survey, shared_desk):
    assert [board.symbol for board in survey.boards] == ["KO", "PG"]
    forget()
    for board in survey.boards:
        alone = leaderboard(shared_desk.history(board.symbol, period="max"), symbol=board.symbol,
                            fingerprint=board.fingerprint, **ASKED)  # fmt: skip
        assert alone.to_dict() == board.to_dict()


def test_a_symbol_that_cannot_be_answered_is_named_with_its_reason(survey):
    assert survey.failures == {"9988.HK": "9988.HK has no 1d bars here; it has 1m"}
    assert "Without a leaderboard: 9988.HK" in survey.in_words()
    assert "of 2 symbols" in survey.in_words()
    frame = survey.to_frame()
    assert set(frame.index) == {"naive", "drift", "arima"}
    assert frame["symbols"].tolist() == [2, 2, 2]
    assert frame.loc["drift", "by_luck"] == pytest.approx(0.1)
    assert frame.loc["naive", "median_skill"] == 0
    assert Survey.from_dict(survey.to_dict()) == survey


def test_another_process_answers_in_the_same_bits(survey, tmp_path):
    with Desk.open(home=tmp_path) as desk:
        desk._compute = open_compute(desk.settings, desk.store, isolate=True)
        assert desk.compute.name == "process"
        assert desk.survey(["KO", "PG", "9988.HK"], **ASKED) == survey


def test_questions_without_sense_are_refused_at_once(shared_desk):
    with pytest.raises(UnknownChoiceError, match="did you mean arima"):
        shared_desk.survey(["KO"], ["arma"])
    with pytest.raises(DataError, match=r"not one symbol has a leaderboard: 9988\.HK has no 1d bars"):
        shared_desk.survey(["9988.HK"])


def test_a_short_history_does_not_stop_the_others(shared_desk, tmp_path):
    write_table(shared_desk.history("KO", period="6mo"), tmp_path / "new.csv")
    import_file(shared_desk.store, tmp_path / "new.csv", symbol="NEWCO")
    found = shared_desk.survey(["NEWCO", "KO"], **ASKED)
    assert "NEWCO: 127 bars are too few" in found.failures["NEWCO"]
    assert [board.symbol for board in found.boards] == ["KO"]


def test_cancelling_withdraws_every_question():
    asked = []

    def question(progress):
        asked.append(progress)
        while True:
            progress(0, 1)

    def enough(done: int, total: int, doing: str = "") -> None:
        assert (total, doing) == (5000, "0 of 5")
        if asked:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        ask_many({f"q{at}": question for at in range(5)}, progress=enough, at_once=2)
    assert len(asked) <= 2


def test_an_error_nobody_expected_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        ask_many({"fine": lambda progress: 1, "broken": lambda progress: 1 // 0})
    assert ask_many({}) == ({}, {})
