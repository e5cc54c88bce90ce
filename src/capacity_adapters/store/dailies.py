"""Days as statements: a day compares with the last known day before it, which it names."""

from typing import Final

from capacity_adapters.store.rollups import TREND


def _percent(change: str, before: str) -> str:
    # The same two roundings on every store; growth from nothing has no percentage.
    return (
        f"CASE WHEN {before} > 0 THEN CAST({change} AS DOUBLE PRECISION) * 100.0 "
        f"/ CAST({before} AS DOUBLE PRECISION) END"
    )


_PERCENTS: Final = {
    part: _percent(f"({part}_bytes - {part}_before)", f"{part}_before")
    for part in ("size", "data_size", "log_size")
}


_COLUMNS: Final = (
    "collected_date",
    "method",
    "identity",
    "size_bytes",
    "data_size_bytes",
    "log_size_bytes",
)
_SIZES_OF: Final = f"""SELECT instance_id, database_name, {", ".join(_COLUMNS)}
    FROM database_size_stats
    WHERE {{owner}} AND collected_date = {{day}} AND size_bytes IS NOT NULL"""  # noqa: S608 -- ours
# Nearly every size was known the day before, which is read at once; the others are looked up.
_EARLIER: Final = ", ".join(
    f"coalesce(yesterday.{name}, earlier.{name}) AS earlier_{name}" for name in _COLUMNS
)


def daily_databases(owner: str) -> str:
    """Select the columns of `database_size_aggregations`, in their order, for the day :day."""
    return f"""
WITH today AS MATERIALIZED (
    {_SIZES_OF.format(owner=owner, day=":day")}
), series AS MATERIALIZED (
    SELECT today.*, {_EARLIER}
    FROM today {{beside}} (
        {_SIZES_OF.format(owner=owner, day=":yesterday")}
        ) AS yesterday ON yesterday.instance_id = today.instance_id
        AND yesterday.database_name = today.database_name
    {{long_before}}
    WHERE coalesce(today.size_bytes, -1) >= 0
), judged AS MATERIALIZED (
    SELECT series.*, coalesce(earlier_method <> method, false)
        OR coalesce(earlier_identity <> identity, false) AS is_break
    FROM series
), compared AS (
    SELECT judged.*, CASE WHEN NOT is_break THEN earlier_size_bytes END AS size_before,
        CASE WHEN NOT is_break THEN earlier_data_size_bytes END AS data_size_before,
        CASE WHEN NOT is_break THEN earlier_log_size_bytes END AS log_size_before
    FROM judged
), grown AS (
    SELECT compared.*, {_PERCENTS["size"]} AS percent FROM compared
)
SELECT instance_id, database_name, 'daily', :day, :day, 1, size_bytes, size_bytes, size_bytes,
    CASE WHEN data_size_bytes IS NULL THEN 0 ELSE 1 END, data_size_bytes, data_size_bytes,
    data_size_bytes,
    CASE WHEN log_size_bytes IS NULL THEN 0 ELSE 1 END, log_size_bytes, log_size_bytes,
    log_size_bytes,
    earlier_collected_date, size_bytes - size_before, data_size_bytes - data_size_before,
    log_size_bytes - log_size_before,
    percent, {_PERCENTS["data_size"]}, {_PERCENTS["log_size"]}, percent,
    is_break, size_bytes, size_bytes, {TREND}
FROM grown WHERE true
"""  # noqa: S608 -- our own names


def _methods_of(days: str) -> str:
    return f"""SELECT database_name, method FROM database_size_stats
            WHERE instance_id = today.instance_id AND collected_date {days}
                AND size_bytes IS NOT NULL"""  # noqa: S608 -- our own names


# How the size that counted on the baseline day was found out, if it was carried; if it was not
# known then, no method ('').
_METHOD_BEFORE: Final = """SELECT stats.method FROM database_size_stats AS stats
            WHERE stats.instance_id = today.instance_id
                AND stats.database_name = own.database_name
                AND stats.collected_date <= today.baseline_date AND stats.size_bytes IS NOT NULL
            ORDER BY stats.collected_date DESC LIMIT 1), (
            SELECT '' FROM instance_databases AS known
            WHERE known.instance_id = today.instance_id
                AND known.database_name = own.database_name
                AND known.first_seen_date <= today.baseline_date"""


def daily_instances(owner: str) -> str:
    """Select the columns of `instance_size_aggregations` likewise.

    Breaks are looked for in the sizes since the baseline day: the aggregates of the databases may
    have failed by themselves, and what is active today says nothing of a past day.
    """
    return f"""
WITH today AS MATERIALIZED (
    SELECT instance_id, total_size_bytes + carried_size_bytes AS total, measured_count,
        active_count, (
        SELECT max(earlier.collected_date) FROM instance_size_stats AS earlier
        WHERE earlier.instance_id = stats.instance_id
            AND earlier.collected_date < :day) AS baseline_date
    FROM instance_size_stats AS stats WHERE {owner} AND collected_date = :day
), series AS MATERIALIZED (
    SELECT today.*, baseline_date IS NOT NULL AND EXISTS (
        SELECT 1 FROM ({_methods_of("> today.baseline_date AND collected_date <= :day")}) AS own
        {{beside}} ({_methods_of("= today.baseline_date")}) AS base
            ON base.database_name = own.database_name
        WHERE coalesce(own.method <> coalesce(base.method, ({_METHOD_BEFORE})), false)) AS is_break
    FROM today
), compared AS MATERIALIZED (
    SELECT series.*, CASE WHEN NOT is_break THEN (
        SELECT stats.total_size_bytes + stats.carried_size_bytes FROM instance_size_stats AS stats
        WHERE stats.instance_id = series.instance_id
            AND stats.collected_date = series.baseline_date) END AS total_before, (
        SELECT stats.active_count FROM instance_size_stats AS stats
        WHERE stats.instance_id = series.instance_id
            AND stats.collected_date = series.baseline_date) AS count_before
    FROM series
), grown AS MATERIALIZED (
    SELECT compared.*, {_percent("(total - total_before)", "total_before")} AS percent
    FROM compared
)
SELECT instance_id, 'daily', :day, :day, 1, total, total, total, measured_count, active_count,
    active_count, active_count, baseline_date, total - total_before, percent,
    active_count - count_before, {_percent("(active_count - count_before)", "count_before")},
    percent, {TREND}, is_break, total, total,
    CASE WHEN measured_count < active_count THEN 1 ELSE 0 END
FROM grown WHERE true
"""  # noqa: S608 -- our own names
