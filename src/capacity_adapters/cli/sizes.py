"""`capacity sizes`: what is known of an instance's databases, from the store."""

from datetime import date, datetime
from functools import partial

import click

from capacity_adapters.cli.output import (
    Block,
    Report,
    Table,
    databases,
    done,
    every,
    human_size,
    shown,
)
from capacity_adapters.cli.session import Session, with_session
from capacity_adapters.cli.targets import instance_for
from capacity_core.application import CapacityApplication
from capacity_core.errors import NotFoundError
from capacity_core.messages import text
from capacity_core.model import Instance, Outcome
from capacity_core.ports import DateRange
from capacity_core.reads import InstanceDay, SizeRow


@click.command("sizes")
@click.argument("target")
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="A day other than the latest.",
)
@click.option("--history", metavar="DATABASE", help="The days of one database, newest first.")
@with_session
def sizes(session: Session, *, target: str, day: datetime | None, history: str | None) -> Report:
    """Show the kept sizes of an instance; TARGET is its name, id or URL."""
    if day is not None and history is not None:
        raise click.UsageError("--date and --history exclude each other.")
    with session.application() as application:
        instance = instance_for(application, target)
        if history is not None:
            return _history(application, instance, history)
        return _day(application, instance, day.date() if day else None)


def _day(application: CapacityApplication, instance: Instance, day: date | None) -> Report:
    rows = application.sizes_on(instance.id, day)
    collected = rows[0].collected_date if rows else day
    total = application.instance_day(instance.id, collected) if collected else None
    data = {"instance": instance.name, "date": collected, "total": total, "databases": rows}
    if not rows:
        when = f"on {day}" if day else f"yet; run `capacity sync {shown(instance.name)}`"
        return done(data, f"No sizes of {shown(instance.name)} {when}")
    cells = [(shown(row.database_name), *_size_and_how(row)) for row in rows]
    table = Table(("DATABASE", "SIZE", "HOW"), cells)
    return done(data, f"{shown(instance.name)} on {collected}", table, *_total(total))


def _history(application: CapacityApplication, instance: Instance, database: str) -> Report:
    rows = every(partial(application.history, instance.id, database, DateRange()))
    if not rows:
        raise NotFoundError(text("error.database_missing", name=repr(database)))
    cells = [(row.collected_date.isoformat(), *_size_and_how(row)) for row in rows]
    data = {"instance": instance.name, "database_name": database, "history": rows}
    return done(data, Table(("DATE", "SIZE", "HOW"), cells))


def _size_and_how(row: SizeRow) -> tuple[str, str]:
    how = row.method or ""
    if row.last_outcome is not Outcome.MEASURED:
        how = f"{how}, last attempt: {row.last_outcome}" if how else str(row.last_outcome)
    return human_size(row.size_bytes), how


def _total(total: InstanceDay | None) -> tuple[Block, ...]:
    if total is None:
        return ()
    said = f"Total: {human_size(total.total_size_bytes)} in {databases(total.measured_count)}"
    without = total.active_count - total.measured_count
    if without:
        carried = human_size(total.carried_size_bytes)
        said += f"; {without} without a size that day, last known {carried}"
    return (said,)
