"""The ``quantkit`` command: the questions of Desk on the command line, and what starts the services.

Tables for people; ``--json`` prints the body that the REST API would send. Exit status: 0 fine, 2 wrong usage,
3 no data, 4 vendor, 5 infeasible, 1 anything else.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from quantkit import __version__
from quantkit.cli import analysis, data, market, report, services
from quantkit.core.errors import QuantkitError

__all__ = ["main"]

app = typer.Typer(
    name="quantkit",
    help="Market data, forecasts with their proof, risk and portfolios.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    services.up, services.dashboard, services.api, market.symbols, market.quote, market.history, analysis.predict,
    analysis.leaderboard, analysis.survey, analysis.volatility, analysis.track_record, analysis.risk, analysis.optimize,
    analysis.backtest,
):  # fmt: skip
    app.command()(_command)
app.command()(report.report)
app.command()(services.collect)
app.add_typer(data.app)


def main() -> None:
    """Run the command; an error that quantkit raises on purpose is one sentence and an exit status."""
    try:
        app()
    except QuantkitError as error:
        print(f"quantkit: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # `quantkit history ... | head` has read enough.
        sys.stderr.close()


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def doctor() -> None:
    """Check the installation, the settings, the store, the workers and the dashboards, and say what to do."""
    from quantkit.cli.output import new_table, print_table
    from quantkit.doctor import checks

    table = new_table("quantkit doctor", [("", "left"), ("", "left"), ("", "left")])
    failed = False
    for check in checks():
        failed |= check.state == "failed"
        colour = {"fine": "green", "note": "yellow", "failed": "red"}[check.state]
        table.add_row(f"[{colour}]{check.state}[/]", check.what, check.said)
    print_table(table)
    raise typer.Exit(1 if failed else 0)
