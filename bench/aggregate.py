"""Aggregation beside a floor, in turn: 1,000 databases x 365 days, every period, both levels.

Usage: aggregate.py [--databases 1000] [--days 365] [--pairs 9] [--parts]

The floor is the plainest SQL for the same: one GROUP BY and upsert a level, on tables of its own
beside ours in the same private PostgreSQL, where commits reach the disk. Both sides commit both
levels at once: the first time (insert), then again with nothing changed (update).
"""

import argparse
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from typing import Any, Final

import psycopg
from bench.run import WITH_FSYNC
from bench.timing import in_turn, report
from tests.builders import an_instance
from tests.servers import start_postgres, temporary

from capacity_adapters.store import Store, open_store
from capacity_core.periods import Period, PeriodType, last_complete

LAST: Final = date(2026, 9, 30)
TABLES: Final = """
CREATE TABLE floor_stats (instance_id int, name text, day date, bytes bigint,
    taken_at timestamptz DEFAULT now(), PRIMARY KEY (instance_id, name, day));
CREATE INDEX floor_stats_day ON floor_stats (instance_id, day);
CREATE TABLE floor_totals (instance_id int, day date, databases int, bytes bigint,
    PRIMARY KEY (instance_id, day));
CREATE TABLE floor_databases (instance_id int, name text, period text, first date, last date,
    average bigint, most bigint, least bigint, days int, average_before bigint, change bigint,
    percent numeric(10, 2), made_at timestamptz, PRIMARY KEY (instance_id, name, period, first));
CREATE TABLE floor_instances (instance_id int, period text, first date, last date,
    average bigint, most bigint, least bigint, days int, average_before bigint, change bigint,
    percent numeric(10, 2), made_at timestamptz, PRIMARY KEY (instance_id, period, first));
"""
FLOOR: Final = """
INSERT INTO {kept} SELECT {key}, %(period)s, %(start)s, %(end)s, now, most, least, days, before,
    now - before, CASE WHEN before > 0 THEN round(100.0 * (now - before) / before, 2) END, now()
FROM (SELECT {key}, (avg(bytes) FILTER (WHERE day >= %(start)s))::bigint AS now,
        max(bytes) FILTER (WHERE day >= %(start)s) AS most,
        min(bytes) FILTER (WHERE day >= %(start)s) AS least,
        count(*) FILTER (WHERE day >= %(start)s) AS days,
        (avg(bytes) FILTER (WHERE day < %(start)s))::bigint AS before
    FROM {stats} WHERE instance_id = %(id)s AND day BETWEEN %(since)s AND %(end)s
    GROUP BY {key}) AS grouped
WHERE days > 0
ON CONFLICT ({key}, period, first) DO UPDATE SET last = excluded.last,
    average = excluded.average, most = excluded.most, least = excluded.least,
    days = excluded.days, average_before = excluded.average_before, change = excluded.change,
    percent = excluded.percent, made_at = excluded.made_at
"""
FLOORS: Final = (
    FLOOR.format(kept="floor_databases", stats="floor_stats", key="instance_id, name"),
    FLOOR.format(kept="floor_instances", stats="floor_totals", key="instance_id"),
)
# 3 % of the rows are missing; `parts` are those of engines that tell data and log apart.
FILL: Final = """
INSERT INTO database_size_stats (instance_id, database_name, collected_date, size_bytes,
    data_size_bytes, log_size_bytes, method, collected_at, last_outcome, last_attempt_at,
    freshness, identity)
SELECT %(id)s, 'bench_' || lpad(g::text, 4, '0'), %(last)s - d, bytes, {parts},
    'pg.database_size', now(), 'measured', now(), 'live', (16384 + g)::text
FROM generate_series(1, %(databases)s) AS g, generate_series(0, %(days)s - 1) AS d,
    LATERAL (SELECT (7 + g %% 50) * 1048576::bigint + (365 - d) * 4096 AS bytes) AS sized
WHERE (g * 31 + d * 17) %% 33 <> 0 ORDER BY d DESC, g;
INSERT INTO instance_databases SELECT DISTINCT instance_id, database_name, true, false,
    %(last)s - %(days)s, %(last)s FROM database_size_stats;
INSERT INTO instance_size_stats SELECT instance_id, collected_date, sum(size_bytes), 0, count(*),
    %(databases)s, now() FROM database_size_stats GROUP BY 1, 2;
INSERT INTO floor_stats (instance_id, name, day, bytes)
    SELECT instance_id, database_name, collected_date, size_bytes FROM database_size_stats
    ORDER BY collected_date, database_name;
INSERT INTO floor_totals SELECT instance_id, collected_date, measured_count, total_size_bytes
    FROM instance_size_stats;
"""
KEPT: Final = (
    "floor_databases",
    "floor_instances",
    "database_size_aggregations",
    "instance_size_aggregations",
)
PARTS: Final[Mapping[bool, str]] = {False: "NULL, NULL", True: "bytes - 4096, 4096"}


