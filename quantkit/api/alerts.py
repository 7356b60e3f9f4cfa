"""``GET /alerts``: what the latest daily reports found; a module of its own, since it asks no desk."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from quantkit.reporting.latest import latest_alerts

__all__ = ["router"]

router = APIRouter()


class AlertRow(BaseModel):
    """One event that a rule of quantkit.toml speaks of."""

    kind: str = Field(examples=["var_breach"])
    title: str = Field(examples=["VaR breach"])
    symbol: str = Field(description="Or the portfolio's name", examples=["AMZN"])
    as_of: str = Field(description="Session on which it was noticed", examples=["2023-09-21T00:00:00+00:00"])
    event: str = Field(description="What tells this event from the next of its kind")
    said: str = Field(description="One sentence")
    value: float | None = Field(description="The figure that went beyond")
    limit: float | None = Field(description="What it went beyond; null where the rule has no limit")
    id: str = Field(description="The same for the same event, however often it is noticed")


class AlertsBody(BaseModel):
    """Alerts of the latest run of reports."""

    date: str = Field(description="Day of that run; empty before the first", examples=["2023-09-21"])
    alerts: list[AlertRow]


@router.get("/alerts", responses={200: {"model": AlertsBody}}, tags=["Reports"], summary="Alerts")
def alerts(request: Request) -> dict[str, Any]:
    """What the latest daily reports (`quantkit report`) found by the rules of quantkit.toml."""
    latest = latest_alerts(request.app.state.service.desk.settings.home / "reports")
    rows = [each.to_dict() | {"title": each.title, "id": each.identity} for each in latest.alerts]
    return {"date": latest.date, "alerts": rows}
