"""What is asked of runs and their items, and how their rows are read."""

from functools import cache
from hashlib import sha256
from itertools import compress
from typing import Any, Final

from sqlalchemy import Row, bindparam, case, func, literal_column, or_, select

from capacity_adapters.store.statements import Statement, portable
from capacity_adapters.store.tables import run_items, runs
from capacity_core.runs import (
    ItemCounts,
    Run,
    RunItem,
    RunStatus,
    Selection,
    Waiting,
    reason_of,
)

CANDIDATES: Final = portable("""
SELECT id, db_type, tags, last_sync_at AS at, (
    SELECT duration_ms FROM run_items
    WHERE run_items.instance_id = instances.id AND duration_ms IS NOT NULL
    ORDER BY run_id DESC LIMIT 1) AS duration_ms
FROM instances WHERE is_active AND deleted_at IS NULL
""")
START: Final = portable("""
INSERT INTO runs
    (trigger, requested_by, selection, selection_digest, status, started_at, active_at, item_count)
VALUES (:trigger, :requested_by, :selection, :digest, 'running', :at, :at, :items)
ON CONFLICT (selection_digest) WHERE status = 'running' DO NOTHING RETURNING id
""")
ADD_ITEMS: Final = portable("""
INSERT INTO run_items (run_id, instance_id, status)
SELECT :run_id, CAST(item.value ->> 0 AS BIGINT), 'pending' FROM {items} WHERE true
""")
HOLD: Final = portable("SELECT id FROM runs WHERE id {ids} ORDER BY id {locked}")
HOLD_FREE: Final = portable("SELECT id FROM runs WHERE id {ids} ORDER BY id {skip_locked}")
_PLACES: Final = """
SELECT run_items.id, run_items.run_id, run_items.instance_id, db_type, host, zone,
    coalesce(last_sync_scenario, '') = 'connect_failed' AS is_suspect
FROM run_items JOIN instances ON instances.id = run_items.instance_id
WHERE """
_WAITING: Final = """run_items.status = 'pending' AND not_before <= {now} AND NOT EXISTS (
    SELECT 1 FROM leases WHERE leases.instance_id = run_items.instance_id
        AND leases.owner IS NOT NULL AND leases.expires_at > {now})"""
_OF_RUN: Final = " AND run_items.run_id = :run_id"
_IN_ZONES: Final = """ AND zone IN (
    SELECT item.value ->> 1 FROM {items} WHERE item.value ->> 0 = 'zone')"""
_NOT_FULL: Final = """ AND NOT EXISTS (SELECT 1 FROM {items}
    WHERE item.value ->> 0 = 'host' AND item.value ->> 1 = lower(host)
        OR item.value ->> 0 = 'engine' AND item.value ->> 1 = db_type
        OR item.value ->> 0 = 'suspects' AND last_sync_scenario = 'connect_failed')"""
