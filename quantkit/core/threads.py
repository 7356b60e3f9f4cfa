"""One thread for linear algebra, where an answer must have the same bits whatever machine and load it meets."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]


def one_thread() -> AbstractContextManager[Any]:
    """Have BLAS and OpenMP work on one thread inside the context."""
    return _controller(len(sys.modules)).limit(limits=1)


@lru_cache(maxsize=1)
def _controller(modules: int) -> ThreadpoolController:
    """What limits the libraries that are loaded; looked for again, which takes 7 ms, once there are more modules."""
    return ThreadpoolController()
