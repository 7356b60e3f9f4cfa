"""Risk: every measure once, every VaR with its test. Pure functions over frames."""

from __future__ import annotations

from quantkit.risk.tail_models import VAR_METHODS
from quantkit.risk.value_at_risk import TailRisk, VarMethod, expected_shortfall, tail_risk, value_at_risk

__all__ = ["VAR_METHODS", "TailRisk", "VarMethod", "expected_shortfall", "tail_risk", "value_at_risk"]
