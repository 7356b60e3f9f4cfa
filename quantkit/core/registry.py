"""A named table of choices that lists itself when a name is unknown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import CodeType, FunctionType
from typing import Any, Generic, TypeVar

from quantkit.core.errors import UnknownChoiceError

__all__ = ["Registry", "own_code"]

T = TypeVar("T")

#: Hash of the code of every choice that was added from outside quantkit, by its name.
_OWN: dict[str, str] = {}


def own_code(names: Iterable[str]) -> dict[str, str]:
    """Hash of the code of each of `names` that somebody has added from outside quantkit; the others are left out."""
    return {name: _OWN[name] for name in names if name in _OWN}


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
        """Decorator that registers what it decorates under `name`.

        A second owner of a name is a ``ValueError``; the same one defined again, as a notebook's cell that is run
        twice does, takes the place of the first.
        """

        def register(choice: T) -> T:
            before = self._choices.get(name)
            if before is not None and _place(before) != _place(choice):
                raise ValueError(f"{self.kind} {name!r} is registered already, as {before!r}")
            self._choices[name] = choice
            if not _place(choice)[0].startswith("quantkit."):
                _OWN[name] = _code_hash(choice)
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


def _place(choice: object) -> tuple[str, str]:
    kind = choice if isinstance(choice, (type, FunctionType)) else type(choice)
    alike = kind is choice or ""
    return kind.__module__, f"{kind.__qualname__}{'' if alike else id(choice)}"


def _code_hash(choice: object) -> str:
    digest = hashlib.sha256()
    for part in _code_of(choice):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _code_of(choice: Any) -> Iterator[str]:
    """What a class or a function does, without where it is written: a comment or a moved line changes nothing."""
    if isinstance(choice, CodeType):
        yield from (choice.co_name, choice.co_code.hex(), *choice.co_names)
        for constant in choice.co_consts:
            yield from _code_of(constant) if isinstance(constant, CodeType) else (repr(constant),)
    elif isinstance(choice, type):
        for name, member in vars(choice).items():
            if not name.startswith("__") or isinstance(member, FunctionType):
                yield name
                yield from _code_of(member)
    elif isinstance(choice, FunctionType):
        yield repr(choice.__defaults__)
        yield from _code_of(choice.__code__)
    elif isinstance(choice, (classmethod, staticmethod)):
        yield from _code_of(choice.__func__)
    elif isinstance(choice, property):
        yield from (part for each in (choice.fget, choice.fset) if each is not None for part in _code_of(each))
    else:
        # An object's address would be another hash in every process.
        yield repr(choice) if type(choice).__module__ == "builtins" else type(choice).__qualname__
