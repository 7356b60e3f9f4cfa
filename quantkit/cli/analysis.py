"""Commands that ask for forecasts, risk and portfolios."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantkit.cli.output import (
    AsJson,
    Columns,
    Interval,
    Model,
    Objective,
    Period,
    Symbol,
    complete_symbol,
    new_table,
    number,
    open_desk,
    percent,
    print_answer,
    print_json,
    print_table,
    watched,
    when,
)
from quantkit.core.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from quantkit.forecast import Explanation

__all__ = ["backtest", "leaderboard", "optimize", "predict", "risk", "survey", "track_record", "volatility"]

Level = Annotated[float, typer.Option(help="In (0, 1)")]
Symbols = Annotated[list[str], typer.Argument(help="Two or more symbols", autocompletion=complete_symbol)]


def predict(
    symbol: Symbol,
    model: Model = "auto",
    horizon: Annotated[int, typer.Option(help="Bars ahead")] = 5,
    level: Annotated[float, typer.Option(help="Of the interval, in (0, 1)")] = 0.95,
    interval: Interval = "1d",
    explain: Annotated[bool, typer.Option("--explain", help="Also what each input contributed")] = False,
    as_json: AsJson = False,
) -> None:
    """Forecast the next bars of a symbol, with the measured coverage and skill."""
    asked: dict[str, Any] = {"symbol": symbol, "model": model, "horizon": horizon, "level": level, "interval": interval}
    with open_desk() as desk:
        if as_json:
            print_answer(desk, "prediction", **asked, **({"explain": True} if explain else {}))
            return
        answer = watched(f"{symbol} {model}", lambda progress: desk.predict(**asked, progress=progress))
        made_of = None
        if explain:
            about = {name: value for name, value in asked.items() if name != "level"}
            made_of = watched(f"{symbol} {model}", lambda progress: desk.explain(**about, progress=progress))
    table = new_table(
        f"{answer.symbol}  {answer.model}  as of {when(answer.as_of, interval)}, close "
        f"{number(answer.last_price)} {answer.currency}",
        [("for", "left"), *((name, "right") for name in ("mean", "median", "lower", "upper", "covered"))],
        caption=f"{answer.in_words()}\nTrend {answer.trend} {answer.trend_probability:.0%}; next-step volatility "
        f"{answer.predicted_volatility:.2%}; {level:.0%} interval.",
    )
    for step in answer.steps:
        prices = (step.mean, step.median, step.lower, step.upper)
        table.add_row(when(step.timestamp, interval), *map(number, prices), f"{step.coverage:.1%}")
    print_table(table)
    if made_of is not None:
        print_table(_explained(made_of))


def _explained(made_of: Explanation) -> Table:
    table = new_table(
        f"What the median for step {made_of.horizon} is made of, from {number(made_of.last_price)} {made_of.currency}",
        [("feature", "left"), "value", "return", "price", ("", "left")],
        caption=f"{made_of.in_words()}\n{made_of.method}.",
    )
    base, whole = made_of.base_price - made_of.last_price, made_of.forecast_price - made_of.last_price
    table.add_row("base", "", f"{made_of.base_return:+.3%}", f"{base:+.3f}", "expected whatever the features")
    for each in made_of.contributions:
        value = "" if each.value != each.value else f"{each.value:.4g}"
        shares = (f"{each.contribution_return:+.3%}", f"{each.contribution_price:+.3f}")
        table.add_row(each.feature, value, *shares, each.about)
    table.add_row("forecast", "", f"{made_of.forecast_return:+.3%}", f"{whole:+.3f}", "their sum")
    return table


def leaderboard(
    symbol: Symbol,
    models: Annotated[
        str | None, typer.Option(help="Names separated by commas; all that are quick if left out")
    ] = None,
    horizon: Annotated[int, typer.Option(help="Bars ahead")] = 5,
    origins: Annotated[int, typer.Option(help="Past decisions that are scored")] = 250,
    interval: Interval = "1d",
    as_json: AsJson = False,
) -> None:
    """Compare the models on the same walk through the past, with significance against naive."""
    chosen = [name.strip() for name in models.split(",") if name.strip()] if models else None
    asked: dict[str, Any] = {"symbol": symbol, "models": chosen, "horizon": horizon, "origins": origins,
                             "interval": interval}  # fmt: skip
    with open_desk() as desk:
        if as_json:
            print_answer(desk, "leaderboard", **asked)
            return
        answer = watched(f"{symbol} leaderboard", lambda progress: desk.leaderboard(**asked, progress=progress))
    table = new_table(
        f"{answer.symbol}  {horizon} ahead, as of {when(answer.as_of, interval)}",
        [("model", "left"), "MAE", "RMSE", "MASE", "skill", "direction", "covered", "p", "in set", ("", "left")],
        caption=answer.in_words(),
    )
    for row in answer.rows:
        table.add_row(
            row.model, percent(row.mae), percent(row.rmse), number(row.mase, 3), percent(row.skill, 1),
            percent(row.direction, 1), percent(row.coverage, 1), number(row.p_value, 3),
            "yes" if row.in_confidence_set else "", row.verdict,
        )  # fmt: skip
    print_table(table)


def survey(
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Symbols; all there are if left out", autocompletion=complete_symbol)
    ] = None,
    models: Annotated[str | None, typer.Option(help="Names separated by commas; the quick ones if left out")] = None,
    horizon: Annotated[int, typer.Option(help="Bars ahead")] = 5,
    origins: Annotated[int, typer.Option(help="Past decisions that are scored")] = 250,
    interval: Interval = "1d",
    as_json: AsJson = False,
) -> None:
    """Leaderboards of many symbols at once, and which models beat naive more often than luck would."""
    chosen = [name.strip() for name in models.split(",") if name.strip()] if models else None
    with open_desk() as desk:
        if not symbols:
            known = desk.symbols()
            symbols = known["symbol"][known["intervals"].str.contains(interval)].tolist()
        asked: dict[str, Any] = {"models": chosen, "horizon": horizon, "origins": origins, "interval": interval}
        answer = watched("survey", lambda progress: desk.survey(symbols, **asked, progress=progress))
    if as_json:
        print_json(answer.to_dict())
        return
    columns: Columns = [("model", "left"), "symbols", "beats naive", "by luck", "in set", "median skill", "covered",
                        "failed"]  # fmt: skip
    table = new_table(f"{len(answer.boards)} symbols, {horizon} ahead", columns, caption=answer.in_words())
    for name, row in answer.to_frame().iterrows():
        table.add_row(
            str(name), f"{row['symbols']:.0f}", f"{row['beats']:.0f}", number(row["by_luck"], 1),
            f"{row['in_set']:.0f}", percent(row["median_skill"]), percent(row["coverage"], 1), f"{row['failed']:.0f}",
        )  # fmt: skip
    print_table(table)
    for symbol, reason in answer.failures.items():
        typer.echo(f"{symbol}: {reason}", err=True)


def volatility(
    symbol: Symbol,
    models: Annotated[str | None, typer.Option(help="Names separated by commas; all if left out")] = None,
    horizon: Annotated[int, typer.Option(help="Bars ahead")] = 5,
    origins: Annotated[int, typer.Option(help="Past decisions that are scored")] = 250,
    interval: Interval = "1d",
    as_json: AsJson = False,
) -> None:
    """Forecast the volatility of the next bars by every model, and say which has been best."""
    chosen = [name.strip() for name in models.split(",") if name.strip()] if models else None
    asked: dict[str, Any] = {"symbol": symbol, "models": chosen, "horizon": horizon, "origins": origins,
                             "interval": interval}  # fmt: skip
    with open_desk() as desk:
        if as_json:
            print_answer(desk, "volatility", **asked)
            return
        answer = watched(f"{symbol} volatility", lambda progress: desk.volatility(**asked, progress=progress))
    table = new_table(
        f"{answer.symbol}  volatility {horizon} ahead, as of {when(answer.as_of, interval)}",
        [("model", "left"), "next", "annualised", "QLIKE", "on ranges", "said / came", "in set", ("", "left")],
        caption=answer.in_words(),
    )
    for model, row in answer.to_frame().iterrows():
        table.add_row(
            str(model), percent(row["next"], 3), percent(row["annualised"]), number(row["qlike"], 4),
            number(row["qlike_range"], 4), number(row["ratio"]), "yes" if row["in_confidence_set"] else "",
            f"failed: {row['failure']}" if row["failure"] else "",
        )  # fmt: skip
    print_table(table)


def track_record(
    symbol: Symbol,
    model: Annotated[str | None, typer.Option(help="A model by name; all if left out")] = None,
    interval: Interval = "1d",
    as_json: AsJson = False,
) -> None:
    """Say what the forecasts published so far, before anybody knew, have been worth."""
    asked: dict[str, Any] = {"symbol": symbol, "model": model, "interval": interval}
    with open_desk() as desk:
        if as_json:
            print_answer(desk, "track_record", **asked)
            return
        answer = desk.track_record(**asked)
    columns: Columns = [("model", "left"), "scored", "waiting", "level", "inside", "MAE", "skill", "direction"]
    table = new_table(f"{answer.symbol}  published forecasts", columns, caption=answer.in_words())
    for row in answer.summaries:
        table.add_row(
            row.model, f"{row.count}", f"{row.pending}", percent(row.level, 1), percent(row.coverage, 1),
            percent(row.mae), percent(row.skill, 1), percent(row.direction, 1),
        )  # fmt: skip
    print_table(table)


def risk(
    holdings: Annotated[list[str], typer.Argument(help="A symbol, or weights such as AAPL=0.5 MSFT=0.5")],
    period: Period = "5y",
    level: Level = 0.95,
    horizon: Annotated[int, typer.Option(help="Periods ahead, 1 to 20")] = 1,
    interval: Interval = "1d",
    benchmark: Annotated[str, typer.Option(help="A symbol, or none")] = "^GSPC",
    risk_free: Annotated[float, typer.Option(help="Annual, a decimal")] = 0.0,
    position: Annotated[float | None, typer.Option(help="Value held; one share if left out")] = None,
    short: Annotated[bool, typer.Option("--short", help="VaR and ES of a short position")] = False,
    as_json: AsJson = False,
) -> None:
    """Print measures, VaR and expected shortfall of a symbol or of weights, each VaR with its backtest."""
    asked: dict[str, Any] = {
        "symbol": _holdings(holdings), "period": period, "level": level, "interval": interval,
        "benchmark": None if benchmark == "none" else benchmark, "risk_free": risk_free, "horizon": horizon,
        "side": "short" if short else "long", "position_value": position,
    }  # fmt: skip
    with open_desk() as desk:
        if as_json:
            print_answer(desk, "risk", **asked)
            return
        answer = watched("risk", lambda progress: desk.risk(**asked, progress=progress))
    title = (
        f"{answer.symbol}  {answer.start:%Y-%m-%d} to {when(answer.as_of, interval)}, {answer.observations:,} returns"
    )
    table = new_table(title, [("", "left"), "", ("", "left"), ""], caption=answer.in_words())
    shown = [(name.replace("_", " "), _measure(name, value)) for name, value in answer.measures().items()]
    half = (len(shown) + 1) // 2
    for left, right in zip(shown[:half], [*shown[half:], ("", "")], strict=False):
        table.add_row(*left, *right)
    print_table(table)
    ahead = "next period" if horizon == 1 else f"next {horizon} periods"
    tails = new_table(
        f"VaR and ES of the {ahead} at {100 * level:.4g} %, {answer.side}, each with its backtest",
        [("method", "left"), "VaR", "ES", "breaches", "expected", "p Kupiec", "p cond.", "power", ("verdict", "left")],
        caption="Rejected: Kupiec's test or conditional coverage says so at 5 %. Power: the chance that Kupiec's test "
        "catches a model with twice the breaches it should have.",
    )
    for method, row in answer.to_frame().iterrows():
        tails.add_row(
            str(method), percent(row["value_at_risk"]), percent(row["expected_shortfall"]), number(row["breaches"], 0),
            number(row["expected"], 1), number(row["p_kupiec"], 3), number(row["p_conditional"], 3),
            percent(row["power"], 0), str(row["verdict"]),
        )  # fmt: skip
    print_table(tails)


def optimize(
    symbols: Symbols,
    objective: Objective = "max_sharpe",
    capital: Annotated[float | None, typer.Option(help="Cash and holdings together, to be put into shares")] = None,
    period: Period = "5y",
    constraints: Annotated[Path | None, typer.Option(help="JSON file of constraints")] = None,
    risk_free: Annotated[float, typer.Option(help="Annual, a decimal")] = 0.0,
    stability: Annotated[bool, typer.Option("--stability", help="Also how far the weights would move")] = False,
    as_json: AsJson = False,
) -> None:
    """Choose weights for an objective, and shares for a capital."""
    from quantkit.api.answers import chosen

    asked: dict[str, Any] = {"period": period, **chosen({"risk_free": risk_free})}
    limits = _json_file(constraints)
    with open_desk() as desk:
        if as_json:
            print_answer(desk, "optimize", symbols=symbols, objective=objective, constraints=limits, capital=capital,
                         **asked)  # fmt: skip
            return
        answer = watched(
            objective, lambda told: desk.optimize(symbols, objective, limits, capital, progress=told, **asked)
        )
        shaken = (
            watched("stability", lambda told: desk.stability(symbols, objective, limits, progress=told, **asked))
            if stability
            else None
        )
    columns: Columns = [("symbol", "left"), "weight", "expected", "volatility", "risk share"]
    table = new_table(
        answer.objective, [*columns, *(("shares", "value") if answer.shares is not None else ())],
        caption=answer.in_words() + (f" Cash left over: {answer.leftover_cash:,.2f}." if answer.shares else ""),
    )  # fmt: skip
    for name, row in answer.to_frame().iterrows():
        cells = [percent(row["weight"]), percent(row["expected_return"], 1), percent(row["volatility"], 1)]
        cells.append(percent(row["risk_contribution"], 1))
        if answer.shares is not None:
            cells += [f"{row['shares']:,.6g}", number(row["value"])]
        table.add_row(str(name), *cells)
    print_table(table)
    if shaken is not None:
        moves = new_table(
            "Stability of the weights",
            [("symbol", "left"), "weight", "5 %", "95 %", "moved by its mean"],
            caption=shaken.in_words() + " The last column: the share of capital that moves when the symbol's expected "
            "return is higher by one standard error.",
        )
        for name, row in shaken.to_frame().iterrows():
            moves.add_row(str(name), *(percent(each, 1) for each in row))
        print_table(moves)


def backtest(
    symbols: Symbols,
    objective: Objective = "max_sharpe",
    rebalance: Annotated[str, typer.Option(help="1w 1mo 3mo 6mo 1y")] = "1mo",
    cost_bps: Annotated[float, typer.Option(help="Basis points of what is bought plus sold")] = 10.0,
    period: Period = "max",
    constraints: Annotated[Path | None, typer.Option(help="JSON file of constraints")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what an objective would have earned out of sample after costs, beside 1/N and the benchmark."""
    from quantkit.api.answers import chosen

    asked = {"symbols": symbols, "objective": objective, "rebalance": rebalance, "cost_bps": cost_bps, "period": period,
             **chosen({"constraints": _json_file(constraints)})}  # fmt: skip
    with open_desk() as desk:
        if as_json:
            print_answer(desk, "backtest", **asked)
            return
        answer = watched(f"{objective} backtest", lambda progress: desk.backtest(**asked, progress=progress))
    title = f"{objective}, rebalanced {rebalance}, {answer.start:%Y-%m-%d} to {answer.as_of:%Y-%m-%d}"
    columns: Columns = [
        ("strategy", "left"),
        "return",
        "volatility",
        "Sharpe",
        "Sortino",
        "drawdown",
        "turnover",
        "costs",
    ]
    table = new_table(title, columns, caption="\n".join((answer.in_words(), *answer.notes)))
    for name, row in answer.to_frame().iterrows():
        table.add_row(
            str(name), percent(row["annual_return"], 1), percent(row["volatility"], 1), number(row["sharpe"]),
            number(row["sortino"]), percent(row["max_drawdown"], 1), number(row["turnover"]), percent(row["costs"]),
        )  # fmt: skip
    print_table(table)


def _holdings(given: list[str]) -> str | dict[str, float]:
    """One symbol, or weights by symbol from ``SYMBOL=weight``."""
    from quantkit.api.answers import weights_from

    if len(given) == 1 and "=" not in given[0].rstrip("=X"):
        return given[0]
    return weights_from(given)


def _json_file(path: Path | None) -> dict[str, Any] | None:
    import json

    if path is None:
        return None
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds a {type(found).__name__}; expected a JSON object of constraints")
    return found


_RATIOS = ("sharpe", "sortino", "calmar", "omega", "skewness", "excess_kurtosis", "tail_ratio", "probabilistic_sharpe",
           "beta", "correlation", "information_ratio", "up_capture", "down_capture")  # fmt: skip


def _measure(name: str, value: float) -> str:
    if name == "max_drawdown_duration":
        return f"{value:.0f} periods"
    return number(value) if name in _RATIOS else percent(value)
