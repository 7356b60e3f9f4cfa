"""What has been walked already, kept in memory so that a new bar costs one more step and not the whole walk.

A walk, a calibration, a composite's choices: each is a recursion over the past, whose state after n bars is a function
of those bars alone. It is kept beside the hash of the bars that it has seen, and is taken up again only where the
first n bars of the new question are the same to the last bit: an appended bar extends it, a corrected one finds nothing
and is computed from the start. Either way the bits are those of the cold answer.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from quantkit.core.fingerprint import data_hash

__all__ = ["History", "forget"]

#: States kept, the most recently used ones; a forecast by ``auto`` leaves about ten, a VaR backtest counts as eight.
MOST: Final = 128


@dataclass(frozen=True, slots=True)
class _Kept:
    length: int
    digest: str
    state: Any
    weight: int


class _Memory:
    """States by key, the least recently used forgotten first; safe to use from several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def pop(self, key: Hashable) -> _Kept | None:
        with self._lock:
            return self._kept.pop(key, None)

    def put(self, key: Hashable, kept: _Kept) -> None:
        with self._lock:
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(each.weight for each in self._kept.values()) > self._most:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


_MEMORY: Final = _Memory(MOST)


def forget() -> None:
    """Forget everything that was walked: the next question is answered cold, in the same bits."""
    _MEMORY.clear()


class History:
    """The rows of one question, as far as kept states go on from them.

    Parameters
    ----------
    data : DataFrame, shape (T, any)
        Bars or returns.
    first : int
        Row at which the walk begins; the rows up to it tell one series from another.
    """

    def __init__(self, data: pd.DataFrame, first: int) -> None:
        self._data = data
        self._first = first
        self._digests: dict[int, str] = {}

    def take(self, *key: Hashable) -> Any | None:
        """The state that :meth:`keep` was given under `key` after these very rows, or the first of them; else None.

        It is the caller's alone from here on, to be changed in place and kept again; one that is abandoned half way,
        by an error or a cancellation, is never seen again.
        """
        kept = _MEMORY.pop(self._key(key))
        if kept is None or kept.length > len(self._data) or kept.digest != self._digest(kept.length):
            return None
        return kept.state

    def keep(self, state: Any, *key: Hashable, weight: int = 1) -> None:
        """Keep `state`, which has seen all rows, under `key`; a large one counts as `weight` others."""
        length = len(self._data)
        _MEMORY.put(self._key(key), _Kept(length, self._digest(length), state, weight))

    def _key(self, key: tuple[Hashable, ...]) -> Hashable:
        return (self._first, self._digest(self._first + 1), key)

    def _digest(self, length: int) -> str:
        found = self._digests.get(length)
        if found is None:
            found = self._digests[length] = data_hash(self._data.iloc[:length])
        return found
