"""Widgets and bqplot charts: what a result looks like. Nothing here fetches or computes.

>>> from quantkit.ui import CandleChart
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantkit.ui.charts.candles import CandleChart
    from quantkit.ui.charts.explanation import ExplanationBars
    from quantkit.ui.charts.fan import FanChart
    from quantkit.ui.charts.frontier import FrontierChart
    from quantkit.ui.charts.heatmap import CorrelationMap
    from quantkit.ui.charts.histogram import ReturnsHistogram
    from quantkit.ui.charts.lines import (
        CorrelationChart,
        RollingChart,
        UnderwaterChart,
        VarChart,
        VolatilityChart,
        WealthChart,
    )
    from quantkit.ui.charts.signed_bars import SignedBars
    from quantkit.ui.charts.walk_chart import WalkChart
    from quantkit.ui.controls import (
        Action,
        Chip,
        Choice,
        CountField,
        CsvUpload,
        Fault,
        IntervalButtons,
        NumberField,
        PercentField,
        RangeButtons,
        Switch,
        TextField,
        csv_export,
        exports,
        toolbar,
    )
    from quantkit.ui.overlay_chips import OverlayChips
    from quantkit.ui.page import Page, query_string
    from quantkit.ui.panels import NowPanel
    from quantkit.ui.parts import AnswerPanel, page_tools
    from quantkit.ui.portfolio_figures import AllocationTiles, BacktestTable, SymbolChips, WeightTable
    from quantkit.ui.portfolio_layout import portfolio_panels
    from quantkit.ui.portfolio_query import PORTFOLIO_OBJECTIVES, REBALANCES
    from quantkit.ui.portfolio_state import PortfolioState
    from quantkit.ui.prediction_figures import (
        ExplanationWords,
        ForecastTiles,
        RecordTable,
        Standings,
        StepTable,
        TrainPanel,
        Verdict,
        VolatilityTable,
    )
    from quantkit.ui.prediction_layout import Menu, StepButtons, prediction_panels
    from quantkit.ui.prediction_state import PredictionState
    from quantkit.ui.risk_figures import (
        ContributionTable,
        DrawdownTable,
        MethodTable,
        MonthTable,
        RiskHeading,
        RiskTiles,
        StressTable,
    )
    from quantkit.ui.risk_layout import risk_panels
    from quantkit.ui.risk_state import LEVELS, METHODS, RiskState
    from quantkit.ui.screens import GridScreen, StockScreen
    from quantkit.ui.sortable import SortableTable
    from quantkit.ui.state import StockState
    from quantkit.ui.tables import Watchlist

_HOMES = {
    "PORTFOLIO_OBJECTIVES": "portfolio_query",
    "REBALANCES": "portfolio_query",
    "PortfolioState": "portfolio_state",
    "FrontierChart": "charts.frontier",
    "AllocationTiles": "portfolio_figures",
    "BacktestTable": "portfolio_figures",
    "SymbolChips": "portfolio_figures",
    "WeightTable": "portfolio_figures",
    "portfolio_panels": "portfolio_layout",
    "Action": "controls",
    "AnswerPanel": "parts",
    "CandleChart": "charts.candles",
    "Chip": "controls",
    "Choice": "controls",
    "ContributionTable": "risk_figures",
    "CorrelationChart": "charts.lines",
    "CorrelationMap": "charts.heatmap",
    "CountField": "controls",
    "CsvUpload": "controls",
    "DrawdownTable": "risk_figures",
    "ExplanationBars": "charts.explanation",
    "ExplanationWords": "prediction_figures",
    "FanChart": "charts.fan",
    "Fault": "controls",
    "ForecastTiles": "prediction_figures",
    "GridScreen": "screens",
    "IntervalButtons": "controls",
    "LEVELS": "risk_state",
    "METHODS": "risk_state",
    "Menu": "prediction_layout",
    "MethodTable": "risk_figures",
    "MonthTable": "risk_figures",
    "NowPanel": "panels",
    "NumberField": "controls",
    "OverlayChips": "overlay_chips",
    "Page": "page",
    "PercentField": "controls",
    "PredictionState": "prediction_state",
    "RangeButtons": "controls",
    "RecordTable": "prediction_figures",
    "ReturnsHistogram": "charts.histogram",
    "RiskHeading": "risk_figures",
    "RiskState": "risk_state",
    "RiskTiles": "risk_figures",
    "RollingChart": "charts.lines",
    "SignedBars": "charts.signed_bars",
    "SortableTable": "sortable",
    "Standings": "prediction_figures",
    "StepButtons": "prediction_layout",
    "StepTable": "prediction_figures",
    "StockScreen": "screens",
    "StockState": "state",
    "StressTable": "risk_figures",
    "Switch": "controls",
    "TextField": "controls",
    "TrainPanel": "prediction_figures",
    "UnderwaterChart": "charts.lines",
    "VarChart": "charts.lines",
    "Verdict": "prediction_figures",
    "VolatilityChart": "charts.lines",
    "VolatilityTable": "prediction_figures",
    "WalkChart": "charts.walk_chart",
    "Watchlist": "tables",
    "WealthChart": "charts.lines",
    "csv_export": "controls",
    "exports": "controls",
    "page_tools": "parts",
    "prediction_panels": "prediction_layout",
    "query_string": "page",
    "risk_panels": "risk_layout",
    "toolbar": "controls",
}

__all__ = [
    "LEVELS",
    "METHODS",
    "PORTFOLIO_OBJECTIVES",
    "REBALANCES",
    "Action",
    "AllocationTiles",
    "AnswerPanel",
    "BacktestTable",
    "CandleChart",
    "Chip",
    "Choice",
    "ContributionTable",
    "CorrelationChart",
    "CorrelationMap",
    "CountField",
    "CsvUpload",
    "DrawdownTable",
    "ExplanationBars",
    "ExplanationWords",
    "FanChart",
    "Fault",
    "ForecastTiles",
    "FrontierChart",
    "GridScreen",
    "IntervalButtons",
    "Menu",
    "MethodTable",
    "MonthTable",
    "NowPanel",
    "NumberField",
    "OverlayChips",
    "Page",
    "PercentField",
    "PortfolioState",
    "PredictionState",
    "RangeButtons",
    "RecordTable",
    "ReturnsHistogram",
    "RiskHeading",
    "RiskState",
    "RiskTiles",
    "RollingChart",
    "SignedBars",
    "SortableTable",
    "Standings",
    "StepButtons",
    "StepTable",
    "StockScreen",
    "StockState",
    "StressTable",
    "Switch",
    "SymbolChips",
    "TextField",
    "TrainPanel",
    "UnderwaterChart",
    "VarChart",
    "Verdict",
    "VolatilityChart",
    "VolatilityTable",
    "WalkChart",
    "Watchlist",
    "WealthChart",
    "WeightTable",
    "csv_export",
    "exports",
    "page_tools",
    "portfolio_panels",
    "prediction_panels",
    "query_string",
    "risk_panels",
    "toolbar",
]


def __getattr__(name: str) -> Any:
    # The page template reads the theme without paying for widgets.
    if name in _HOMES:
        return getattr(import_module(f"quantkit.ui.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'quantkit.ui' has no attribute {name!r}")
