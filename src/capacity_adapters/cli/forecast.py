"""`capacity forecast`: when databases will be full, and how good such forecasts were."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import compress

import click
from attrs import astuple, fields

from capacity_adapters.cli.growth_tables import csv_cell, signed_size
from capacity_adapters.cli.output import UNKNOWN, Csv, Report, Table, done, human_size, shown
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.targets import instance_for
from capacity_core.application import CapacityApplication
from capacity_core.backtest import Score
from capacity_core.forecast import LEAST_DAYS, LEAST_STEPS, ForecastStatus
from capacity_core.forecast_views import (
    ForecastView,
    InstanceForecastView,
    WindowView,
    instance_forecast_view,
    is_stale,
)
from capacity_core.messages import Language, render, text
from capacity_core.model import Instance

WHOLE = "(whole instance)"
HEADERS = (
    "DATABASE", "SIZE", "AS OF", "CEILING", "GROWTH A DAY", "ITS RANGE", "FULL ON", "BETWEEN",
    "WINDOW", "WAS OVER ON",
)  # fmt: skip
RARE = frozenset({"AS OF", "WAS OVER ON"})  # there if a row needs them
SPARE = (
    "WINDOW",
    "ITS RANGE",
    "CEILING",
    "GROWTH A DAY",
    "WAS OVER ON",
)  # the first to go where a terminal is narrow
NUMBERS = frozenset({"SIZE", "CEILING", "GROWTH A DAY", "WINDOW"})
DATES = frozenset({"AS OF", "FULL ON", "BETWEEN", "WAS OVER ON"})
SCORE_HEADERS = ("AHEAD", "PREDICTIONS", "MEDIAN ERROR", "WITHIN THE RANGE")
NO_SCORE = (
    f"Nothing to score yet: it takes {LEAST_DAYS} days with a size, and one that many days later."
)
RANGE_NOTE = "Ranges are meant to hold in 8 of 10 cases; `--backtest` tells how they did here."


@click.command("forecast")
@click.argument("target")
@click.argument("database", required=False)
@click.option("--backtest", is_flag=True, help="Forecast from past days, and tell what came.")
@click.option("--csv", "csv_wanted", is_flag=True, help="Print CSV, exact bytes.")
@with_session
def forecast(
    session: Session, *, target: str, database: str | None, backtest: bool, csv_wanted: bool
) -> Report:
    """Tell when the databases of an instance, or one of them, will be full, soonest first.

    TARGET is the name, id or URL of a registered instance. A ceiling is what the engine tells or
    `capacity limit` sets, whichever is nearer; growth is the median of the slopes of a window.
    """
    if csv_wanted and session.json_wanted:
        raise click.UsageError("--csv and --json exclude each other.")
    with session.application() as application:
        instance = instance_for(application, target)
        if backtest:
            return _scores(application, instance, database, csv_wanted=csv_wanted)
        found = application.forecasts.forecast(instance.id, database)
    view = instance_forecast_view(found, Language.EN)
    rows = [*([view.whole] if view.whole else []), *view.databases]
    data = {field.name: getattr(view, field.name) for field in fields(InstanceForecastView)}
    if csv_wanted:
        return done(data, _csv(rows))
    if not rows:
        return done(data, f"No database of {shown(instance.name)} is known; run `capacity sync`")
    return done(data, _table(rows, found.today), *_notes(rows, instance))


def set_one(instance: Instance) -> str:
    """Say how a ceiling comes to be known."""
    return f"`capacity limit set {shown(instance.name)} [DATABASE] 500GiB` sets one"


def _table(rows: Sequence[ForecastView], today: date) -> Table:
    lines = [_cells(row, today) for row in rows]
    shows = [
        header not in RARE or any(line[place] for line in lines)
        for place, header in enumerate(HEADERS)
    ]
    headers, *cells = (tuple(compress(line, shows)) for line in (HEADERS, *lines))
    return Table(headers, cells, NUMBERS, DATES, SPARE)


def _cells(row: ForecastView, today: date) -> Sequence[str]:
    growth, collected = _used(row), row.collected_date
    return (
        WHOLE if row.database_name is None else shown(row.database_name),
        human_size(row.size_bytes),
        collected if collected and is_stale(date.fromisoformat(collected), today) else "",
        human_size(row.ceiling_bytes),
        UNKNOWN if growth is None else signed_size(growth.bytes_per_day),
        UNKNOWN
        if growth is None
        else range_of(growth.low_bytes_per_day, growth.high_bytes_per_day),
        row.full_on or row.status.replace("_", " "),
        f"{row.earliest} to {row.latest or 'never'}" if row.earliest else UNKNOWN,
        UNKNOWN if row.window_days is None else f"{row.window_days} days",
        row.over_on or "",
    )


def range_of(low: int, high: int) -> str:
    """Say both ends with as many digits as tell them apart."""
    for digits in (1, 2, 3):
        ends = signed_size(low, digits), signed_size(high, digits)
        if ends[0] != ends[1]:
            break
    return " to ".join(ends)


def _notes(rows: Sequence[ForecastView], instance: Instance) -> Iterator[str]:
    """Say what a status asks for, once each."""
    found = {row.status for row in rows}
    if any(row.window_days for row in rows):
        yield RANGE_NOTE
    if ForecastStatus.NO_CEILING in found:
        yield f"No ceiling is known: {set_one(instance)}."
    if ForecastStatus.NOT_ENOUGH_DATA in found:
        needed = text("forecast.not_enough_data", days=LEAST_DAYS, steps=LEAST_STEPS)
        yield f"{render(needed, Language.EN)}."


def _used(row: ForecastView) -> WindowView | None:
    return next((each for each in row.windows if each.window_days == row.window_days), None)


def _csv(rows: Sequence[ForecastView]) -> Csv:
    """Give the fields of the JSON, with the growth of the window that counts."""
    names = [field.name for field in fields(ForecastView) if field.name != "windows"]
    growth = [field.name for field in fields(WindowView) if field.name != "window_days"]
    cells = [
        [
            csv_cell(value)
            for value in (
                *(getattr(row, name) for name in names),
                *(getattr(_used(row), name, None) for name in growth),
            )
        ]
        for row in rows
    ]
    return Csv([[*names, *growth], *cells])


def _scores(
    application: CapacityApplication, instance: Instance, database: str | None, *, csv_wanted: bool
) -> Report:
    scores = application.forecasts.backtest(instance.id, database)
    data = {"instance": instance.name, "database_name": database, "backtest": scores}
    if csv_wanted:
        names = [field.name for field in fields(Score)]
        return done(data, Csv([names, *([csv_cell(v) for v in astuple(s)] for s in scores)]))
    rows = [
        (
            f"{score.horizon_days} days",
            str(score.predictions),
            _percent(score.median_error_percent, 2),
            _percent(score.within_percent, 0),
        )
        for score in scores
    ]
    if not any(score.predictions for score in scores):
        return done(data, NO_SCORE)
    return done(data, Table(SCORE_HEADERS, rows, frozenset(SCORE_HEADERS)))


def _percent(share: float | None, digits: int) -> str:
    return UNKNOWN if share is None else f"{share:.{digits}f}%"
