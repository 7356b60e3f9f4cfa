"""The desk: every subject's questions over one store."""

from __future__ import annotations

from typing import Any, Self

from quantkit.data.market import Market
from quantkit.data.store import Store
from quantkit.desk.forecasts import Forecasts
from quantkit.desk.portfolios import Portfolios
from quantkit.desk.risks import Risks
from quantkit.settings import Settings

__all__ = ["Desk"]


class Desk(Forecasts, Risks, Portfolios):
    """Market data, forecasts, risk and portfolios over one store.

    It composes and holds no mathematics. Open it with :meth:`open`; it is a context manager, and safe to ask from
    several threads.

    Examples
    --------
    >>> with Desk.open() as desk:
    ...     desk.history("AAPL", period="1mo")["close"].iloc[-1].round(2)
    np.float64(173.93)
    """

    @classmethod
    def open(cls, settings: Settings | None = None, **overrides: Any) -> Self:
        """A desk on the settings in force; keyword arguments (``home``, ``provider``, ...) override them.

        Raises
        ------
        SettingsError
            A setting cannot be used.
        StoreError
            The database cannot be opened; says why and what to do.
        """
        if settings is None:
            settings = Settings.load(**overrides)
        store = Store.open(settings)
        try:
            return cls(settings, store, Market(settings, store))
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Let go of the store and of whatever computes; ends every watch."""
        for watch in list(self._watches):
            watch.close()
        if self._compute is not None:
            self._compute.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Desk on {', '.join(self.settings.provider)}; {self.store.url}>"
