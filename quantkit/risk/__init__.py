"""Risk: every measure once, every VaR with its test. Pure functions over frames."""

from __future__ import annotations

from quantkit.risk.backtest_results import VarBacktest, VarBacktests
from quantkit.risk.contributions import Contributions, portfolio_returns, risk_contributions
from quantkit.risk.correlation import Correlation, correlation, rolling_correlation
from quantkit.risk.drawdowns import Drawdown, drawdown_series, drawdown_table
from quantkit.risk.history import RiskHistory, risk_history
from quantkit.risk.measures import summary
from quantkit.risk.report import RiskReport, risk_report
from quantkit.risk.rolling import rolling
from quantkit.risk.scenarios import EPISODES, Stress, stress
from quantkit.risk.tail_models import VAR_METHODS
from quantkit.risk.value_at_risk import TailRisk, VarMethod, expected_shortfall, tail_risk, value_at_risk
from quantkit.risk.var_backtest import backtest_var
from quantkit.risk.volatility import VolatilityForecast, next_volatility, term_structure, volatility_series

__all__ = [
    "EPISODES",
    "VAR_METHODS",
    "Contributions",
    "Correlation",
    "Drawdown",
    "RiskHistory",
    "RiskReport",
    "Stress",
    "TailRisk",
    "VarBacktest",
    "VarBacktests",
    "VarMethod",
    "VolatilityForecast",
    "backtest_var",
    "correlation",
    "drawdown_series",
    "drawdown_table",
    "expected_shortfall",
    "next_volatility",
    "portfolio_returns",
    "risk_contributions",
    "risk_history",
    "risk_report",
    "rolling",
    "rolling_correlation",
    "stress",
    "summary",
    "tail_risk",
    "term_structure",
    "value_at_risk",
    "volatility_series",
]
