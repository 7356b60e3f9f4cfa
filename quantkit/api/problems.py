"""What goes wrong, as RFC 9457 problem documents.

Each class of :mod:`quantkit.core.errors` has a stable ``type`` made from its name and a status; a subclass that is not
listed has its parent's status. What an unexpected error says stays in the server's log.
"""

from __future__ import annotations

import logging
import math
import re
import secrets
from typing import Any, Final

from pydantic_core import to_json
from starlette.responses import Response

from quantkit.core import errors
from quantkit.core.errors import InfeasibleError, QuantkitError, StoreError

__all__ = [
    "MEDIA_TYPE", "OWN_PROBLEMS", "Problem", "RefusedError", "TooManyError", "problem_of", "problem_types", "slug",
    "unexpected",
]  # fmt: skip

log = logging.getLogger("quantkit.api")

MEDIA_TYPE: Final = "application/problem+json"

_STATUS: Final[dict[type[QuantkitError], int]] = {
    QuantkitError: 500,
    errors.UsageError: 422,
    errors.SettingsError: 503,
    errors.NoDataError: 404,
    errors.DataError: 422,
    errors.ProviderError: 502,
    errors.StoreError: 503,
    errors.ComputeError: 503,
    errors.InfeasibleError: 422,
    errors.Cancelled: 410,
}

#: Problems of the transport, which no quantkit error stands for: title and status by the last part of ``type``.
OWN_PROBLEMS: Final[dict[str, tuple[str, int]]] = {
    "malformed": ("The request cannot be read", 400),
    "invalid": ("The question cannot be understood", 422),
    "unauthorized": ("A key is needed", 401),
    "forbidden-host": ("Not the host that was asked for", 421),
    "not-found": ("Nothing is here", 404),
    "method-not-allowed": ("Not with this method", 405),
    "not-acceptable": ("Not in this format", 406),
    "too-large": ("The body is too large", 413),
    "too-many-requests": ("Too many requests", 429),
    "timeout": ("Still computing", 503),
    "stopping": ("The server is stopping", 503),
    "internal": ("Unexpected error", 500),
}


class Problem(Response):
    """A problem document.

    Parameters
    ----------
    kind : str
        Last part of ``type``.
    title : str
    status : int
    detail : str
        A sentence for the person who asked.
    headers : dict, optional
    **members
        Extension members.
    """

    def __init__(
        self, kind: str, title: str, status: int, detail: str, *, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        self.document = {"type": _uri(kind), "title": title, "status": status, "detail": detail, **members}
        super().__init__(to_json(self.document), status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA_TYPE)

    @classmethod
    def own(cls, kind: str, detail: str, *, headers: dict[str, str] | None = None, **members: Any) -> Problem:
        """One of :data:`OWN_PROBLEMS`."""
        return cls(kind, *OWN_PROBLEMS[kind], detail, headers=headers, **members)


class RefusedError(Exception):
    """Raised inside the server to answer with a problem of its own."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.document["detail"])
        self.problem = problem


class TooManyError(RefusedError):
    """More is asked than is allowed or can be worked on; says when to come back."""

    def __init__(self, detail: str, seconds: float) -> None:
        super().__init__(Problem.own("too-many-requests", detail, headers={"Retry-After": str(math.ceil(seconds))}))


def slug(error: type[BaseException]) -> str:
    """``unknown-symbol`` for ``UnknownSymbolError``: the stable last part of ``type``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", error.__name__.removesuffix("Error")).lower()


def problem_types() -> dict[str, tuple[str, int]]:
    """Title and status of every problem there is, by the last part of its ``type``."""
    found = {slug(kind): (kind.title, _status(kind)) for kind in _family(QuantkitError)}
    return found | OWN_PROBLEMS


def problem_of(error: QuantkitError) -> Problem:
    """The problem document of an error that quantkit raises on purpose."""
    kind, status = type(error), _status(type(error))
    detail, members, headers = str(error), {}, {}
    if isinstance(error, (StoreError, errors.SettingsError)):
        # These sentences are for whoever runs the server: they name its files and settings.
        log.error("%s: %s", kind.__name__, error)
        detail = "the server cannot read or write what it keeps; its log says why"
    if isinstance(error, InfeasibleError):
        members = {"binding": list(error.binding), "relaxed": error.relaxed, "nearest": error.nearest}
    if status == 503:
        headers["Retry-After"] = "5"
    return Problem(slug(kind), kind.title, status, detail, headers=headers, **members)


def unexpected(error: BaseException) -> Problem:
    """A problem that says nothing but where in the log the error is told in full."""
    incident = secrets.token_hex(4)
    log.error("incident %s", incident, exc_info=error)
    return Problem.own("internal", f"unexpected; the server's log tells it as {incident}",
                       incident=incident)  # fmt: skip


def _uri(kind: str) -> str:
    return f"urn:quantkit:problem:{kind}"


def _status(kind: type[BaseException]) -> int:
    return next(_STATUS[each] for each in kind.__mro__ if each in _STATUS)


def _family(kind: type[QuantkitError]) -> list[type[QuantkitError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _family(child))]
