"""What several kinds of tests share: a desk on the embedded sample, in a home of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantkit.settings import Settings

# A developer's own settings must not decide what the tests see.
for _name in [name for name in os.environ if name.startswith("QUANTKIT_")]:
    del os.environ[_name]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(home=tmp_path / "home")


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
