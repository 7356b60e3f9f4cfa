"""What a desk says of the bars to come, and how that has gone so far."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from quantkit.core.errors import StoreError
from quantkit.core.progress import Progress, silent
from quantkit.core.schema import Interval, check_interval, check_level, check_symbols
from quantkit.desk.market import MarketData, When

if TYPE_CHECKING:
    from quantkit.forecast import (
        Explanation,
        Forecast,
        Hindcast,
        Leaderboard,
        Survey,
        TrackRecord,
        VolatilityLeaderboard,
    )

__all__ = ["Forecasts"]

log = logging.getLogger("quantkit.desk")


class Forecasts(MarketData):
    """Questions about the future."""

    def predict(
        self,
        symbol: str,
        model: str = "auto",
        horizon: int = 5,
        level: float = 0.95,
        interval: Interval = "1d",
        *,
        as_of: When = None,
        progress: Progress = silent,
    ) -> Forecast:
        """Forecast of the next `horizon` bars, with its measured coverage and skill beside it.

        What is answered is published: it stands in the ledger that :meth:`track_record` reads, unchangeable.

        Parameters
        ----------
        symbol : str
        model : str
            A name in ``quantkit.forecast.FORECASTERS``, or ``auto``.
        horizon : int
            Bars ahead.
        level : float
            Of the interval, in (0, 1).
        interval : {"1d", "1m"}
        as_of : date, datetime or text, optional
            Forecast as it would have been made then, from what was known then.
        progress : callable
            Told ``(done, total, doing)`` while it takes; may raise ``Cancelled``.

        Returns
        -------
        Forecast

        Raises
        ------
        UnknownChoiceError
            No such model; lists them.
        DataError
            The history is too short for the model; says how much is needed.
        """
        from quantkit.forecast import check_horizon, check_model, predict

        question = {
            "model": check_model(model),
            "horizon": check_horizon(horizon),
            "level": check_level(level),
            "interval": check_interval(interval),
        }
        bars = self.history(symbol, period="max", interval=interval, as_of=as_of)
        question |= {key: bars.attrs[key] for key in ("symbol", "currency", "calendar")}
        forecast = self._answer(predict, (bars,), question, progress)
        self._publish(forecast, bars.attrs["calendar"])
        return forecast

    def explain(
        self,
        symbol: str,
        model: str = "auto",
        horizon: int = 1,
        interval: Interval = "1d",
        *,
        as_of: When = None,
        progress: Progress = silent,
    ) -> Explanation:
        """What each input contributed to the forecast that :meth:`predict` makes of the same question.

        Parameters
        ----------
        symbol : str
        model : str
            A name in ``quantkit.forecast.FORECASTERS``; ``auto`` is explained by the model it chose.
        horizon : int
            Bars ahead; contributions are cumulative up to there.
        interval, as_of, progress
            As in :meth:`predict`.

        Raises
        ------
        UnknownChoiceError, UsageError, DataError, ComputeError
        """
        from quantkit.forecast import check_horizon, check_model, explain

        interval = check_interval(interval)
        question = {"model": check_model(model, interval), "horizon": check_horizon(horizon), "interval": interval}
        return self._of_history(explain, symbol, question, ("symbol", "currency"), as_of, progress)

    def survey(
        self,
        symbols: Iterable[str] | str,
        models: Sequence[str] | None = None,
        horizon: int = 5,
        origins: int = 250,
        interval: Interval = "1d",
        *,
        level: float = 0.95,
        progress: Progress = silent,
    ) -> Survey:
        """Leaderboards of many symbols, wherever this desk computes: each worker of a cluster takes the next one.

        A symbol without a leaderboard is a failure with its reason; the others stand.

        Parameters
        ----------
        symbols : list of str, or text separated by commas
        models, horizon, origins, interval, level
            As in :meth:`leaderboard`.

        Raises
        ------
        UnknownChoiceError, UsageError
        DataError
            Not one symbol has a leaderboard.
        """
        from quantkit.compute.many import ask_many
        from quantkit.forecast import check_horizon, check_model, check_origins, survey_of

        for model in models or ():
            check_model(model, interval)
        asked = {
            "models": models, "horizon": check_horizon(horizon), "origins": check_origins(origins),
            "interval": check_interval(interval), "level": check_level(level),
        }  # fmt: skip

        def question(symbol: str) -> Callable[[Progress], Leaderboard]:
            return lambda part: self.leaderboard(symbol, **asked, progress=part)  # type: ignore[arg-type]

        wanted = check_symbols(symbols)
        return survey_of(*ask_many({each: question(each) for each in wanted}, progress=progress))

    def volatility(
        self,
        symbol: str,
        models: Sequence[str] | None = None,
        horizon: int = 5,
        interval: Interval = "1d",
        *,
        origins: int = 250,
        as_of: When = None,
        progress: Progress = silent,
    ) -> VolatilityLeaderboard:
        """Volatility of the next bars by every model, annualised, ranked by QLIKE on one walk through the past.

        Parameters
        ----------
        symbol : str
        models : sequence of str, optional
            Names in ``quantkit.forecast.VOLATILITY_MODELS``; all that can forecast the interval by default.
        horizon : int
            Bars ahead over which variance is summed.
        interval : {"1d", "1m"}
        origins : int
            Past outcomes that are scored.

        Raises
        ------
        UnknownChoiceError, UsageError, DataError, ComputeError
        """
        from quantkit.forecast import VOLATILITY_MODELS, check_horizon, check_origins, volatility_leaderboard

        if models is not None and not isinstance(models, str):
            for model in models:
                VOLATILITY_MODELS[model]
        question = {
            "models": models if models is None or isinstance(models, str) else list(models),
            "horizon": check_horizon(horizon),
            "origins": check_origins(origins),
            "interval": check_interval(interval),
        }
        return self._of_history(volatility_leaderboard, symbol, question, ("symbol", "calendar"), as_of, progress)

    def track_record(self, symbol: str, model: str | None = None, interval: Interval = "1d") -> TrackRecord:
        """Forecasts of `symbol` published before their outcome was known, beside what came.

        Parameters
        ----------
        symbol : str
        model : str, optional
            A name in ``quantkit.forecast.FORECASTERS``; all if left out.
        interval : {"1d", "1m"}
        """
        from quantkit.forecast import check_model, track_record

        asked = None if model is None else check_model(model)
        interval = check_interval(interval)
        symbol = self.market.instrument(symbol).symbol
        self.store.ledger.score(symbol, interval)
        published = self.store.ledger.record(symbol, interval, asked)
        return track_record(published, symbol=symbol, interval=interval, model=asked)

    def hindcast(
        self,
        symbol: str,
        model: str = "auto",
        horizon: int = 5,
        level: float = 0.95,
        interval: Interval = "1d",
        *,
        step: int | None = None,
        as_of: When = None,
        progress: Progress = silent,
    ) -> Hindcast:
        """What :meth:`predict` would have said `step` bars ahead at every origin that it is scored on, and what came.

        Parameters
        ----------
        symbol, model, horizon, level, interval, as_of, progress
            As in :meth:`predict`.
        step : int, optional
            1 to `horizon`; the last one by default.
        """
        from quantkit.forecast import check_horizon, check_model, check_step, hindcast

        interval = check_interval(interval)
        question = {
            "model": check_model(model, interval),
            "horizon": check_horizon(horizon),
            "step": check_step(step, check_horizon(horizon)),
            "level": check_level(level),
            "interval": interval,
        }
        return self._of_history(hindcast, symbol, question, ("symbol", "currency"), as_of, progress)

    def leaderboard(
        self,
        symbol: str,
        models: Sequence[str] | None = None,
        horizon: int = 5,
        origins: int = 250,
        interval: Interval = "1d",
        *,
        level: float = 0.95,
        as_of: When = None,
        progress: Progress = silent,
    ) -> Leaderboard:
        """Every model (or the named ones) on the same walk through the past, beside naive, with significance.

        Raises
        ------
        UnknownChoiceError, UsageError, DataError
        """
        from quantkit.forecast import check_horizon, check_model, check_origins, leaderboard

        question = {
            "models": None if models is None else [check_model(model, interval) for model in models],
            "horizon": check_horizon(horizon),
            "origins": check_origins(origins),
            "level": check_level(level),
            "interval": check_interval(interval),
        }
        return self._of_history(leaderboard, symbol, question, ("symbol",), as_of, progress)

    def _of_history(
        self,
        function: Any,
        symbol: str,
        question: dict[str, Any],
        told: tuple[str, ...],
        as_of: When,
        progress: Progress,
    ) -> Any:
        """The answer to `question` of all bars of `symbol`; `told` is what it must know of them beside the numbers."""
        bars = self.history(symbol, period="max", interval=question["interval"], as_of=as_of)
        return self._answer(function, (bars,), question | {name: bars.attrs[name] for name in told}, progress)

    def _publish(self, forecast: Forecast, calendar: str) -> None:
        """Put the forecast into the ledger; a store that cannot be written costs its place there, not the answer."""
        from quantkit.forecast import ledger_rows

        try:
            if not self.store.ledger.has(forecast.fingerprint):
                self.store.ledger.publish(ledger_rows(forecast, calendar=calendar))
        except StoreError as error:
            log.warning("a forecast is not in the ledger: %s", error)
