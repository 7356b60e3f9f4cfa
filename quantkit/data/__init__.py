"""The only code that talks to vendors, files and databases.

``PROVIDERS`` holds every provider by the name used in ``QUANTKIT_PROVIDER``; importing a provider's module registers
it, and heavy libraries wait inside the functions that need them.
"""

from quantkit.data.base import PROVIDERS, Extract, HistoryQuery, Instrument, Provider

from quantkit.data import alphavantage, files, massive, replay, sample, yahoo  # isort: skip  # noqa: F401  # after base, which they register with

__all__ = ["PROVIDERS", "Extract", "HistoryQuery", "Instrument", "Provider"]
