"""What a sync reads of the store and writes to it: a statement for all rows of a kind."""

import json
from collections.abc import Collection, Mapping

from attrs import evolve, frozen
from sqlalchemy import Text, bindparam, column, select, update

from capacity_adapters.names import refuse_unstorable
from capacity_adapters.store.instances import PLACE, instance_of, place_of
from capacity_adapters.store.statements import as_doc, portable, sought, statement_for, typed
from capacity_adapters.store.tables import credentials, instance_databases, instances
from capacity_adapters.store.work import Work
from capacity_core.errors import NotFoundError
from capacity_core.inventory import InventoryChange
from capacity_core.messages import text
from capacity_core.model import (
    CapacityReport,
    Instance,
    LastSync,
    Moment,
    Outcome,
    Place,
    SealedPassword,
)

_KNOWN = select(instance_databases.c.database_name, instance_databases.c.is_active).where(
    instance_databases.c.instance_id == bindparam("instance_id")
)

# The known databases come as one text, which is quicker than rows at 10,000 of them, and the
# password with them: two statements less.
_INSTANCE = typed(
    f"""SELECT {", ".join(f"instances.{column.name}" for column in instances.c)}, (
        SELECT {{pairs}} FROM instance_databases AS known
        WHERE known.instance_id = instances.id) AS known, key_id, nonce, sealed
    FROM instances LEFT JOIN credentials ON credentials.instance_id = instances.id
    WHERE id = :instance_id AND deleted_at IS NULL""",  # noqa: S608 -- our own
    *instances.c,
    column("known", Text),
    credentials.c.key_id,
    credentials.c.nonce,
    credentials.c.sealed,
)
_LAST_SYNC = (
    update(instances)
    .where(instances.c.id == bindparam("instance_id"), instances.c.deleted_at.is_(None))
    .values(
        last_sync_at=bindparam("at"),
        last_sync_scenario=bindparam("scenario"),
        last_sync_reason=bindparam("reason"),
    )
    .returning(*PLACE)
)

# Rows that say already what they should are not written again.
_SEEN = portable("""
INSERT INTO instance_databases
    (instance_id, database_name, is_active, is_system, first_seen_date, last_seen_date)
SELECT :instance_id, item.value ->> 0, true, CAST(item.value ->> 1 AS BOOLEAN), :day, :day
FROM {items} WHERE true
ON CONFLICT (instance_id, database_name) DO UPDATE SET is_active = true,
    is_system = excluded.is_system, last_seen_date = excluded.last_seen_date, deleted_at = NULL
WHERE NOT instance_databases.is_active
    OR instance_databases.is_system <> excluded.is_system
    OR instance_databases.last_seen_date <> excluded.last_seen_date
""")
_GONE = portable("""
UPDATE instance_databases SET is_active = false, deleted_at = :at
WHERE instance_id = :instance_id AND is_active
    AND database_name IN (SELECT item.value ->> 0 FROM {items})
""")

# An outcome without a size leaves the day's size, and how and when it was found, alone.
_STATS = portable("""
INSERT INTO database_size_stats AS kept
    (instance_id, database_name, collected_date, size_bytes, data_size_bytes, log_size_bytes,
    method, collected_at, last_outcome, last_attempt_at, used_size_bytes, ceiling_bytes, freshness,
    duration_ms, identity)
SELECT :instance_id, item.value ->> 0, :day, CAST(item.value ->> 2 AS BIGINT),
    CAST(item.value ->> 3 AS BIGINT), CAST(item.value ->> 4 AS BIGINT), item.value ->> 5,
    CASE WHEN item.value ->> 2 IS NOT NULL THEN :at END, item.value ->> 1, :at,
    CAST(item.value ->> 6 AS BIGINT), CAST(item.value ->> 7 AS BIGINT), item.value ->> 8,
    CAST(item.value ->> 9 AS BIGINT), item.value ->> 10
FROM {items} WHERE true
ON CONFLICT (instance_id, database_name, collected_date) DO UPDATE SET
    size_bytes = coalesce(excluded.size_bytes, kept.size_bytes),
    data_size_bytes = CASE WHEN excluded.size_bytes IS NULL
        THEN kept.data_size_bytes ELSE excluded.data_size_bytes END,
    log_size_bytes = CASE WHEN excluded.size_bytes IS NULL
        THEN kept.log_size_bytes ELSE excluded.log_size_bytes END,
    method = coalesce(excluded.method, kept.method),
    collected_at = coalesce(excluded.collected_at, kept.collected_at),
    last_outcome = excluded.last_outcome,
    last_attempt_at = excluded.last_attempt_at,
    used_size_bytes = CASE WHEN excluded.size_bytes IS NULL
        THEN kept.used_size_bytes ELSE excluded.used_size_bytes END,
    ceiling_bytes = CASE WHEN excluded.size_bytes IS NULL
        THEN kept.ceiling_bytes ELSE excluded.ceiling_bytes END,
    freshness = coalesce(excluded.freshness, kept.freshness),
    duration_ms = CASE WHEN excluded.size_bytes IS NULL
        THEN kept.duration_ms ELSE excluded.duration_ms END,
    identity = CASE WHEN excluded.size_bytes IS NULL THEN kept.identity ELSE excluded.identity END
""")

