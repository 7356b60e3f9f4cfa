"""A named table of choices that lists itself when a name is unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Generic, TypeVar

from quantkit.core.errors import UnknownChoiceError

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Choices by name, in the order they were added.

    Drop-downs, CLI help, API schemas and contract tests iterate the same registry, so that adding a model is adding
    one file and one line.

    Examples
    --------
    >>> models = Registry("model")
    >>> @models.add("naive")
    ... class Naive: ...
    >>> list(models)
    ['naive']
    >>> models["arma"]
    Traceback (most recent call last):
    quantkit.core.errors.UnknownChoiceError: unknown model 'arma'; choose from naive
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._choices: dict[str, T] = {}

    def add(self, name: str) -> Callable[[T], T]:
        """Decorator that registers what it decorates under `name`; a second owner of a name is a ``ValueError``."""

        def register(choice: T) -> T:
            if name in self._choices:
                raise ValueError(f"{self.kind} {name!r} is registered already, as {self._choices[name]!r}")
            self._choices[name] = choice
            return choice

        return register

    def __getitem__(self, name: str) -> T:
        try:
            return self._choices[name]
        except (KeyError, TypeError):
            near = get_close_matches(str(name), self._choices, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UnknownChoiceError(
                f"unknown {self.kind} {name!r}{hint}; choose from {', '.join(self._choices)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._choices

    def get(self, name, default=None):  # type: ignore[no-untyped-def]  # Mapping.get would catch only KeyError
        return self._choices.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def __repr__(self) -> str:
        return f"Registry({self.kind!r}: {', '.join(self._choices)})"
