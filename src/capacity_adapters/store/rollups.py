"""Weeks, months and quarters as statements: the formulas of `rollup`, for many series at once."""

from typing import Final

from capacity_core.model import MOST_SUM_BYTES
from capacity_core.periods import Period

ONE: Final = "instance_id = :instance_id"
FOLLOWED: Final = "instance_id IN (SELECT id FROM instances WHERE is_active AND deleted_at IS NULL)"
TREND: Final = (
    "CASE WHEN percent IS NULL THEN 'unknown' WHEN percent > 5 THEN 'growing'"
    " WHEN percent < -5 THEN 'shrinking' ELSE 'stable' END"
)
NOW: Final = "stats.collected_date BETWEEN :start AND :end"
BEFORE: Final = "stats.collected_date >= :since AND stats.collected_date < :start"
_SERIES: Final = (
    "database_size_stats AND stats.database_name = grown.database_name"
    " AND stats.size_bytes IS NOT NULL"
)
_SIZES: Final = ("size", "data_size", "log_size")


def _summed(value: str) -> str:
    """Add up a column of days: as it is, or in two halves where sum() fails beyond 64 bits."""
    return (
        f"CASE WHEN {{halves}} THEN sum({value} >> 32) ELSE 0 END * 4294967296"
        f" + sum(CASE WHEN {{halves}} THEN {value} & 4294967295 ELSE {value} END)"
    )


def _now(name: str, value: str) -> str:
    return (
        f"CAST(count({value}) AS INTEGER) AS {name}_count, {_summed(value)} AS {name}_sum,"
        f" max({value}) AS {name}_max, min({value}) AS {name}_min"
    )


def _before(name: str, value: str) -> str:
    return f"count({value}) AS {name}_count_before, {_summed(value)} AS {name}_sum_before"


