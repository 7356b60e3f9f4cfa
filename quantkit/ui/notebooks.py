"""The question of a screen as a notebook of one's own."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["as_code", "notebook"]


def as_code(value: Any) -> str:
    """`value` as Python, for strings, numbers and containers of them."""
    return repr(value)


def notebook(title: str, code: str) -> str:
    """A notebook with a heading and one code cell, as JSON.

    Examples
    --------
    >>> json.loads(notebook("Risk", "1 + 1"))["cells"][1]["source"]
    '1 + 1'
    """
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": f"# {title}"},
        {"cell_type": "code", "id": "question", "metadata": {}, "source": code, "outputs": [], "execution_count": None},
    ]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return json.dumps(
        {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}, indent=1
    )
