"""The one facade: what every face asks, so that every face shows the same number."""

from __future__ import annotations

from quantkit.desk.desk import Desk
from quantkit.desk.market import DEFAULT_BENCHMARK

__all__ = ["DEFAULT_BENCHMARK", "Desk"]
