"""What every vendor over a network shares: one way to ask, with its limits, retries and circuit breaker, and no key
in anything that is said.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import numpy as np
import pandas as pd

from quantkit.core.errors import KeyRefusedError, NonsenseError, ThrottledError, VendorDownError
from quantkit.data.base import HistoryQuery, Instrument, Status
from quantkit.data.pacing import AllowanceSpentError, Circuit, Limit, Pace

if TYPE_CHECKING:
    from pydantic import SecretStr

    from quantkit.settings import Settings

__all__ = ["Vendor", "actions_frame", "read_json", "retry_after", "within"]

T = TypeVar("T")

#: Attempts at one request, and the longest that a vendor's Retry-After is waited for within one of them, in seconds.
_ATTEMPTS: Final = 3
_SHORT_WAIT: Final = 5.0
#: Of a vendor's own words.
_LONGEST_WORDS: Final = 300


class Vendor:
    """Base of the providers that ask a vendor; subclasses make the request, read the answer and say what failed."""

    name: str
    status: Status = "delayed"
    #: Seconds that a question may wait for its turn; a caller that has something stored sets it lower.
    patience: float = 65.0
    #: Name of the setting that holds the key, for messages; empty where the vendor has none.
    key_setting: ClassVar[str] = ""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lazy: dict[str, Any] = {}
        self._opening = threading.Lock()

    @property
    def refresh(self) -> float:
        """Age in seconds at which it is asked again about an open market."""
        return self.settings.refresh_seconds

    def limits(self) -> tuple[Limit, ...]:
        """How often the vendor may be asked."""
        raise NotImplementedError

    def secrets(self) -> Iterable[SecretStr | None]:
        """Keys that must not be repeated in what the vendor says."""
        return ()

    def catalogue(self) -> list[Instrument]:
        """Empty: the vendor's list is open."""
        return []

    @property
    def pace(self) -> Pace:
        """The vendor's allowance, shared by all processes of this home."""
        return self._once("pace", lambda: Pace(self.settings.home, self.name, self.limits()))

    @property
    def circuit(self) -> Circuit:
        """Whether the vendor is asked at the moment."""
        return self._once("circuit", lambda: Circuit(self.settings.home, self.name))

    def tells_earnings(self) -> bool:
        """Whether an ``EarningsQuery`` may be put to it now."""
        return False

    def ask(self, request: Callable[[], T]) -> T:
        """The answer of `request`, in its turn and tried again where that may help.

        Parameters
        ----------
        request : callable
            Makes one request of the vendor; raises ``ProviderError`` as fits, or an error about the data itself.

        Raises
        ------
        ThrottledError
            The vendor, or its allowance, has no place within ``patience``.
        VendorDownError, NonsenseError
            After three attempts, with a random and growing wait between them.
        ProviderError
            Whatever else `request` raised.
        """
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        self.circuit.check()
        self._attempt_key()
        try:
            for attempt in Retrying(
                stop=stop_after_attempt(_ATTEMPTS), retry=retry_if_exception(_worth_another), wait=_wait, reraise=True
            ):
                with attempt:
                    self.pace.take(patience=self.patience)
                    answer = request()
        except AllowanceSpentError:
            raise
        except (ThrottledError, VendorDownError, NonsenseError) as error:
            self.circuit.failed(error)
            raise
        self.circuit.succeeded()
        return answer

    def words(self, text: object) -> str:
        """What the vendor said, on one line, short, and without a key that it repeats."""
        said = " ".join(str(text).split())
        for secret in self.secrets():
            if secret is not None and (value := secret.get_secret_value()):
                said = said.replace(value, "(key)")
        return said if len(said) <= _LONGEST_WORDS else said[:_LONGEST_WORDS] + "…"

    def key(self, secret: SecretStr | None) -> str:
        """The key in clear.

        Raises
        ------
        KeyRefusedError
            None is set.
        """
        if secret is None or not secret.get_secret_value().strip():
            raise KeyRefusedError(f"{self.name} needs a key; set {self.key_setting}")
        return secret.get_secret_value().strip()

    def _attempt_key(self) -> None:
        """Fail for a missing key before anything is asked or counted."""

    def _once(self, name: str, make: Callable[[], T]) -> T:
        with self._opening:
            if name not in self._lazy:
                self._lazy[name] = make()
            return self._lazy[name]  # type: ignore[no-any-return]


def read_json(vendor: Vendor, text: str) -> Any:
    """`text` as JSON.

    Raises
    ------
    NonsenseError
        It is cut short, or a web page; shows how it begins.
    """
    try:
        return json.loads(text)
    except ValueError:
        kind = "a web page" if text.lstrip()[:1] == "<" else "no JSON, or cut short"
        raise NonsenseError(f"{vendor.name} answered with {kind}: {vendor.words(text[:120])}") from None


def actions_frame(rows: Iterable[tuple[pd.Timestamp, str, float]]) -> pd.DataFrame:
    """Splits and dividends in the columns of ``Extract.actions``, by time."""
    frame = pd.DataFrame(sorted(rows), columns=["time", "kind", "value"])
    return frame.astype({"value": "float64"})


def within(bars: pd.DataFrame, query: HistoryQuery) -> pd.DataFrame:
    """Rows from `query.start` to `query.end`; a vendor may send more. Times that cannot be read stay, to be refused."""
    label = bars.index.normalize() if query.interval == "1d" else bars.index
    outside = np.zeros(len(bars), dtype=bool)
    if query.start is not None:
        outside |= np.asarray(label < query.start)
    if query.end is not None:
        outside |= np.asarray(label > query.end)
    return bars[~outside] if outside.any() else bars


def retry_after(text: str | None) -> float | None:
    """Seconds that a ``Retry-After`` asks for, given as seconds or as a date; None where it does not say.

    Examples
    --------
    >>> retry_after("30"), retry_after("soon")
    (30.0, None)
    """
    from email.utils import parsedate_to_datetime

    if text is None:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        try:
            return max((parsedate_to_datetime(text) - pd.Timestamp.now("UTC")).total_seconds(), 0.0)
        except (TypeError, ValueError):
            return None


def _worth_another(error: BaseException) -> bool:
    if isinstance(error, AllowanceSpentError):
        return False
    if isinstance(error, ThrottledError):
        return error.retry_after is not None and error.retry_after <= _SHORT_WAIT
    return isinstance(error, (VendorDownError, NonsenseError))


def _wait(state: Any) -> float:
    from tenacity import wait_random_exponential

    error = state.outcome.exception()
    jitter = float(wait_random_exponential(multiplier=0.25, max=4)(state))
    asked = error.retry_after if isinstance(error, ThrottledError) else None
    return (asked or 0.0) + jitter
