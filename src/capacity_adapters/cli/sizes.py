"""`capacity sizes`: what is known of an instance's databases, from the store."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial

import click

from capacity_adapters.cli.output import (
    UNKNOWN,
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
from capacity_core.reads import DatabaseRow, SizeRow


@click.command("sizes")
@click.argument("target")
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="What was measured on that day.",
)
@click.option("--history", metavar="DATABASE", help="The days of one database, newest first.")
@with_session
def sizes(session: Session, *, target: str, day: datetime | None, history: str | None) -> Report:
    """Show the last known sizes of an instance; TARGET is its name, id or URL."""
    if day is not None and history is not None:
        raise click.UsageError("--date and --history exclude each other.")
    with session.application() as application:
        instance = instance_for(application, target)
        if history is not None:
            return _history(application, instance, history)
        if day is not None:
            return _day(application, instance, day.date())
        return _latest(application, instance)


def _latest(application: CapacityApplication, instance: Instance) -> Report:
    """Show the last known size of every database that counts now."""
    known = every(partial(application.databases, instance.id))
    data = {"instance": instance.name, "databases": known}
    counted = sorted((row for row in known if row.is_active), key=_largest_first)
    if not counted:
        hint = f"run `capacity sync {shown(instance.name)}`"
        return done(data, f"No database of {shown(instance.name)} is known; {hint}")
    cells = [
        (
            shown(row.database_name),
            human_size(_bytes(row)),
            row.size.collected_date.isoformat() if row.size else UNKNOWN,
            _how(
                row.size.method if row.size else None,
                row.latest.last_outcome if row.latest else None,
            ),
        )
        for row in counted
    ]
    table = Table(("DATABASE", "SIZE", "MEASURED ON", "HOW"), cells)
    return done(data, table, _total([_bytes(row) for row in counted]))


def _largest_first(row: DatabaseRow) -> tuple[int, str]:
    size = _bytes(row)
    return (1 if size is None else -size, row.database_name)


def _bytes(row: DatabaseRow) -> int | None:
    return row.size.size_bytes if row.size else None


def _day(application: CapacityApplication, instance: Instance, day: date) -> Report:
    rows = application.sizes_on(instance.id, day)
    total = application.instance_day(instance.id, day)
    data = {"instance": instance.name, "date": day, "total": total, "databases": rows}
    if not rows:
        return done(data, f"No sizes of {shown(instance.name)} on {day}")
    cells = [(shown(row.database_name), *_size_and_how(row)) for row in rows]
    table = Table(("DATABASE", "SIZE", "HOW"), cells)
    said = f"{shown(instance.name)} on {day}"
    return done(data, said, table, _total([row.size_bytes for row in rows]))


def _history(application: CapacityApplication, instance: Instance, database: str) -> Report:
    rows = every(partial(application.history, instance.id, database, DateRange()))
    if not rows:
        raise NotFoundError(text("error.database_missing", name=repr(database)))
    cells = [(row.collected_date.isoformat(), *_size_and_how(row)) for row in rows]
    data = {"instance": instance.name, "database_name": database, "history": rows}
    return done(data, Table(("DATE", "SIZE", "HOW"), cells))


def _size_and_how(row: SizeRow) -> tuple[str, str]:
    return human_size(row.size_bytes), _how(row.method, row.last_outcome)


def _how(method: str | None, last_outcome: Outcome | None) -> str:
    if last_outcome in {None, Outcome.MEASURED}:
        return method or ""
    return f"{method}, last attempt: {last_outcome}" if method else str(last_outcome)


def _total(sizes: Sequence[int | None]) -> str:
    known = [size for size in sizes if size is not None]
    without = len(sizes) - len(known)
    rest = f", and {without} without a size" if without else ""
    return f"Total: {human_size(sum(known))} in {databases(len(known))}{rest}"
