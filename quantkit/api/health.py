"""Whether the server can answer: what readiness looks at, without asking any vendor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from quantkit.core.errors import QuantkitError

if TYPE_CHECKING:
    from quantkit.desk import Desk

__all__ = ["readiness"]


def readiness(desk: Desk) -> dict[str, dict[str, str]]:
    """State (``fine``, ``note``, ``failed``) and a sentence for ``store``, ``bus``, ``vendor`` and ``compute``."""
    try:
        desk.store.last_change()
        desk.store.data_version()
    except QuantkitError:
        broken = {"state": "failed", "said": "the store cannot be read; the server's log says why"}
        return {"store": broken, "bus": broken}
    return {
        "store": {"state": "fine", "said": "can be read"},
        "bus": _bus(desk),
        "vendor": _vendor(desk),
        "compute": {"state": "fine", "said": f"heavy questions are answered by {desk.compute.name}"},
    }


def _bus(desk: Desk) -> dict[str, str]:
    if desk.settings.redis_url is None:
        return {"state": "fine", "said": "the store tells of changes"}
    from quantkit.data.bus import check_redis

    try:
        return {"state": "fine", "said": f"Redis {check_redis(desk.settings)} tells of changes"}
    except QuantkitError:
        # Listeners then ask the store by themselves.
        return {"state": "note", "said": "Redis does not answer: changes are found in the store, within seconds"}


def _vendor(desk: Desk) -> dict[str, str]:
    held = (desk.store.bar_ends(symbol) for symbol in desk.settings.watchlist)
    newest = max((found[1] for found in held if found is not None), default=None)
    names = ", ".join(provider.name for provider in desk.market.providers)
    if newest is None:
        return {"state": "note", "said": f"nothing of {names} has been stored yet"}
    said = f"the newest session stored from {names} is of {newest:%Y-%m-%d}"
    lively = any(provider.status in ("live", "delayed") for provider in desk.market.providers)
    old = lively and pd.Timestamp.now("UTC") - newest > pd.Timedelta(days=5)
    return {"state": "note" if old else "fine", "said": said}