# Sizes are looked up by their full key: a join goes wrong on a store without statistics. They
# are added up in halves of 32 bits, since SQLite's sum() fails beyond 64.
_TOTAL = portable("""
INSERT INTO instance_size_stats (instance_id, collected_date, total_size_bytes,
    carried_size_bytes, measured_count, active_count, collected_at)
WITH today AS MATERIALIZED (
    SELECT database_name, (
        SELECT size_bytes FROM database_size_stats AS stats
        WHERE stats.instance_id = :instance_id AND stats.database_name = known.database_name
            AND stats.collected_date = :day) AS size_bytes
    FROM instance_databases AS known WHERE instance_id = :instance_id AND is_active
), sizes AS MATERIALIZED (
    SELECT size_bytes, CASE WHEN size_bytes IS NULL THEN (
        SELECT stats.size_bytes FROM database_size_stats AS stats
        WHERE stats.instance_id = :instance_id AND stats.database_name = today.database_name
            AND stats.collected_date < :day AND stats.size_bytes IS NOT NULL
        ORDER BY stats.collected_date DESC LIMIT 1) END AS carried_bytes
    FROM today
), halves AS (
    SELECT CAST(coalesce(sum(size_bytes / 4294967296), 0) AS BIGINT) AS high,
        CAST(coalesce(sum(size_bytes % 4294967296), 0) AS BIGINT) AS low,
        CAST(coalesce(sum(carried_bytes / 4294967296), 0) AS BIGINT) AS carried_high,
        CAST(coalesce(sum(carried_bytes % 4294967296), 0) AS BIGINT) AS carried_low,
        count(size_bytes) AS measured_count, count(*) AS active_count
    FROM sizes
)
SELECT :instance_id, :day, high * 4294967296 + low, carried_high * 4294967296 + carried_low,
    measured_count, active_count, :at
FROM halves
WHERE high + carried_high + (low + carried_low) / 4294967296 < 2147483648
ON CONFLICT (instance_id, collected_date) DO UPDATE SET
    total_size_bytes = excluded.total_size_bytes,
    carried_size_bytes = excluded.carried_size_bytes,
    measured_count = excluded.measured_count, active_count = excluded.active_count,
    collected_at = excluded.collected_at
""")


@frozen
class StoreRepository:
    _work: Work

    def get_instance_and_databases(self, instance_id: int) -> tuple[Instance, Mapping[str, bool]]:
        asked = {"instance_id": sought(instance_id)}
        with self._work.read() as connection:
            row = connection.execute(_INSTANCE[connection.dialect.name], asked).one_or_none()
        if row is None:
            raise NotFoundError(text("error.instance_missing"))
        known = {name: bool(is_active) for name, is_active in json.loads(row.known or "[]")}
        instance = instance_of(row)
        if row.sealed is not None:
            password = SealedPassword(row.key_id, row.nonce, row.sealed)
            instance = evolve(instance, sealed_password=password)
        return instance, known

    def known_databases(self, instance_id: int) -> Mapping[str, bool]:
        with self._work.read() as connection:
            known = connection.execute(_KNOWN, {"instance_id": sought(instance_id)})
            return dict(known.all())

    def save_last_sync(self, instance_id: int, attempt: LastSync) -> Place:
        values = {
            "instance_id": sought(instance_id),
            "at": attempt.at,
            "scenario": attempt.scenario,
            "reason": attempt.reason,
        }
        with self._work.write() as connection:
            row = connection.execute(_LAST_SYNC, values).one_or_none()
        if row is None:
            raise NotFoundError(text("error.instance_missing"))
        return place_of(row)

    def save_inventory(self, instance_id: int, change: InventoryChange, moment: Moment) -> None:
        refuse_unstorable(database.name for database in change.active)
        doc = as_doc((database.name, int(database.is_system)) for database in change.active)
        values = {"instance_id": instance_id, "day": moment.day, "doc": doc}
        with self._work.write() as connection:
            connection.execute(statement_for(_SEEN, connection), values)
        self._deactivate(instance_id, change.deactivated, moment)

    def save_database_stats(self, instance_id: int, report: CapacityReport, moment: Moment) -> int:
        refuse_unstorable(size.name for size in report.sizes)
        refuse_unstorable(fate.name for fate in report.unmeasured)
        rows: list[tuple[object, ...]] = [
            (
                size.name,
                size.outcome,
                size.size_bytes,
                size.data_size_bytes,
                size.log_size_bytes,
                size.method,
                size.used_size_bytes,
                size.ceiling_bytes,
                size.freshness,
                size.duration_ms,
                size.identity,
            )
            for size in report.sizes
        ]
        rows += [(fate.name, fate.outcome) for fate in report.unmeasured]
        values = {
            "instance_id": instance_id,
            "day": moment.day,
            "at": moment.at,
            "doc": as_doc(rows),
        }
        with self._work.write() as connection:
            connection.execute(statement_for(_STATS, connection), values)
        gone = [fate.name for fate in report.unmeasured if fate.outcome is Outcome.VANISHED]
        self._deactivate(instance_id, gone, moment)
        return len(report.sizes)

    def update_instance_total_size(self, instance_id: int, moment: Moment) -> bool:
        values = {"instance_id": instance_id, "day": moment.day, "at": moment.at}
        with self._work.write() as connection:
            return connection.execute(statement_for(_TOTAL, connection), values).rowcount == 1

    def _deactivate(self, instance_id: int, names: Collection[str], moment: Moment) -> None:
        if not names:
            return
        doc = as_doc((name,) for name in sorted(names))
        values = {"instance_id": instance_id, "at": moment.at, "doc": doc}
        with self._work.write() as connection:
            connection.execute(statement_for(_GONE, connection), values)
