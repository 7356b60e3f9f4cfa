"""quantkit: market data, forecasts with their proof, risk and portfolios, for Jupyter, Voila, REST and reports.

>>> from quantkit import Desk
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantkit.desk import Desk

# arch brings its recursions compiled. It would import numba beside them where that is installed, and use it for nothing
# that is asked here: 60 MB of every process, and a tenth of the time of its first risk report.
os.environ.setdefault("ARCH_DISABLE_NUMBA", "1")

__version__ = "0.1.0"
__all__ = ["Desk", "__version__"]


def __getattr__(name: str) -> Any:
    # Heavy libraries load where they are first used: `import quantkit` costs no more than pandas does.
    if name == "Desk":
        from quantkit.desk import Desk

        return Desk
    raise AttributeError(f"module 'quantkit' has no attribute {name!r}")
