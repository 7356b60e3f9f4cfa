"""A named table of choices that lists itself when a name is unknown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import CodeType, FunctionType
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from quantkit.core.errors import UnknownChoiceError

__all__ = ["Registry", "own_code"]

T = TypeVar("T")

#: Every table in use: one that a program made for itself is gone with it.
_TABLES: WeakSet[Registry[Any]] = WeakSet()


def own_code(names: Iterable[str]) -> list[str]:
    """Hashes of the code of those of `names` that somebody has added to any table from outside quantkit."""
    tables = sorted(_TABLES, key=lambda table: table.kind)
    return [table.own[name] for name in sorted(set(names)) for table in tables if name in table.own]


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
        #: Hash of the code of each choice that was added from outside quantkit, by its name.
        self.own: dict[str, str] = {}
        _TABLES.add(self)

    # A mapping compares by content and so has no hash; a table is itself alone.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

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
                self.own[name] = _code_hash(choice)
            return choice

        return register

    def built_in(self) -> dict[str, T]:
        """The choices that come with quantkit, without those that somebody has added from outside."""
        return {name: choice for name, choice in self._choices.items() if name not in self.own}

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
