"""quantkit: market data, forecasts with their proof, risk and portfolios, for Jupyter, Voila, REST and reports.

>>> from quantkit import Desk
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantkit.desk import Desk

__version__ = "0.1.0"
__all__ = ["Desk", "__version__"]


def __getattr__(name: str) -> Any:
    # Heavy libraries load where they are first used: `import quantkit` costs no more than pandas does.
    if name == "Desk":
        from quantkit.desk import Desk

        return Desk
    raise AttributeError(f"module 'quantkit' has no attribute {name!r}")
