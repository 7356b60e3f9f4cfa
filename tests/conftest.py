"""What several kinds of tests share: a desk on the embedded sample, in a home of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantkit.settings import Settings

# Helpers beside the tests, by their own names.
sys.path.insert(0, str(Path(__file__).parent))

# It registers a provider when it is imported, by its own name: looked through for doctests it would do so twice.
collect_ignore = ["truth_provider.py"]

# A developer's own settings must not decide what the tests see.
for _name in [name for name in os.environ if name.startswith("QUANTKIT_")]:
    del os.environ[_name]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay on one worker, which starts its servers once; all browsers stay on one, or they starve.

    xdist's own groups go by a suffix that pytest 9.2 no longer takes into a test's name.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "browser" if file.startswith("tests/browser/") else file

    return ByFile(config, log)


@pytest.fixture(autouse=True)
def no_foreign_loop(request: pytest.FixtureRequest) -> None:
    """Playwright's loop can be left running in a thread whose browser tests are over (seen once in two whole runs).

    Answers of a screen would then be handed to a loop that nobody turns.
    """
    if request.node.get_closest_marker("browser") is None:
        asyncio.events._set_running_loop(None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(home=tmp_path / "home")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL server: its URL, with ``{}`` where the name of a database belongs."""
    from databases import postgres_server

    with postgres_server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A database of its own for one test."""
    from databases import fresh_database

    url, drop = fresh_database(postgres_server)
    yield url
    drop()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis server."""
    from databases import redis_server

    with redis_server() as (url, _):
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def any_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of each database that can be the store."""
    if request.param == "sqlite":
        return Settings.load(home=tmp_path / "home")
    return Settings.load(home=tmp_path / "home", database_url=request.getfixturevalue("postgres_url"))


@pytest.fixture
def desk(settings: Settings) -> Iterator:
    from quantkit import Desk

    with Desk.open(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A desk for tests that only ask; what one test had fetched, the next one finds stored."""
    from quantkit import Desk

    with Desk.open(home=tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest.fixture(scope="session")
def bars_of() -> Callable[..., pd.DataFrame]:
    """Daily bars whose closes compound the given log-returns from 100; the first bar comes before the first return."""

    def build(log_returns: np.ndarray, *, start: str = "2015-01-01") -> pd.DataFrame:
        close = 100.0 * np.exp(np.concatenate([[0.0], np.cumsum(log_returns)]))
        times = pd.date_range(start, periods=len(close), freq="B", tz="UTC", name="time").as_unit("us")
        columns = {"open": close, "high": close * 1.001, "low": close * 0.999, "close": close, "volume": 1e6}
        return pd.DataFrame({**columns, "adj_close": close}, index=times)

    return build


@pytest.fixture(scope="session")
def sample_bars() -> Callable[..., pd.DataFrame]:
    """Bars of the embedded sample, without a desk."""
    from quantkit.data.base import HistoryQuery
    from quantkit.data.sample import SampleProvider

    def read(symbol: str, interval: str = "1d") -> pd.DataFrame:
        provider, query = SampleProvider(), HistoryQuery(symbol, interval)  # type: ignore[arg-type]
        return provider.normalise(provider.extract(provider.build(query)), query).bars

    return read
