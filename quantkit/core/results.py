"""What every answer can do: go to JSON and come back with the same bits.

Results are ``@dataclass(frozen=True, slots=True)``, validated at construction. This base reads their annotations once
and encodes by type, so that a new result is a list of typed fields and nothing more.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd

from quantkit.core.schema import TIME_DTYPE

__all__ = ["Result"]

R = TypeVar("R", bound="Result")


class Result:
    """Base of results; fields may be str, int, float, bool, Timestamp, other results, tuples and dicts of these,
    Series and DataFrames. NaN becomes null and comes back as NaN; infinities are refused."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe dict of the fields, in their order."""
        return {
            field.name: _encode(getattr(self, field.name), field.name)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        }

    @classmethod
    def from_dict(cls: type[R], values: Mapping[str, Any]) -> R:
        """The result that :meth:`to_dict` came from, bit for bit; unknown keys are ignored, missing ones refused."""
        hints = _hints(cls)  # type: ignore[arg-type]
        fields = [field for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
        return cls(**{field.name: _decode(values[field.name], hints[field.name]) for field in fields})

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return False
        # A trait compares what it held with what it gets, on every bar: two fingerprints are told apart at once.
        if getattr(self, "fingerprint", None) != getattr(other, "fingerprint", None):
            return False
        return all(
            _encode(getattr(self, field.name), field.name) == _encode(getattr(other, field.name), field.name)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        )

    __hash__ = None  # type: ignore[assignment]


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Types of the fields of a class: they are evaluated from text, which costs more than most answers."""
    return get_type_hints(cls)


def _encode(value: Any, name: str) -> Any:
    if value is None:
        return None
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return _encode_float(float(value), name)
    if isinstance(value, pd.Timestamp):
        return value.tz_convert("UTC").isoformat()
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, pd.Series):
        return {"index": _encode_index(value.index), "values": [_encode_float(v, name) for v in value.tolist()]}
    if isinstance(value, pd.DataFrame):
        columns = {str(c): [_encode(v, f"{name}.{c}") for v in value[c].tolist()] for c in value.columns}
        return {"index": _encode_index(value.index), "columns": columns}
    if isinstance(value, Mapping):
        return {str(key): _encode(each, f"{name}.{key}") for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [_encode(each, name) for each in value]
    raise TypeError(f"{name}: {type(value).__name__} cannot be part of a result")


def _encode_float(value: float, name: str) -> float | None:
    if math.isinf(value):
        raise ValueError(f"{name} is infinite, which no face can show; expected a number or NaN")
    return None if math.isnan(value) else value


def _encode_index(index: pd.Index) -> list[Any]:
    if isinstance(index, pd.DatetimeIndex):
        return [stamp.isoformat() for stamp in index]
    return [each if isinstance(each, (int, float)) else str(each) for each in index.tolist()]


def _decode_index(values: list[Any]) -> pd.Index:
    # A session or bar time is written with its offset; no symbol or label ends that way.
    if values and isinstance(values[0], str) and values[0].endswith("+00:00"):
        return pd.DatetimeIndex(values, name="time").astype(TIME_DTYPE)
    return pd.Index(values)


_LEAVES: dict[Any, Callable[[Any], Any]] = {
    float: lambda value: math.nan if value is None else float(value),
    int: int,
    bool: bool,
    str: str,
    pd.Timestamp: lambda value: pd.Timestamp(value).as_unit("us"),
}


def _decode(value: Any, hint: Any) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _decode(value, next(arg for arg in args if arg is not type(None)))
    if hint in _LEAVES:
        return _LEAVES[hint](value)
    if origin is Literal or hint is Any:
        return value
    if origin is tuple:
        return tuple(_decode(each, args[0]) for each in value)
    if origin is dict:
        return {key: _decode(each, args[1]) for key, each in value.items()}
    if isinstance(hint, type) and issubclass(hint, Result):
        return hint.from_dict(value)
    if hint is pd.Series:
        floats = [math.nan if each is None else each for each in value["values"]]
        return pd.Series(floats, index=_decode_index(value["index"]), dtype=float)
    if hint is pd.DataFrame:
        return pd.DataFrame(value["columns"], index=_decode_index(value["index"]))
    raise TypeError(f"a result field of type {hint!r} cannot be read back")