def _both_ends(value: str) -> str:
    # Most days are there: then nothing is looked up.
    return (
        f"max({value}) FILTER (WHERE stats.collected_date = :start) AS first_value,"
        f" max({value}) FILTER (WHERE stats.collected_date = :end) AS last_value"
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


def _befores(name: str) -> str:
    return f"earlier.{name}_count_before, earlier.{name}_sum_before"


def _differs(name: str) -> str:
    """Compare the least and the greatest of both periods; unknown ones are no others."""
    pairs = (
        f"now.{name} <> now.last_{name}",
        f"earlier.{name} <> earlier.last_{name}",
        f"now.{name} <> earlier.{name}",
    )
    return " OR ".join(f"coalesce({pair}, false)" for pair in pairs)


def _lines(*parts: str) -> str:
    return ",\n    ".join(parts)


def _end(column: str, value: str, order: str, those: str) -> str:
    """Take the value of the period's first or last day, else of the known one nearest to it."""
    table, _, key = those.partition(" ")
    return f"""coalesce({column}, (
        SELECT {value} FROM {table} AS stats
        WHERE stats.instance_id = grown.instance_id {key} AND {NOW}
        ORDER BY stats.collected_date {order} LIMIT 1))"""  # noqa: S608 -- our own names


def _ends(value: str, those: str) -> str:
    return f"""{_end("first_value", value, "ASC", those)},
    {_end("last_value", value, "DESC", those)}"""


def databases_select(source: str) -> str:
    """Select the columns of `database_size_aggregations`, in their order, for one period.

    `source` is what follows FROM: the rows of `stats` (database_size_stats) that count, but for
    their days. Parameters: kind, since (where the previous period starts), start, end.
    """
    sizes = [(name, f"stats.{name}_bytes") for name in _SIZES]
    series = """stats.instance_id, stats.database_name,
    min(stats.method{by_byte}) AS method, max(stats.method{by_byte}) AS last_method,
    min(stats.identity{by_byte}) AS identity, max(stats.identity{by_byte}) AS last_identity"""
    return f"""
WITH now AS MATERIALIZED (
    SELECT {series},
    {_lines(*(_now(*each) for each in sizes))},
    {_both_ends("stats.size_bytes")}
    FROM {source} AND {NOW} AND stats.size_bytes IS NOT NULL
    GROUP BY stats.instance_id, stats.database_name
), earlier AS MATERIALIZED (
    SELECT {series},
    {_lines(*(_before(*each) for each in sizes))}
    FROM {source} AND {BEFORE} AND stats.size_bytes IS NOT NULL
    GROUP BY stats.instance_id, stats.database_name
), paired AS MATERIALIZED (
    SELECT now.*, {_lines(*(_befores(name) for name in _SIZES))},
    {" OR ".join(map(_differs, ("method", "identity")))} AS is_break
    FROM now {{beside}} earlier ON earlier.instance_id = now.instance_id
        AND earlier.database_name = now.database_name
    WHERE coalesce(now.size_count, 0) > 0 AND {_fits(*_SIZES)}
), compared AS MATERIALIZED (
    SELECT paired.*,
    {_lines(*map(_compared, _SIZES))}
    FROM paired
), grown AS MATERIALIZED (
    SELECT compared.*, {_percent("size")} AS percent FROM compared
)
SELECT instance_id, database_name, :kind, :start, :end,
    {_lines(*(_kept_sums(name) for name in _SIZES))},
    CASE WHEN size_count_before > 0 THEN :since END,
    {_lines(*map(_change, _SIZES))},
    percent, {_percent("data_size")}, {_percent("log_size")}, percent,
    is_break, {_ends("stats.size_bytes", _SERIES)}, {TREND}
FROM grown WHERE true
"""  # noqa: S608 -- our own names


def _kept_sums(name: str) -> str:
    return f"{name}_count, CAST({name}_sum AS BIGINT), {name}_max, {name}_min"


# The databases whose method changed are among those whose aggregates say that a series broke;
# behind carried days, only the instance's own day knows that it did.
_BREAK: Final = """(EXISTS (
        SELECT 1 FROM database_size_aggregations AS kept
        WHERE kept.instance_id = paired.instance_id AND {those} AND kept.is_break AND (
            SELECT min(stats.method) <> max(stats.method) FROM database_size_stats AS stats
            WHERE stats.instance_id = kept.instance_id AND stats.database_name = kept.database_name
                AND stats.collected_date BETWEEN :since AND :end
                AND stats.size_bytes IS NOT NULL))
        OR EXISTS (
        SELECT 1 FROM instance_size_aggregations AS kept
        WHERE kept.instance_id = paired.instance_id AND kept.period_type = 'daily'
            AND kept.period_start > :since AND kept.period_start <= :end
            AND kept.baseline_date >= :since AND kept.is_break))"""
OF_THE_PERIOD: Final = "kept.period_type = :kind AND kept.period_start = :start"
OF_ITS_DAYS: Final = (
    "kept.period_type = 'daily' AND kept.period_start > :since AND kept.period_start <= :end"
)


def instances_select(source: str, breaks: str) -> str:
    """Select the columns of `instance_size_aggregations` likewise, from `instance_size_stats`.

    `breaks` says which aggregates of databases know of breaks: `OF_THE_PERIOD` once the period's
    own are kept, `OF_ITS_DAYS` while it is running.
    """
    total = "(stats.total_size_bytes + stats.carried_size_bytes)"
    counted = [("total", total), ("active", "stats.active_count")]
    return f"""
WITH now AS MATERIALIZED (
    SELECT stats.instance_id, sum(stats.measured_count) AS measured_sum,
    CAST(count(CASE WHEN stats.measured_count < stats.active_count THEN 1 END) AS INTEGER)
        AS partial_days,
    {_lines(*(_now(*each) for each in counted))},
    {_both_ends(total)}
    FROM {source} AND {NOW} GROUP BY stats.instance_id
), earlier AS MATERIALIZED (
    SELECT stats.instance_id,
    {_lines(*(_before(*each) for each in counted))}
    FROM {source} AND {BEFORE} GROUP BY stats.instance_id
), paired AS MATERIALIZED (
    SELECT now.*, {_lines(*(_befores(name) for name, _ in counted))}
    FROM now {{beside}} earlier ON earlier.instance_id = now.instance_id
    WHERE coalesce(now.total_count, 0) > 0 AND {_fits("total")}
), judged AS MATERIALIZED (
    SELECT paired.*, {_BREAK.format(those=breaks)} AS is_break
    FROM paired
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
    {_ends(total, "instance_size_stats")}, partial_days
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
