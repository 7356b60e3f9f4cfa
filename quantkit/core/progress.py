"""How a long computation says how far it is, and hears that nobody wants it any more."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """Called between steps of a long computation; raises :class:`~quantkit.core.errors.Cancelled` to stop it."""

    def __call__(self, done: int, total: int, doing: str = "") -> None: ...


def silent(done: int, total: int, doing: str = "") -> None:
    """The progress of a computation that nobody watches."""
