"""The OpenAPI form of a result, from its annotations and its docstring, so that neither can drift from the other.

>>> from quantkit.data.quote import Quote
>>> form = model_of(Quote)
>>> form.model_json_schema()["properties"]["age_seconds"]["description"]
'Since the bar was complete.'
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, create_model

from quantkit.core.results import Result

__all__ = ["SeriesForm", "TableForm", "attribute_docs", "model_of"]

_EXAMPLES: Final[dict[str, Any]] = {
    "symbol": "AAPL", "name": "Apple", "currency": "USD", "interval": "1d", "source": "sample", "status": "sample",
    "level": 0.95, "as_of": "2023-09-21T00:00:00+00:00", "timestamp": "2023-09-21T00:00:00+00:00",
    "predicted_volatility": 0.0167, "predicted_price": 173.95, "value_at_risk_95": -4.55, "coverage": 0.948,
    "value_at_risk_95_return": -0.0262, "skill": 0.0, "trend": "UP", "trend_probability": 0.52, "sharpe": 0.88,
    "max_drawdown": -0.385, "beta": 1.24, "fingerprint": "1da3ffb729beabdbbec98b13056f506a", "horizon": 5,
    "model": "auto", "objective": "max_sharpe", "benchmark": "^GSPC", "close": 173.93, "origins": 250,
    "expected_return": 0.208, "volatility": 0.257,
}  # fmt: skip

#: Units of what a docstring lists by name only.
_UNITS: Final[dict[str, str]] = {
    "total_return": "Over the whole period, a decimal", "annual_return": "Geometric, a decimal a year",
    "annual_volatility": "Decimal a year", "downside_deviation": "Decimal a year",
    "sharpe": "Annual ratio beyond the risk-free rate", "sortino": "Annual ratio", "calmar": "Annual ratio",
    "omega": "Gains over losses", "max_drawdown": "Deepest fall from a peak, a decimal of 0 or below",
    "max_drawdown_duration": "Periods", "hit_rate": "Share of periods that rose", "best": "Best period's return",
    "worst": "Worst period's return", "beta": "To the benchmark", "alpha": "Decimal a year",
    "correlation": "With the benchmark", "tracking_error": "Decimal a year", "up_capture": "Ratio",
    "down_capture": "Ratio", "information_ratio": "Annual ratio", "tail_ratio": "95th over 5th percentile",
    "probabilistic_sharpe": "Probability that the true Sharpe ratio is above zero",
    "fingerprint": "Hash of data, question and code: the same on every face", "currency": "ISO 4217, or GBX",
    "skewness": "Of returns", "excess_kurtosis": "Of returns", "level": "Probability, such as 0.95",
    "periods_per_year": "By which figures are annualised", "as_of": "Bar that the answer stands on, UTC",
}  # fmt: skip


class SeriesForm(BaseModel):
    """Labelled numbers."""

    index: list[str | int | float] = Field(description="Labels or times")
    values: list[float | None] = Field(description="One a label; null where there is none")


class TableForm(BaseModel):
    """Labelled columns of equal length."""

    index: list[str | int | float] = Field(description="Labels or times of the rows")
    columns: dict[str, list[Any]] = Field(description="Values by column, one a row")


@lru_cache(maxsize=64)
def model_of(result: type[Result]) -> type[BaseModel]:
    """The pydantic model of ``result.to_dict()``; every number may be null, which is what NaN becomes."""
    hints, docs = get_type_hints(result), attribute_docs(result)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(result):  # type: ignore[arg-type]
        about: dict[str, Any] = {"description": docs.get(field.name) or _UNITS.get(field.name)}
        if field.name in _EXAMPLES:
            about["examples"] = [_EXAMPLES[field.name]]
        fields[field.name] = (_form(hints[field.name]), Field(**about))
    summary = (inspect.getdoc(result) or "").partition("\n")[0]
    return create_model(result.__name__, __doc__=summary, __config__=ConfigDict(protected_namespaces=()), **fields)


def attribute_docs(result: type) -> dict[str, str]:
    """Description by field, from the numpydoc section ``Attributes`` (or ``Parameters``)."""
    text = inspect.getdoc(result) or ""
    section = re.search(r"^(?:Attributes|Parameters)\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", text, re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    if section is None:
        return found
    for entry in re.finditer(r"^(\S[^\n]*?) : ([^\n]*)\n((?:[ \t]+[^\n]*\n?|\n)*)", section[1] + "\n", re.MULTILINE):
        said = " ".join(entry[3].split())
        for name in entry[1].split(","):
            found[name.strip()] = said.replace("``", "`")
    return found


_LEAVES: Final[dict[Any, Any]] = {
    float: float | None,
    pd.Timestamp: datetime,
    pd.Series: SeriesForm,
    pd.DataFrame: TableForm,
    Any: Any,
}


def _form(hint: Any) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint in _LEAVES:
        return _LEAVES[hint]
    if origin in (Union, types.UnionType):
        return _form(next(each for each in args if each is not type(None))) | None
    if origin is tuple:
        return list[_form(args[0])]  # type: ignore[misc]
    if origin is dict:
        return dict[str, _form(args[1])]  # type: ignore[misc]
    if origin is Literal or hint in (str, int, bool):
        return hint
    if isinstance(hint, type) and issubclass(hint, Result):
        return model_of(hint)  # type: ignore[arg-type]  # a result has no hash, its type has
    raise TypeError(f"{hint!r} has no JSON form")
