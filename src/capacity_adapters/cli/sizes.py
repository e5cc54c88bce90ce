"""`capacity sizes`: what is known of an instance's databases, from the store."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from functools import partial
from types import MappingProxyType

import click
from attrs import frozen

from capacity_adapters.cli.output import (
    UNKNOWN,
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
from capacity_core.reads import DatabaseRow, DateRange, InstanceDay, Paging, SizeRow

CHANGED = "(changed)"
GONE = "(gone)"
PRUNED_NOTE = "Days before {} were pruned: little more than each database's last size stayed."
GONE_NOTE = f"{GONE}: no longer counted when the day's total was made."
CHANGE_NOTE = (
    f"{CHANGED}: the last size before was found out in another way, so the two do not compare."
)


@frozen
class _Line:
    """What a line of a table is about, the size it shows, and how the latest attempt ended."""

    about: str
    size: SizeRow | None
    outcome: Outcome | None


def _method(row: SizeRow) -> str:
    method = row.method or UNKNOWN
    return f"{method} {CHANGED}" if row.method_changed else method


COLUMNS: Mapping[str, Callable[[SizeRow], str]] = MappingProxyType(
    {
        "SIZE": lambda row: human_size(row.size_bytes),
        "USED": lambda row: human_size(row.used_size_bytes),
        "CEILING": lambda row: human_size(row.ceiling_bytes),
        "MEASURED ON": lambda row: row.collected_date.isoformat(),
        "METHOD": _method,
        "FRESHNESS": lambda row: row.freshness or UNKNOWN,
        "TOOK": lambda row: UNKNOWN if row.duration_ms is None else f"{row.duration_ms} ms",
    }
)
# Few engines tell them.
_RARE = frozenset({"USED", "CEILING"})
_NUMBERS = frozenset({"SIZE", "USED", "CEILING", "TOOK"})


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
    days = application.instance_days(instance.id, Paging(limit=1)).rows
    day = days[0] if days else None
    data = {"instance": instance.name, "databases": known, "day": day}
    counted = sorted((row for row in known if row.is_active), key=_largest_first)
    if not counted:
        hint = f"run `capacity sync {shown(instance.name)}`"
        return done(data, f"No database of {shown(instance.name)} is known; {hint}")
    lines = [
        _Line(shown(row.database_name), row.size, row.latest.last_outcome if row.latest else None)
        for row in counted
    ]
    total = _total([_bytes(row) for row in counted])
    return done(data, *_table("DATABASE", lines), *_measured(day), total)


def _largest_first(row: DatabaseRow) -> tuple[int, str]:
    size = _bytes(row)
    return (1 if size is None else -size, row.database_name)


def _bytes(row: DatabaseRow) -> int | None:
    return row.size.size_bytes if row.size else None


def _day(application: CapacityApplication, instance: Instance, day: date) -> Report:
    rows = application.sizes_on(instance.id, day)
    total = application.instance_day(instance.id, day)
    data = {"instance": instance.name, "date": day, "total": total, "databases": rows}
    pruned = application.retention.pruned_before()
    gaps = [PRUNED_NOTE.format(pruned)] if pruned is not None and day < pruned else []
    if not rows:
        return done(data, f"No sizes of {shown(instance.name)} on {day}", *gaps)
    gone = _gone(every(partial(application.databases, instance.id)), total)
    lines = [_Line(_name(row, gone), row, row.last_outcome) for row in rows]
    said = f"{shown(instance.name)} on {day}"
    table = _table("DATABASE", lines, without={"MEASURED ON"})
    notes = [*gaps, *([GONE_NOTE] if any(row.database_name in gone for row in rows) else [])]
    if total is None:
        return done(data, said, *table, *notes, _total([row.size_bytes for row in rows]))
    return done(data, said, *table, *notes, *_measured(total), _total_of(total))


def _gone(known: Sequence[DatabaseRow], day: InstanceDay | None) -> AbstractSet[str]:
    """Name what was dropped or left out by the time the day's total was made."""
    return {
        row.database_name
        for row in known
        if day and row.deleted_at and row.deleted_at <= day.collected_at
    }


def _name(row: SizeRow, gone: AbstractSet[str]) -> str:
    name = shown(row.database_name)
    return f"{name} {GONE}" if row.database_name in gone else name


def _total_of(day: InstanceDay) -> str:
    carried = day.carried_size_bytes
    rest = f", {human_size(carried)} of it carried from earlier days" if carried else ""
    return f"Total: {human_size(day.total_size_bytes + carried)}{rest}"


def _history(application: CapacityApplication, instance: Instance, database: str) -> Report:
    rows = every(partial(application.history, instance.id, database, DateRange()))
    if not rows:
        raise NotFoundError(text("error.database_missing", name=repr(database)))
    lines = [_Line(row.collected_date.isoformat(), row, row.last_outcome) for row in rows]
    data = {"instance": instance.name, "database_name": database, "history": rows}
    return done(data, *_table("DATE", lines, without={"MEASURED ON"}))


def _table(
    about: str, lines: Sequence[_Line], without: AbstractSet[str] = frozenset()
) -> list[Block]:
    """Show a line each; a change of method is marked, and explained once below."""
    columns = {
        header: [UNKNOWN if line.size is None else cell(line.size) for line in lines]
        for header, cell in COLUMNS.items()
        if header not in without
    }
    known = {
        header: cells
        for header, cells in columns.items()
        if header not in _RARE or set(cells) != {UNKNOWN}
    }
    abouts, outcomes = [line.about for line in lines], [line.outcome or UNKNOWN for line in lines]
    rows = list(zip(abouts, *known.values(), outcomes, strict=True))
    is_broken = any(line.size is not None and line.size.method_changed for line in lines)
    notes = [CHANGE_NOTE] if is_broken else []
    return [Table((about, *known, "OUTCOME"), rows, _NUMBERS), *notes]


def _measured(day: InstanceDay | None) -> list[str]:
    if day is None:
        return []
    whole = databases(day.active_count)
    verb = "has" if day.active_count == 1 else "have"
    return [f"{day.measured_count} of {whole} {verb} a size of {day.collected_date}"]


def _total(sizes: Sequence[int | None]) -> str:
    known = [size for size in sizes if size is not None]
    without = len(sizes) - len(known)
    rest = f", and {without} without a size" if without else ""
    return f"Total: {human_size(sum(known))} in {databases(len(known))}{rest}"
