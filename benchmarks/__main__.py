"""``make bench``: every benchmark beside its peer in one run, as a table; nothing here is asserted."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(chosen: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    names = chosen or sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    table = Table(title="quantkit benchmarks (seconds unless said; ratios are what counts)", title_justify="left")
    for column in ("what", "ours", "peer", "ratio", "budget", "met"):
        table.add_column(column, justify="left" if column in ("what", "met") else "right")
    for name in names:
        print(f"running {name} ...", file=sys.stderr)
        for row in importlib.import_module(f"benchmarks.{name}").run():
            unit = row.get("unit", "s")
            # A budget is a ratio to the peer where there is one, else in the row's own unit.
            measured = row["ratio"] if row.get("ratio") is not None else row["ours"]
            budget = row.get("budget")
            table.add_row(
                row["what"],
                _figure(row["ours"], unit),
                _figure(row.get("peer"), unit),
                "" if row.get("ratio") is None else f"{row['ratio']:.3g}",
                "" if budget is None else f"{budget:g}",
                "" if budget is None else ("met" if measured <= budget else "NOT MET"),
            )
    Console(width=150).print(table)


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value * 1000:,.1f} ms" if unit == "s" and value < 1 else f"{value:,.2f} {unit}"


if __name__ == "__main__":
    main(sys.argv[1:])
