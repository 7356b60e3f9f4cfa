"""What is in order and what is not, each with what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from quantkit.core.errors import QuantkitError
from quantkit.settings import Settings

__all__ = ["Check", "checks"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: ``fine``, ``note`` (works, but know this) or ``failed``."""

    state: Literal["fine", "note", "failed"]
    what: str
    said: str


def checks() -> Iterator[Check]:
    """Every check in turn; a check that raises is a failed check, never the end of the others."""
    yield _python()
    yield _libraries()
    try:
        settings = Settings.load()
    except QuantkitError as error:
        yield Check("failed", "settings", str(error))
        return
    yield Check("fine", "settings", f"home {settings.home}; provider {', '.join(settings.provider)}")
    for what, check in _OF_SETTINGS.items():
        try:
            yield check(settings)
        except QuantkitError as error:
            yield Check("failed", what, str(error))
        except Exception as error:
            yield Check("failed", what, f"{type(error).__name__}: {error}")


def _python() -> Check:
    return Check("fine", "python", f"{sys.version.split()[0]} at {sys.executable}")


def _libraries() -> Check:
    names = ("jupyterlab", "voila", "ipywidgets", "bqplot", "pandas", "statsmodels", "arch", "distributed")
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("failed", "libraries", f"{', '.join(missing)} missing; run `make run` or pip install quantkit")
    return Check("fine", "libraries", ", ".join(found))


def _store(settings: Settings) -> Check:
    from quantkit.data.store import Store

    with Store.open(settings) as store:
        symbols = len(store.instruments())
        return Check("fine", "store", f"{store.url}, {symbols} symbol{'s' * (symbols != 1)} stored")


def _bus(settings: Settings) -> Check:
    if settings.redis_url is None:
        return Check("fine", "bus", "the store's own: listeners are woken by its commits")
    from quantkit.data.bus import check_redis

    return Check("fine", "bus", f"Redis {check_redis(settings)}")


def _collector(settings: Settings) -> Check:
    from quantkit.data.store import Store

    with Store.open(settings) as store:
        runs = store.runs.table("collect")
        replayed = [each.symbol for each in store.instruments() if each.source == "replay"]
    note = f"; {', '.join(replayed)} stand where a replay left them (quantkit collect --restore)" if replayed else ""
    if runs.empty:
        return Check("fine", "collector", f"never ran here{note}")
    last = runs.iloc[-1]
    said = f"{last['status']} since {last['started_at']:%Y-%m-%d %H:%M} UTC"
    if last["status"] == "failed":
        return Check("note", "collector", f"{said}: {last['message']}{note}")
    return Check("note" if replayed else "fine", "collector", said + note)


def _data(settings: Settings) -> Check:
    from quantkit.desk import Desk

    with Desk.open(settings) as desk:
        known = desk.symbols()
        if known.empty:
            return Check("note", "data", f"{', '.join(settings.provider)} has no catalogue and nothing is stored yet")
        quote = desk.quote(str(known["symbol"].iloc[0]))
    return Check(
        "fine", "data", f"{len(known)} symbols; {quote.symbol} {quote.close:,.2f} on {quote.timestamp:%Y-%m-%d}"
    )


def _vendors(settings: Settings) -> Check:
    """Which vendors are used, with what is left of their allowance; asks none of them."""
    from quantkit.data.base import PROVIDERS
    from quantkit.data.vendor import Vendor

    said, state = [], "fine"
    for provider in (PROVIDERS[name](settings) for name in settings.provider):
        if not isinstance(provider, Vendor):
            continue
        missing = provider.key_setting and not any(
            each is not None and each.get_secret_value() for each in provider.secrets()
        )
        circuit = provider.circuit.state()
        if missing:
            state = "failed"
            said.append(f"{provider.name} needs a key: set {provider.key_setting}")
            continue
        if circuit.is_open or circuit.failures:
            state = "note" if state == "fine" else state
        limit = provider.limits()[-1]
        left = f"{provider.pace.left()} of {limit.count} requests left in {limit.seconds:g} s"
        said.append(f"{provider.name}: {circuit.in_words()}, {left}")
    return Check(state, "vendors", "; ".join(said) or "none in use: no network is needed")  # type: ignore[arg-type]


def _workers(settings: Settings) -> Check:
    if not settings.scheduler:
        return Check("note", "workers", "no scheduler set: questions are answered in the process that asks them")
    import socket
    from urllib.parse import urlsplit

    address = urlsplit(settings.scheduler)
    try:
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=2):
            return Check("fine", "workers", f"scheduler answers at {settings.scheduler}")
    except OSError as error:
        return Check("failed", "workers", f"no scheduler at {settings.scheduler} ({error}); start `quantkit up`")


def _dashboards(settings: Settings) -> Check:
    from quantkit.serve.config import dashboards_folder

    folder = dashboards_folder()
    names = sorted(each.stem for each in folder.glob("*.ipynb"))
    return Check("fine", "dashboards", f"{', '.join(names)} in {folder}")


def _access(settings: Settings) -> Check:
    if settings.token is None and os.environ.get("PORT"):
        return Check(
            "note", "access", "PORT is set, which hosts do, but QUANTKIT_TOKEN is not: only loopback is served"
        )
    return Check("fine", "access", "token set" if settings.token else "no token: loopback only")


def _api(settings: Settings) -> Check:
    from quantkit.api.guard import Keys

    keys = Keys(None if settings.api_keys is None else settings.api_keys.get_secret_value())
    who = repr(keys).strip("<>") if keys else "no keys: loopback only"
    return Check("fine", "api", f"{who}; quantkit api serves on port {settings.api_port}, its manual at /docs")


_OF_SETTINGS: dict[str, Callable[[Settings], Check]] = {
    "store": _store,
    "bus": _bus,
    "collector": _collector,
    "vendors": _vendors,
    "data": _data,
    "workers": _workers,
    "dashboards": _dashboards,
    "access": _access,
    "api": _api,
}