_FIRST: Final = " ORDER BY run_items.id LIMIT :most"
CLAIM: Final = portable("""
UPDATE run_items SET status = 'running', reason = NULL, attempts = attempts + 1, owner = :owner,
    claimed_until = {now} + :seconds, started_at = :at, finished_at = NULL
WHERE id IN (SELECT id FROM run_items
    WHERE id {ids} AND status = 'pending' AND not_before <= {now} ORDER BY id {skip_locked})
RETURNING id, run_id, instance_id, attempts, (SELECT mark FROM refused_credentials
    WHERE refused_credentials.instance_id = run_items.instance_id) AS refused_mark
""")
RENEW: Final = portable("""
UPDATE run_items SET claimed_until = {now} + :seconds
WHERE id IN (SELECT id FROM run_items WHERE status = 'running'
    AND owner IN (SELECT item.value ->> 0 FROM {items}) {skip_locked})
""")
# As a subquery it might be run again for each row, and skip what it has locked itself.
QUEUE: Final = portable(f"""
WITH chosen AS MATERIALIZED (SELECT id FROM run_items
    WHERE {_WAITING} AND queued_until <= {{now}}
    ORDER BY id LIMIT :most {{skip_locked}})
UPDATE run_items SET queued_until = {{now}} + :seconds
WHERE id IN (SELECT id FROM chosen) RETURNING id
""")  # noqa: S608 -- our own
NAMED: Final = portable(_PLACES + "run_items.id {ids} ORDER BY run_items.id")
FINISH: Final = portable("""
UPDATE run_items SET status = ended.became, reason = ended.reason, owner = NULL,
    claimed_until = NULL, queued_until = 0, attempts = run_items.attempts - ended.uncounted,
    not_before = CASE WHEN ended.became = 'pending' THEN {now} + ended.retry ELSE 0 END,
    database_count = ended.databases, unmeasured_count = ended.unmeasured,
    size_bytes = ended.size, duration_ms = ended.duration,
    finished_at = CASE WHEN ended.became <> 'pending' THEN :at END
FROM (SELECT CAST(item.value ->> 0 AS BIGINT) AS id, item.value ->> 1 AS owner,
    CAST(item.value ->> 2 AS INTEGER) AS attempt, item.value ->> 3 AS became,
    item.value ->> 4 AS reason, CAST(item.value ->> 5 AS INTEGER) AS databases,
    CAST(item.value ->> 6 AS INTEGER) AS unmeasured, CAST(item.value ->> 7 AS BIGINT) AS size,
    CAST(item.value ->> 8 AS BIGINT) AS duration,
    CAST(item.value ->> 9 AS DOUBLE PRECISION) AS retry,
    CAST(item.value ->> 10 AS INTEGER) AS uncounted FROM {items}) AS ended
WHERE run_items.id = ended.id AND run_items.status = 'running'
    AND run_items.owner = ended.owner AND run_items.attempts = ended.attempt
RETURNING run_id, status, size_bytes, database_count
""")
SILENT: Final = portable("""
SELECT DISTINCT run_id FROM run_items WHERE status = 'running' AND claimed_until <= {now}
""")
REQUEUE: Final = portable("""
UPDATE run_items SET status = CASE WHEN attempts >= :most THEN 'failed' ELSE 'pending' END,
    reason = 'worker_lost', owner = NULL, claimed_until = NULL, queued_until = 0, not_before = 0,
    finished_at = CASE WHEN attempts >= :most THEN :at END
WHERE id IN (SELECT id FROM run_items WHERE status = 'running' AND claimed_until <= {now}
    AND run_id {ids} {skip_locked})
RETURNING run_id, status, NULL AS size_bytes, NULL AS database_count
""")
CANCEL: Final = portable("""
UPDATE run_items SET status = 'cancelled', finished_at = :at
WHERE id IN (SELECT id FROM run_items WHERE run_id = :run_id AND status = 'pending' {skip_locked})
""")
ENDED: Final = runs.c.completed + runs.c.failed + runs.c.cancelled + runs.c.skipped
# What is running just now is little: it is counted, in the same statement.
_BUSY: Final = (
    select(func.count())
    .where(run_items.c.run_id == runs.c.id, run_items.c.status == literal_column("'running'"))
    .scalar_subquery()
)
RUNS: Final = select(runs, case((runs.c.status == RunStatus.RUNNING, _BUSY), else_=0).label("busy"))
# Whom somebody else holds, he looks at himself before he lets go.
CLOSABLE: Final = (
    select(runs)
    .where(
        runs.c.status == RunStatus.RUNNING,
        or_(runs.c.item_count == ENDED, runs.c.cancel_requested_at.is_not(None)),
    )
    .order_by(runs.c.id)
    .with_for_update(skip_locked=True)
)
_OLD: Final = (runs.c.status != RunStatus.RUNNING, runs.c.finished_at < bindparam("moment"))
ENDED_BEFORE: Final = select(func.count()).select_from(runs).where(*_OLD)
OLDEST: Final = select(runs.c.id).where(*_OLD).order_by(runs.c.id).limit(1).with_for_update()
FIRE: Final = portable("""
INSERT INTO schedules (name, fired_at) VALUES (:name, :at)
ON CONFLICT (name) DO UPDATE SET fired_at = excluded.fired_at
WHERE schedules.fired_at < excluded.fired_at
""")
REFUSE: Final = portable("""
INSERT INTO refused_credentials (instance_id, mark) VALUES (:instance_id, :mark)
ON CONFLICT (instance_id) DO UPDATE SET mark = excluded.mark
""")


@cache
def waiting_in(narrowed: tuple[bool, bool, bool]) -> Statement:
    """Of one run, in zones, less what is full; built late, for a single sync never asks."""
    chosen = compress((_OF_RUN, _IN_ZONES, _NOT_FULL), narrowed)
    return portable("".join((_PLACES, _WAITING, *chosen, _FIRST)))


def digest_of(selection: Selection) -> str:
    """Shorten its key, which may name 100,000 ids, to what an index takes."""
    return sha256(selection.key.encode()).hexdigest()


def run_of(row: Row[Any]) -> Run:
    ended = row.completed + row.failed + row.cancelled + row.skipped
    return Run(
        id=row.id,
        trigger=row.trigger,
        requested_by=row.requested_by,
        selection=Selection.of_key(row.selection),
        status=row.status,
        started_at=row.started_at,
        active_at=row.active_at,
        finished_at=row.finished_at,
        cancel_requested_at=row.cancel_requested_at,
        counts=ItemCounts(
            pending=row.item_count - ended - row.busy,
            running=row.busy,
            completed=row.completed,
            failed=row.failed,
            cancelled=row.cancelled,
            skipped=row.skipped,
        ),
        size_bytes=(row.size_high << 32) + row.size_low,
        database_count=row.databases,
    )


def item_of(row: Row[Any]) -> RunItem:
    return RunItem(
        id=row.id,
        run_id=row.run_id,
        instance_id=row.instance_id,
        instance_name=row.name,
        db_type=row.db_type,
        status=row.status,
        reason=reason_of(row.reason),
        attempts=row.attempts,
        database_count=row.database_count,
        unmeasured_count=row.unmeasured_count,
        size_bytes=row.size_bytes,
        duration_ms=row.duration_ms,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def waiting_of(row: Row[Any]) -> Waiting:
    host = None if row.host is None else row.host.lower()
    return Waiting(
        row.id, row.run_id, row.instance_id, row.db_type, host, row.zone, bool(row.is_suspect)
    )
