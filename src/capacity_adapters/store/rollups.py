"""Weeks, months and quarters as statements: the formulas of `rollup`, for many series at once."""

from typing import Final

from capacity_core.periods import Period
from capacity_core.rollup import MOST_SUM_BYTES

ONE: Final = "instance_id = :instance_id"
FOLLOWED: Final = "instance_id IN (SELECT id FROM instances WHERE is_active AND deleted_at IS NULL)"
TREND: Final = (
    "CASE WHEN percent IS NULL THEN 'unknown' WHEN percent > 5 THEN 'growing'"
    " WHEN percent < -5 THEN 'shrinking' ELSE 'stable' END"
)
_NOW: Final = "FILTER (WHERE is_now)"
_BEFORE: Final = "FILTER (WHERE NOT is_now)"
_SIZES: Final = ("size", "data_size", "log_size")


def _gathered(name: str, value: str) -> str:
    """Add up one column of days: as it is, or in two halves where sum() fails beyond 64 bits."""
    return (
        f"count({value}) AS {name}_count,"
        f" CASE WHEN {{halves}} THEN sum({value} >> 32) ELSE 0 END AS {name}_high,"
        f" sum(CASE WHEN {{halves}} THEN {value} & 4294967295 ELSE {value} END) AS {name}_low,"
        f" max({value}) AS {name}_max, min({value}) AS {name}_min"
    )


def _halved(name: str) -> str:
    """Bring the groups of one series together: the period's own, and those before."""
    return (
        f"CAST(coalesce(sum({name}_count) {_NOW}, 0) AS INTEGER) AS {name}_count,"
        f" sum({name}_high) {_NOW} * 4294967296 + sum({name}_low) {_NOW} AS {name}_sum,"
        f" max({name}_max) {_NOW} AS {name}_max, min({name}_min) {_NOW} AS {name}_min,"
        f" CAST(sum({name}_count) {_BEFORE} AS INTEGER) AS {name}_count_before,"
        f" sum({name}_high) {_BEFORE} * 4294967296 + sum({name}_low) {_BEFORE}"
        f" AS {name}_sum_before"
    )


def _compared(name: str, unbroken: str = "NOT is_break") -> str:
    before = f"{name}_sum_before AS DOUBLE PRECISION) / {name}_count_before"
    return (
        f"CASE WHEN {unbroken} THEN CAST({name}_sum AS DOUBLE PRECISION) / {name}_count"
        f" - CAST({before} END AS {name}_change, CAST({before} AS {name}_average_before"
    )


def _change(name: str) -> str:
    # One day against one day is exact; else halves are rounded away from 0.
    return (
        f"CASE WHEN {name}_change IS NULL THEN NULL"
        f" WHEN {name}_count = 1 AND {name}_count_before = 1"
        f" THEN CAST({name}_sum - {name}_sum_before AS BIGINT)"
        f" ELSE CAST({{whole}}({name}_change"
        f" + CASE WHEN {name}_change < 0 THEN -0.5 ELSE 0.5 END) AS BIGINT) END"
    )


def _percent(name: str) -> str:
    return (
        f"CASE WHEN {name}_average_before > 0"
        f" THEN {name}_change * 100.0 / {name}_average_before END"
    )


def _fits(*names: str) -> str:
    return " AND ".join(f"coalesce({name}_sum, 0) <= {MOST_SUM_BYTES}" for name in names)


def _lines(*parts: str) -> str:
    return ",\n    ".join(parts)


def _size_on(day: str) -> str:
    return f"""CASE WHEN size_min = size_max THEN size_min ELSE (
        SELECT stats.size_bytes FROM database_size_stats AS stats
        WHERE stats.instance_id = grown.instance_id
            AND stats.database_name = grown.database_name
            AND stats.collected_date = {day}) END"""  # noqa: S608 -- our own names


def _total_on(day: str) -> str:
    return f"""(
        SELECT stats.total_size_bytes + stats.carried_size_bytes FROM instance_size_stats AS stats
        WHERE stats.instance_id = grown.instance_id
            AND stats.collected_date = {day})"""  # noqa: S608 -- our own names


