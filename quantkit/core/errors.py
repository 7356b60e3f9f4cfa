"""What can go wrong, as one tree of exceptions.

A message is a sentence for the person who asked: it names the object, the value, and what would have been accepted.
``exit_code`` is what the command line ends with and ``title`` heads the REST problem document, so that every face
reports one error the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "Cancelled",
    "ComputeError",
    "DataError",
    "InfeasibleError",
    "KeyRefusedError",
    "MarketClosedError",
    "NoDataError",
    "NonsenseError",
    "NotEntitledError",
    "ProviderError",
    "QuantkitError",
    "SettingsError",
    "StoreError",
    "ThrottledError",
    "UnknownChoiceError",
    "UnknownSymbolError",
    "UsageError",
    "VendorDownError",
]


class QuantkitError(Exception):
    """Root of every error that quantkit raises on purpose."""

    exit_code: ClassVar[int] = 1
    title: ClassVar[str] = "quantkit could not answer"


class UsageError(QuantkitError, ValueError):
    """The question itself is malformed: a symbol, period, interval, level or date that nothing could satisfy."""

    exit_code = 2
    title = "The question cannot be understood"


class UnknownChoiceError(UsageError):
    """A name that is not in a :class:`~quantkit.core.registry.Registry`; the message lists its choices."""

    title = "Unknown choice"


class SettingsError(UsageError):
    """The environment or quantkit.toml says something that cannot be used."""

    title = "Unusable setting"


class NoDataError(QuantkitError):
    """The question is fine, but there is no data to answer it from."""

    exit_code = 3
    title = "No data"


class UnknownSymbolError(NoDataError):
    """No provider in use knows the symbol; the message offers the nearest known ones."""

    title = "Unknown symbol"


class DataError(QuantkitError, ValueError):
    """Data breaks its shape (NaN, unordered, too short); the message names the row and the column."""

    exit_code = 3
    title = "Unusable data"


class MarketClosedError(NoDataError):
    """The vendor has nothing for that time because the exchange was closed; says when it opened last or opens next."""

    title = "Market closed"


class ProviderError(QuantkitError):
    """A market data vendor refused or failed; the message carries the vendor's own words.

    Every kind of it is a reason to ask the next vendor in the order of preference. A symbol that a vendor does not
    know is none, and is no ``ProviderError``.
    """

    exit_code = 4
    title = "Market data vendor"


class ThrottledError(ProviderError):
    """The vendor answers no more questions for now.

    Parameters
    ----------
    message : str
    retry_after : float, optional
        Seconds until it does again, as far as is known.
    """

    title = "Vendor limits requests"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class VendorDownError(ProviderError):
    """The vendor cannot be reached, does not answer in time, or answers that it is broken."""

    title = "Vendor does not answer"


class NonsenseError(ProviderError):
    """The vendor's answer is not in the form that it documents: cut short, a web page, another symbol's."""

    title = "Vendor's answer makes no sense"


class KeyRefusedError(ProviderError):
    """The vendor's key is missing, wrong or expired; says which setting holds it."""

    title = "Vendor key refused"


class NotEntitledError(ProviderError):
    """The vendor has the data, but not for this plan; or does not cover the symbol's exchange at all."""

    title = "Not in the vendor's plan"


class StoreError(QuantkitError):
    """The database cannot be read or written: corrupt, read-only, locked, or its disk is full."""

    title = "Store"


class ComputeError(QuantkitError):
    """A computation could not be finished anywhere."""

    title = "Computation"


class InfeasibleError(QuantkitError):
    """No portfolio meets what was asked of it.

    Parameters
    ----------
    message : str
    binding : tuple of str
        Constraints, in words, that cannot hold together; leaving out any one of them would make the rest possible.
    relaxed : mapping of str to float
        Least change of each constraint's limit with which a portfolio exists.
    nearest : mapping of str to float
        Weights of the portfolio that is best under the limits so relaxed; empty where there is none.
    """

    exit_code = 5
    title = "Infeasible"

    def __init__(
        self,
        message: str,
        *,
        binding: tuple[str, ...] = (),
        relaxed: Mapping[str, float] | None = None,
        nearest: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(message)
        self.binding = binding
        self.relaxed = dict(relaxed or {})
        self.nearest = dict(nearest or {})


class Cancelled(QuantkitError):  # noqa: N818 - not a failure, like asyncio.CancelledError
    """The person who asked has withdrawn the question."""

    title = "Cancelled"
