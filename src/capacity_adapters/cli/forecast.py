"""`capacity forecast`: when databases will be full, and how good such forecasts were."""

from collections.abc import Sequence

import click
from attrs import astuple, fields

from capacity_adapters.cli.growth_tables import csv_cell, signed_size
from capacity_adapters.cli.output import UNKNOWN, Block, Csv, Report, Table, done, human_size, shown
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.targets import instance_for
from capacity_core.application import CapacityApplication
from capacity_core.backtest import Score
from capacity_core.forecast import ForecastStatus
from capacity_core.forecast_views import (
    ForecastView,
    InstanceForecastView,
    WindowView,
    instance_forecast_view,
)
from capacity_core.messages import Language
from capacity_core.model import Instance

WHOLE = "(whole instance)"
HEADERS = ("DATABASE", "SIZE", "CEILING", "GROWTH A DAY", "ITS RANGE", "FULL ON", "WINDOW")
NUMBERS = frozenset({"SIZE", "CEILING", "GROWTH A DAY", "WINDOW"})
SCORE_HEADERS = ("AHEAD", "PREDICTIONS", "MEDIAN ERROR", "WITHIN THE RANGE")
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
    note: list[Block] = [RANGE_NOTE] if any(row.window_days for row in rows) else []
    return done(data, Table(HEADERS, list(map(_cells, rows)), NUMBERS), *note)


def _cells(row: ForecastView) -> Sequence[str]:
    growth = _used(row)
    per_day = (UNKNOWN, UNKNOWN)
    if growth is not None:
        low, high = signed_size(growth.low_bytes_per_day), signed_size(growth.high_bytes_per_day)
        per_day = signed_size(growth.bytes_per_day), f"{low} to {high}"
    return (
        WHOLE if row.database_name is None else shown(row.database_name),
        human_size(row.size_bytes),
        human_size(row.ceiling_bytes),
        *per_day,
        _when(row),
        UNKNOWN if row.window_days is None else f"{row.window_days} days",
    )


def _used(row: ForecastView) -> WindowView | None:
    return next((each for each in row.windows if each.window_days == row.window_days), None)


def _when(row: ForecastView) -> str:
    if row.status is ForecastStatus.FULL_ON:
        return f"{row.full_on} ({row.earliest} to {row.latest or 'never'})"
    return row.message.lower()


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
    return done(data, Table(SCORE_HEADERS, rows, frozenset(SCORE_HEADERS)))


def _percent(share: float | None, digits: int) -> str:
    return UNKNOWN if share is None else f"{share:.{digits}f}%"