def databases_select(source: str) -> str:
    """Select the columns of `database_size_aggregations`, in their order, for one period.

    `source` is what follows FROM: rows of `stats` (database_size_stats), narrowed to the days
    :since (first of the previous period) ... :end. Parameters: kind, since, start, end.
    """
    return f"""
WITH parts AS MATERIALIZED (
    SELECT stats.instance_id, stats.database_name, stats.method, stats.identity,
    stats.collected_date >= :start AS is_now,
    min(stats.collected_date) AS first_date, max(stats.collected_date) AS last_date,
    {_lines(*(_gathered(name, f"stats.{name}_bytes") for name in _SIZES))}
    FROM {source} AND stats.size_bytes IS NOT NULL
    GROUP BY stats.instance_id, stats.database_name, stats.method, stats.identity,
        stats.collected_date >= :start
), paired AS MATERIALIZED (
    SELECT instance_id, database_name,
    coalesce(min(method) <> max(method), false)
        OR coalesce(min(identity) <> max(identity), false) AS is_break,
    min(first_date) {_NOW} AS first_date,
    max(last_date) {_NOW} AS last_date,
    {_lines(*map(_halved, _SIZES))}
    FROM parts GROUP BY instance_id, database_name
), compared AS MATERIALIZED (
    SELECT paired.*,
    {_lines(*map(_compared, _SIZES))}
    FROM paired WHERE size_count > 0 AND {_fits(*_SIZES)}
), grown AS MATERIALIZED (
    SELECT compared.*, {_percent("size")} AS percent FROM compared
)
SELECT instance_id, database_name, :kind, :start, :end,
    {_lines(*(_kept_sums(name) for name in _SIZES))},
    CASE WHEN size_count_before > 0 THEN :since END,
    {_lines(*map(_change, _SIZES))},
    percent, {_percent("data_size")}, {_percent("log_size")}, percent,
    is_break, {_size_on("first_date")}, {_size_on("last_date")}, {TREND}
FROM grown WHERE true
"""  # noqa: S608 -- our own names


def _kept_sums(name: str) -> str:
    return f"{name}_count, CAST({name}_sum AS BIGINT), {name}_max, {name}_min"


# The databases whose method changed are among those whose aggregates say that a series broke.
_BREAK: Final = """EXISTS (
        SELECT 1 FROM database_size_aggregations AS kept
        WHERE kept.instance_id = paired.instance_id AND {those} AND kept.is_break AND (
            SELECT min(stats.method) <> max(stats.method) FROM database_size_stats AS stats
            WHERE stats.instance_id = kept.instance_id AND stats.database_name = kept.database_name
                AND stats.collected_date BETWEEN :since AND :end
                AND stats.size_bytes IS NOT NULL))"""
OF_THE_PERIOD: Final = "kept.period_type = :kind AND kept.period_start = :start"
OF_ITS_DAYS: Final = (
    "kept.period_type = 'daily' AND kept.period_start > :since AND kept.period_start <= :end"
)


def instances_select(source: str, breaks: str) -> str:
    """Select the columns of `instance_size_aggregations` likewise, from `instance_size_stats`.

    `breaks` says which aggregates of databases know of breaks: `OF_THE_PERIOD` once the period's
    own are kept, `OF_ITS_DAYS` while it is running.
    """
    return f"""
WITH parts AS MATERIALIZED (
    SELECT stats.instance_id, stats.collected_date >= :start AS is_now,
    min(stats.collected_date) AS first_date, max(stats.collected_date) AS last_date,
    {_gathered("total", "(stats.total_size_bytes + stats.carried_size_bytes)")},
    {_gathered("active", "stats.active_count")},
    sum(stats.measured_count) AS measured_sum,
    count(CASE WHEN stats.measured_count < stats.active_count THEN 1 END) AS partial_days
    FROM {source}
    GROUP BY stats.instance_id, stats.collected_date >= :start
), paired AS MATERIALIZED (
    SELECT instance_id, min(first_date) {_NOW} AS first_date,
    max(last_date) {_NOW} AS last_date,
    CAST(sum(measured_sum) {_NOW} AS BIGINT) AS measured_sum,
    CAST(sum(partial_days) {_NOW} AS INTEGER) AS partial_days,
    {_halved("total")},
    {_halved("active")}
    FROM parts GROUP BY instance_id
), judged AS MATERIALIZED (
    SELECT paired.*, {_BREAK.format(those=breaks)} AS is_break
    FROM paired WHERE total_count > 0 AND {_fits("total")}
), compared AS MATERIALIZED (
    SELECT judged.*,
    {_compared("total")},
    {_compared("active", "true")}
    FROM judged
), grown AS MATERIALIZED (
    SELECT compared.*, {_percent("total")} AS percent FROM compared
)
SELECT instance_id, :kind, :start, :end, {_kept_sums("total")},
    measured_sum, CAST(active_sum AS BIGINT), active_max, active_min,
    CASE WHEN total_count_before > 0 THEN :since END,
    {_change("total")}, percent,
    {_change("active")}, {_percent("active")},
    percent, {TREND}, is_break,
    {_total_on("first_date")},
    {_total_on("last_date")}, partial_days
FROM grown WHERE true
"""  # noqa: S608 -- our own names


def span_of(period: Period) -> dict[str, object]:
    """Fill the parameters of a period's statement."""
    return {
        "kind": period.type,
        "since": period.previous.start,
        "start": period.start,
        "end": period.end,
    }
