"""The counters of a run, for whoever holds its row: the ends of its items, and its own."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, Row, select, update

from capacity_adapters.store.run_rows import CANCEL, RUNS, run_of
from capacity_adapters.store.statements import sought, statement_for
from capacity_adapters.store.tables import runs
from capacity_core.errors import NotFoundError
from capacity_core.messages import text
from capacity_core.runs import OPEN, ItemStatus, Run, run_status


def hold(
    connection: Connection, run_ids: Iterable[int], *, skip_locked: bool = False
) -> Sequence[int]:
    """Let nobody else end items of these runs, so that the last one sees the ends of all others."""
    asked = select(runs.c.id).where(runs.c.id.in_(map(sought, run_ids))).order_by(runs.c.id)
    return connection.scalars(asked.with_for_update(skip_locked=skip_locked)).all()


def row_by_id(connection: Connection, run_id: int) -> Row[Any]:
    row = connection.execute(RUNS.where(runs.c.id == sought(run_id))).one_or_none()
    if row is None:
        raise NotFoundError(text("error.run_missing"))
    return row


def run_by_id(connection: Connection, run_id: int) -> Run:
    """Raises NotFoundError."""
    return run_of(row_by_id(connection, run_id))


def count_ends(connection: Connection, ended: Sequence[Row[Any]], now: datetime) -> None:
    """Add them up in their runs, which we hold."""
    for run_id in {row.run_id for row in ended}:
        rows = [row for row in ended if row.run_id == run_id and row.status not in OPEN]
        done = [row for row in rows if row.status == ItemStatus.COMPLETED]
        sizes = [row.size_bytes or 0 for row in done]
        many = Counter(row.status for row in rows)
        many["size_high"] = sum(size >> 32 for size in sizes)
        many["size_low"] = sum(size & 0xFFFF_FFFF for size in sizes)
        many["databases"] = sum(row.database_count or 0 for row in done)
        _add(connection, run_id, many, now)


def _add(connection: Connection, run_id: int, many: Mapping[str, int], now: datetime) -> None:
    more = {runs.c[name]: runs.c[name] + number for name, number in many.items() if number}
    connection.execute(
        update(runs).where(runs.c.id == run_id).values({**more, runs.c.active_at: now})
    )


def without_pending(connection: Connection, row: Row[Any], now: datetime) -> Run:
    """Cancel what is pending, if the run is to be cancelled."""
    if row.cancel_requested_at is not None:
        asked = {"run_id": row.id, "at": now}
        many = connection.execute(statement_for(CANCEL, connection), asked).rowcount
        if many:
            _add(connection, row.id, {"cancelled": many}, now)
    return run_by_id(connection, row.id)


def close(connection: Connection, run: Run, now: datetime) -> Run:
    ended = evolve(run, status=run_status(run.counts), finished_at=now)
    values = {"status": ended.status, "finished_at": now}
    connection.execute(update(runs).where(runs.c.id == run.id).values(values))
    return ended
