"""A store with a long history, filled by SQL: sizes and what a sync aggregates of them."""

from datetime import date, timedelta

import psycopg

# Day by day, as syncs write: a database's days lie far apart, as they do in a store that has aged.
_SIZE = "(1048576 * (1000 + h %% 9000) / 1000 * (1000 + ({day}) * (h %% 7)))"
_SERIES = """
    SELECT i.id AS instance_id, format('database_%%s', to_char(d, 'FM0000')) AS database_name,
        (i.id * 7919 + d * 104729) %% 99991 AS h
    FROM instances AS i CROSS JOIN generate_series(1, %(databases)s) AS d
"""
_STATS = f"""
INSERT INTO database_size_stats (instance_id, database_name, collected_date, size_bytes,
    data_size_bytes, method, collected_at, last_outcome, last_attempt_at, freshness, identity)
SELECT instance_id, database_name, %(day)s, size, size - 8192, 'pg.database_size', %(day)s,
    'measured', %(day)s, 'live', h::text
FROM (SELECT series.*, {_SIZE.format(day="%(number)s")} AS size FROM ({_SERIES}) AS series) AS sized
ORDER BY instance_id, database_name
"""
_AGGREGATES = f"""
INSERT INTO database_size_aggregations (instance_id, database_name, period_type, period_start,
    period_end, data_count, size_sum_bytes, max_size_bytes, min_size_bytes, data_size_count,
    data_size_sum_bytes, max_data_size_bytes, min_data_size_bytes, log_size_count, baseline_date,
    size_change_bytes, data_size_change_bytes, size_change_percent, data_size_change_percent,
    growth_rate, is_break, first_size_bytes, last_size_bytes, trend_direction)
SELECT instance_id, database_name, 'daily', %(day)s, %(day)s, 1, size, size, size, 1, size - 8192,
    size - 8192, size - 8192, 0, %(before)s::date, size - earlier, size - earlier,
    (size - earlier) * 100.0 / earlier, (size - earlier) * 100.0 / earlier,
    (size - earlier) * 100.0 / earlier, false, size, size,
    CASE WHEN %(before)s::date IS NULL THEN 'unknown' ELSE 'stable' END
FROM (SELECT series.*, {_SIZE.format(day="%(number)s")} AS size,
    CASE WHEN %(before)s::date IS NOT NULL THEN {_SIZE.format(day="%(number)s - 1")} END AS earlier
    FROM ({_SERIES}) AS series) AS sized
ORDER BY instance_id, database_name
"""
_TOTALS = """
INSERT INTO instance_size_stats (instance_id, collected_date, total_size_bytes, carried_size_bytes,
    measured_count, active_count, collected_at)
SELECT instance_id, collected_date, sum(size_bytes), 0, count(*), count(*), collected_date
FROM database_size_stats GROUP BY instance_id, collected_date
"""
_DAYS = """
INSERT INTO instance_size_aggregations (instance_id, period_type, period_start, period_end,
    data_count, total_size_sum_bytes, max_total_size_bytes, min_total_size_bytes,
    measured_count_sum, active_count_sum, max_active_count, min_active_count, trend_direction,
    is_break, first_total_size_bytes, last_total_size_bytes, partial_days)
SELECT instance_id, 'daily', collected_date, collected_date, 1, total_size_bytes, total_size_bytes,
    total_size_bytes, measured_count, active_count, active_count, active_count, 'unknown', false,
    total_size_bytes, total_size_bytes, 0
FROM instance_size_stats
"""


def fill(url: str, instances: int, databases: int, days: int, today: date) -> None:
    """Fill an empty store: `days` days that end today, every database measured on each."""
    with psycopg.connect(url, autocommit=True) as store:
        store.execute(
            "INSERT INTO instances (name, db_type, host, port, username, tls_mode, filters,"
            " description, is_active, created_at, updated_at)"
            " SELECT format('instance-%%s', to_char(i, 'FM0000')), (ARRAY['postgresql', 'mysql',"
            " 'oracle', 'sqlserver'])[i %% 4 + 1], 'db.example.org', i, 'reader', 'verify-full',"
            " '{}', '', true, now(), now() FROM generate_series(1, %s) AS i",
            [instances],
        )
        store.execute(
            "INSERT INTO instance_databases (instance_id, database_name, is_active, is_system,"
            " first_seen_date, last_seen_date)"
            " SELECT instance_id, database_name, true, false, %(first)s, %(today)s"
            f" FROM ({_SERIES}) AS series",
            {
                "databases": databases,
                "first": today - timedelta(days=days - 1),
                "today": today,
            },
        )
        for number in range(days):
            day = today - timedelta(days=days - 1 - number)
            values = {
                "databases": databases,
                "number": number,
                "day": day,
                "before": day - timedelta(days=1) if number else None,
            }
            store.execute(_STATS, values)
            store.execute(_AGGREGATES, values)
        for statement in (_TOTALS, _DAYS, "VACUUM ANALYZE"):
            store.execute(statement)
