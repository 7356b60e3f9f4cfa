"""Imported once by the process that visitors' kernels are forked from: all that a screen needs before it asks Desk.

No thread may be started here, nor a file, socket or database be left open: a fork would have half of it.
"""

from __future__ import annotations

import gc

import ipykernel.kernelapp  # noqa: F401
import pandas as pd

import quantkit
import quantkit.ui
from quantkit.core.calendars import sessions_between

for module in (quantkit, quantkit.ui):
    for name in module.__all__:
        getattr(module, name)
# The calendar that most symbols follow: half a second of importing and laying out.
sessions_between(*pd.DatetimeIndex(["2000-01-03", "2000-01-04"], tz="UTC"))

# What is there now will never be garbage; a collection that looked at it in each kernel would copy its pages.
gc.collect()
gc.freeze()
