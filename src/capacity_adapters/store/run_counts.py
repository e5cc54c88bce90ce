"""The counters of a run, for whoever holds its row: the ends of its items, and its own."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import evolve
from sqlalchemy import Connection, Row, bindparam, update

from capacity_adapters.store.run_rows import CANCEL, ENDED, HOLD, HOLD_FREE, RUNS, run_of
from capacity_adapters.store.statements import as_doc, sought, statement_for
from capacity_adapters.store.tables import runs
from capacity_core.errors import NotFoundError
from capacity_core.messages import text
from capacity_core.runs import OPEN, ItemStatus, Run, run_status

# Whoever writes ends waits for these: to build a statement takes longer than to run it.
_ONE: Final = RUNS.where(runs.c.id == bindparam("run_id"))
_COUNTERS: Final = (
    *("completed", "failed", "cancelled", "skipped"),
    *("size_high", "size_low", "databases"),
)
_ADD: Final = (
    update(runs)
    .where(runs.c.id == bindparam("run_id"))
    .values(
        **{name: runs.c[name] + bindparam(f"more_{name}") for name in _COUNTERS},
        active_at=bindparam("at"),
    )
    .returning(runs.c.item_count, ENDED.label("ended"), runs.c.cancel_requested_at)
)
_CLOSE: Final = (
    update(runs)
    .where(runs.c.id == bindparam("run_id"))
    .values(status=bindparam("became"), finished_at=bindparam("at"))
)


def hold(
    connection: Connection, run_ids: Iterable[int], *, skip_locked: bool = False
) -> Sequence[int]:
    """Let nobody else count ends of these runs, or change what they are, meanwhile."""
    asked = statement_for(HOLD_FREE if skip_locked else HOLD, connection)
    return connection.scalars(asked, {"doc": as_doc((sought(each),) for each in run_ids)}).all()


def row_by_id(connection: Connection, run_id: int) -> Row[Any]:
    row = connection.execute(_ONE, {"run_id": sought(run_id)}).one_or_none()
    if row is None:
        raise NotFoundError(text("error.run_missing"))
    return row


def run_by_id(connection: Connection, run_id: int) -> Run:
    """Raises NotFoundError."""
    return run_of(row_by_id(connection, run_id))


def count_ends(connection: Connection, ended: Sequence[Row[Any]], now: datetime) -> bool:
    """Add them up in their runs, which we hold from then on; True if one is to be closed now."""
    may_close = False
    for run_id in sorted({row.run_id for row in ended}):
        rows = [row for row in ended if row.run_id == run_id and row.status not in OPEN]
        done = [row for row in rows if row.status == ItemStatus.COMPLETED]
        sizes = [row.size_bytes or 0 for row in done]
        many = Counter(row.status for row in rows)
        many["size_high"] = sum(size >> 32 for size in sizes)
        many["size_low"] = sum(size & 0xFFFF_FFFF for size in sizes)
        many["databases"] = sum(row.database_count or 0 for row in done)
        may_close |= _add(connection, run_id, many, now)
    return may_close


def _add(connection: Connection, run_id: int, many: Mapping[str, int], now: datetime) -> bool:
    more = {f"more_{name}": many.get(name, 0) for name in _COUNTERS}
    run = connection.execute(_ADD, {"run_id": run_id, "at": now, **more}).one()
    # As an expression, SQLite 3.40 would say of any time that it is known.
    return run.ended == run.item_count or run.cancel_requested_at is not None


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
    connection.execute(_CLOSE, {"run_id": run.id, "became": ended.status, "at": now})
    return ended