def aggregate(store: Store, period: Period, instance_id: int) -> None:
    with store.begin() as work:
        work.aggregator.aggregate_databases(period, instance_id)
        work.aggregator.aggregate_instances(period, instance_id)
        work.commit()


def aggregate_plainly(
    connection: psycopg.Connection[Any], period: Period, instance_id: int
) -> None:
    values = {
        "id": instance_id,
        "period": period.type,
        "since": period.previous.start,
        "start": period.start,
        "end": period.end,
    }
    for statement in FLOORS:
        connection.execute(statement, values)
    connection.commit()


def forget(connection: psycopg.Connection[Any]) -> None:
    """Make the next run the first, without the dead rows that a first run never meets."""
    connection.autocommit = True
    for kept in KEPT:
        connection.execute(f"DELETE FROM {kept}")
        connection.execute(f"VACUUM {kept}")
    connection.autocommit = False


def fill(connection: psycopg.Connection[Any], chosen: argparse.Namespace, instance_id: int) -> None:
    """Keep the same days on both sides, with the statistics that autovacuum would gather."""
    values = {
        "id": instance_id,
        "last": LAST,
        "databases": chosen.databases,
        "days": chosen.days,
    }
    connection.execute(TABLES)
    for statement in FILL.format(parts=PARTS[chosen.parts]).split(";\n"):
        if statement:
            connection.execute(statement, values)
    connection.commit()
    connection.autocommit = True
    connection.execute("VACUUM ANALYZE")
    connection.autocommit = False


def bench_period(
    store: Store,
    connection: psycopg.Connection[Any],
    period: Period,
    instance_id: int,
    pairs: int,
) -> None:
    """Time the first aggregation of the period, then the repeated one."""
    ours = partial(aggregate, store, period, instance_id)
    floor = partial(aggregate_plainly, connection, period, instance_id)
    first = in_turn(ours, floor, pairs, partial(forget, connection))
    again = in_turn(ours, floor, pairs)
    for run, times in (("first", first), ("again", again)):
        report(f"{period.type}, {run}", *times)


def register(store: Store) -> int:
    with store.begin() as work:
        kept = work.instances.add(an_instance("bench"))
        work.commit()
    return kept.id


def bench_aggregates(chosen: argparse.Namespace) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(temporary(start_postgres, options=WITH_FSYNC))
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE capacity")
        store = open_store(server.url("capacity"))
        stack.callback(store.close)
        connection = stack.enter_context(psycopg.connect(server.url("capacity")))
        instance_id = register(store)
        fill(connection, chosen, instance_id)
        for kind in PeriodType:
            complete = last_complete(kind, LAST + timedelta(days=1))
            bench_period(store, connection, complete, instance_id, chosen.pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", type=int, default=1000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--parts", action="store_true", help="data and log sizes, too")
    bench_aggregates(parser.parse_args())


if __name__ == "__main__":
    main()
