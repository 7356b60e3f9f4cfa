"""Who gives way where processors are few: what computes, to what draws."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["give_way"]


def give_way() -> None:
    """Let screens, servers and collectors go before this process, where the system knows priorities.

    On two cores a leaderboard and a chart that follows the market want the same processor: the leaderboard takes a
    little longer, the chart would stand still.
    """
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(5)
