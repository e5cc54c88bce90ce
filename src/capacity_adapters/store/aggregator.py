"""The daily aggregates of one instance: one upsert a level, each in a savepoint."""

from datetime import date
from typing import Final

from attrs import frozen
from sqlalchemy import Table

from capacity_adapters.store.statements import Statement, portable, statement_for
from capacity_adapters.store.tables import database_size_aggregations, instance_size_aggregations
from capacity_adapters.store.work import Work


def _upsert(table: Table, values: str) -> Statement:
    """Insert the columns of the table in their order; rows that say the same stay unwritten."""
    key = [column.name for column in table.primary_key]
    rest = [column.name for column in table.columns if column.name not in key]
    columns = ", ".join(column.name for column in table.columns)
    change = ", ".join(f"{name} = excluded.{name}" for name in rest)
    old = ", ".join(f"kept.{name}" for name in rest)
    new = ", ".join(f"excluded.{name}" for name in rest)
    return portable(
        f"INSERT INTO {table.name} AS kept ({columns})\n{values}\n"
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {change}\n"
        f"WHERE ({old}) {{differs}} ({new})"
    )


def _percent(change: str, before: str) -> str:
    # The same two roundings on every store; growth from nothing has no percentage.
    return (
        f"CASE WHEN {before} > 0 THEN CAST({change} AS DOUBLE PRECISION) * 100.0 "
        f"/ CAST({before} AS DOUBLE PRECISION) END"
    )


def _before(column: str) -> str:
    # Most engines know no parts: then nothing is looked up. Across a break nothing compares.
    return f"""CASE WHEN {column} IS NULL OR baseline_date IS NULL OR is_break THEN NULL ELSE (
        SELECT stats.{column} FROM database_size_stats AS stats
        WHERE stats.instance_id = :instance_id AND stats.database_name = series.database_name
            AND stats.collected_date = series.baseline_date) END"""  # noqa: S608 -- our own names


_PERCENTS: Final = {
    part: _percent(f"({part}_bytes - {part}_before)", f"{part}_before")
    for part in ("size", "data_size", "log_size")
}

_TREND: Final = (
    "CASE WHEN percent IS NULL THEN 'unknown' WHEN percent > 5 THEN 'growing'"
    " WHEN percent < -5 THEN 'shrinking' ELSE 'stable' END"
)

_DATABASES = _upsert(
    database_size_aggregations,
    f"""
WITH today AS MATERIALIZED (
    SELECT database_name, method, identity, size_bytes, data_size_bytes, log_size_bytes, (
        SELECT earlier.collected_date FROM database_size_stats AS earlier
        WHERE earlier.instance_id = :instance_id
            AND earlier.database_name = stats.database_name
            AND earlier.collected_date < :day AND earlier.size_bytes IS NOT NULL
        ORDER BY earlier.collected_date DESC LIMIT 1) AS baseline_date
    FROM database_size_stats AS stats
    WHERE instance_id = :instance_id AND collected_date = :day AND size_bytes IS NOT NULL
), series AS MATERIALIZED (
    SELECT today.*, coalesce((
        SELECT coalesce(stats.method <> today.method, false)
            OR coalesce(stats.identity <> today.identity, false)
        FROM database_size_stats AS stats
        WHERE stats.instance_id = :instance_id AND stats.database_name = today.database_name
            AND stats.collected_date = today.baseline_date), false) AS is_break
    FROM today
), compared AS MATERIALIZED (
    SELECT series.*, {_before("size_bytes")} AS size_before,
        {_before("data_size_bytes")} AS data_size_before,
        {_before("log_size_bytes")} AS log_size_before
    FROM series
), grown AS MATERIALIZED (
    SELECT compared.*, {_PERCENTS["size"]} AS percent FROM compared
)
SELECT :instance_id, database_name, 'daily', :day, :day, 1, size_bytes, size_bytes, size_bytes,
    CASE WHEN data_size_bytes IS NULL THEN 0 ELSE 1 END, data_size_bytes, data_size_bytes,
    data_size_bytes,
    CASE WHEN log_size_bytes IS NULL THEN 0 ELSE 1 END, log_size_bytes, log_size_bytes,
    log_size_bytes,
    baseline_date, size_bytes - size_before, data_size_bytes - data_size_before,
    log_size_bytes - log_size_before,
    percent, {_PERCENTS["data_size"]}, {_PERCENTS["log_size"]}, percent,
    is_break, size_bytes, size_bytes, {_TREND}
FROM grown WHERE true
""",  # noqa: S608 -- our own names
)


def _method_on(day: str) -> str:
    """Look up how the size that counts for the day was found out: its own or a carried one."""
    return f"""(
            SELECT stats.method FROM database_size_stats AS stats
            WHERE stats.instance_id = :instance_id AND stats.database_name = known.database_name
                AND stats.collected_date <= {day} AND stats.size_bytes IS NOT NULL
            ORDER BY stats.collected_date DESC LIMIT 1)"""  # noqa: S608 -- our own names


# Breaks are looked for in the sizes: the aggregates of the databases may have failed by themselves.
# A database known on the baseline day whose size was not has no method ('') to compare with.
_INSTANCE = _upsert(
    instance_size_aggregations,
    f"""
WITH today AS MATERIALIZED (
    SELECT total_size_bytes + carried_size_bytes AS total, measured_count, active_count, (
        SELECT max(earlier.collected_date) FROM instance_size_stats AS earlier
        WHERE earlier.instance_id = :instance_id
            AND earlier.collected_date < :day) AS baseline_date
    FROM instance_size_stats WHERE instance_id = :instance_id AND collected_date = :day
), series AS MATERIALIZED (
    SELECT today.*, baseline_date IS NOT NULL AND EXISTS (
        SELECT 1 FROM instance_databases AS known
        WHERE known.instance_id = :instance_id AND known.is_active
            AND {_method_on(":day")} <> coalesce({_method_on("today.baseline_date")},
            CASE WHEN known.first_seen_date <= today.baseline_date THEN '' END)) AS is_break
    FROM today
), compared AS MATERIALIZED (
    SELECT series.*, CASE WHEN NOT is_break THEN (
        SELECT total_size_bytes + carried_size_bytes FROM instance_size_stats
        WHERE instance_id = :instance_id AND collected_date = baseline_date) END AS total_before, (
        SELECT stats.active_count FROM instance_size_stats AS stats
        WHERE stats.instance_id = :instance_id
            AND stats.collected_date = baseline_date) AS count_before
    FROM series
), grown AS MATERIALIZED (
    SELECT compared.*, {_percent("(total - total_before)", "total_before")} AS percent
    FROM compared
)
SELECT :instance_id, 'daily', :day, :day, 1, total, total, total, measured_count, active_count,
    active_count, active_count, baseline_date, total - total_before, percent,
    active_count - count_before, {_percent("(active_count - count_before)", "count_before")},
    percent, {_TREND}, is_break, total, total,
    CASE WHEN measured_count < active_count THEN 1 ELSE 0 END
FROM grown WHERE true
""",  # noqa: S608 -- our own names
)


@frozen
class StoreAggregator:
    _work: Work

    def calculate_daily_database_aggregations_for_instance(
        self, instance_id: int, day: date
    ) -> None:
        self._calculate(_DATABASES, instance_id, day)

    def calculate_daily_aggregations_for_instance(self, instance_id: int, day: date) -> None:
        self._calculate(_INSTANCE, instance_id, day)

    def _calculate(self, statement: Statement, instance_id: int, day: date) -> None:
        values = {"instance_id": instance_id, "day": day}
        with self._work.savepoint() as connection:
            connection.execute(statement_for(statement, connection), values)
