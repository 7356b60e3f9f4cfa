"""What tests ask of a vendor's provider."""

from __future__ import annotations

import pandas as pd

from quantkit.data.base import PROVIDERS, HistoryQuery
from quantkit.data.cleaning import clean

KEY = "MARKER-KEY-7f3a91"
LAST = pd.Timestamp("2026-06-30", tz="UTC")
#: After the session of LAST has closed and settled.
NOW = pd.Timestamp("2026-07-01 02:00", tz="UTC")


def provider_on(settings, name):
    return PROVIDERS[name](settings)


def history(provider, symbol="AAPL", interval="1d", **span):
    query = HistoryQuery(symbol, interval, **span)
    return provider.normalise(provider.extract(provider.build(query)), query)


def tidy(extract, interval="1d"):
    paid = extract.actions[extract.actions["kind"] == "dividend"] if extract.adjust else None
    return clean(extract.bars, symbol="AAPL", interval=interval, source="test", dividends=paid)
