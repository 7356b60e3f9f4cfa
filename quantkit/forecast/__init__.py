"""Forecasts of the next bars, each beside the proof of what it has been worth."""

from __future__ import annotations

# Importing a model's module registers it; statsmodels and the like load where a model is fitted.
from quantkit.forecast.base import FORECASTERS, Band, Contender, Forecast, Forecaster, ForecastStep, Trend
from quantkit.forecast.naive import Drift, Naive

from quantkit.forecast.arima import Arima  # isort: skip
from quantkit.forecast.sarima import Sarima  # isort: skip
from quantkit.forecast.trees import Forest, Xgboost  # isort: skip
from quantkit.forecast.recurrent import Gru, Lstm  # isort: skip
from quantkit.forecast.blend import Blend  # isort: skip
from quantkit.forecast.auto import Auto  # isort: skip
from quantkit.forecast.explain import Contribution, Explanation, explain
from quantkit.forecast.hindcast import Hindcast, check_step, hindcast
from quantkit.forecast.inquiry import check_model
from quantkit.forecast.leaderboard import Leaderboard, Standing, leaderboard
from quantkit.forecast.ledger import PublishedStep, TrackRecord, TrackSummary, ledger_rows, track_record
from quantkit.forecast.predict import predict
from quantkit.forecast.survey import Survey, survey_of
from quantkit.forecast.volatility import VolatilityLeaderboard, VolatilityStanding, volatility_leaderboard
from quantkit.forecast.volatility_models import VOLATILITY_MODELS
from quantkit.forecast.walk import check_horizon, check_origins

__all__ = [
    "FORECASTERS",
    "VOLATILITY_MODELS",
    "Arima",
    "Auto",
    "Band",
    "Blend",
    "Contender",
    "Contribution",
    "Drift",
    "Explanation",
    "Forecast",
    "ForecastStep",
    "Forecaster",
    "Forest",
    "Gru",
    "Hindcast",
    "Leaderboard",
    "Lstm",
    "Naive",
    "PublishedStep",
    "Sarima",
    "Standing",
    "Survey",
    "TrackRecord",
    "TrackSummary",
    "Trend",
    "VolatilityLeaderboard",
    "VolatilityStanding",
    "Xgboost",
    "check_horizon",
    "check_model",
    "check_origins",
    "check_step",
    "explain",
    "hindcast",
    "leaderboard",
    "ledger_rows",
    "predict",
    "survey_of",
    "track_record",
    "volatility_leaderboard",
]
