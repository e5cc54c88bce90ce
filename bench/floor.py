"""The floor: the least work that syncs one instance, in a bare driver script.

One run connects to target and store, lists and sizes on the target, writes one statement (the
inventory, the day's sizes and the instance's total) and commits; TLS is off, as it is on our
side. As a command it does that once:
`floor.py postgresql|mysql TARGET_PORT STORE_PORT INSTANCE_ID`, logins `bench`.
"""

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg

TABLES = """
CREATE TABLE IF NOT EXISTS floor_databases (instance_id int, name text, first_seen date,
    last_seen date, active boolean, PRIMARY KEY (instance_id, name));
CREATE TABLE IF NOT EXISTS floor_stats (instance_id int, name text, day date, bytes bigint,
    taken_at timestamptz, PRIMARY KEY (instance_id, name, day));
CREATE TABLE IF NOT EXISTS floor_totals (instance_id int, day date, databases int, bytes bigint,
    PRIMARY KEY (instance_id, day));
"""
UPSERT = """
WITH seen AS (SELECT * FROM unnest(%(names)s::text[], %(sizes)s::bigint[]) AS s(name, bytes)),
inventory AS (INSERT INTO floor_databases SELECT %(id)s, name, %(day)s, %(day)s, true FROM seen
    ON CONFLICT (instance_id, name) DO UPDATE SET last_seen = excluded.last_seen, active = true),
gone AS (UPDATE floor_databases SET active = false WHERE instance_id = %(id)s AND active
    AND NOT name = ANY(%(names)s::text[])),
total AS (INSERT INTO floor_totals SELECT %(id)s, %(day)s, count(*), sum(bytes) FROM seen
    ON CONFLICT (instance_id, day) DO UPDATE SET databases = excluded.databases,
    bytes = excluded.bytes)
INSERT INTO floor_stats SELECT %(id)s, name, %(day)s, bytes, %(now)s FROM seen
    ON CONFLICT (instance_id, name, day) DO UPDATE SET bytes = excluded.bytes,
    taken_at = excluded.taken_at
"""
POSTGRESQL_SIZES = """
SELECT datname, CASE WHEN has_database_privilege(oid, 'CONNECT')
    OR pg_has_role('pg_read_all_stats', 'USAGE') THEN pg_database_size(oid) END
FROM pg_database WHERE datname NOT IN ('template0', 'template1')
"""
MYSQL_SCHEMAS = "SELECT schema_name FROM information_schema.schemata"
MYSQL_INNODB = """
SELECT CAST(SUBSTRING_INDEX(name, '/', 1) AS BINARY), SUM(file_size)
FROM information_schema.innodb_sys_tablespaces WHERE name LIKE '%/%' GROUP BY 1
"""
MYSQL_OTHERS = """
SELECT table_schema, SUM(COALESCE(data_length, 0) + COALESCE(index_length, 0))
FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND engine <> 'InnoDB' GROUP BY 1
"""
MYSQL_SYSTEM = {"information_schema", "performance_schema", "mysql", "sys"}


def postgresql_sizes(port: int, sslmode: str = "disable") -> dict[str, int]:
    with psycopg.connect(
        host="127.0.0.1",
        port=port,
        user="bench",
        dbname="postgres",
        sslmode=sslmode,
        autocommit=True,
    ) as target:
        rows = target.execute(POSTGRESQL_SIZES).fetchall()
    return {name: size for name, size in rows if size is not None}


def mysql_sizes(port: int) -> dict[str, int]:
    import pymysql  # noqa: PLC0415 -- the PostgreSQL floor must not pay for it

    with (
        pymysql.connect(
            host="127.0.0.1",
            port=port,
            user="bench",
            password="bench",
            ssl_disabled=True,
            autocommit=True,
        ) as target,
        target.cursor() as cursor,
    ):
        cursor.execute(MYSQL_SCHEMAS)
        sizes = {name: 0 for (name,) in cursor.fetchall() if name not in MYSQL_SYSTEM}
        cursor.execute(MYSQL_INNODB)
        for name, size in cursor.fetchall():
            if name.decode() in sizes:
                sizes[name.decode()] += int(size)
        cursor.execute(MYSQL_OTHERS)
        for name, size in cursor.fetchall():
            if name in sizes:
                sizes[name] += int(size)
    return sizes


SIZES: Mapping[str, Callable[[int], dict[str, int]]] = {
    "postgresql": postgresql_sizes,
    "mysql": mysql_sizes,
}


def connect_store(port: int) -> "psycopg.Connection[tuple[Any, ...]]":
    return psycopg.connect(host="127.0.0.1", port=port, user="bench", dbname="postgres")


def prepare(store_port: int) -> None:
    with connect_store(store_port) as store:
        store.execute(TABLES)


def sync(kind: str, target_port: int, store_port: int, instance_id: int) -> int:
    """Do the least work once; returns how many databases were sized."""
    sizes = SIZES[kind](target_port)
    now = datetime.now(UTC)
    about = {"id": instance_id, "day": now.date(), "now": now}
    with connect_store(store_port) as store:
        store.execute(UPSERT, {**about, "names": list(sizes), "sizes": list(sizes.values())})
    return len(sizes)


if __name__ == "__main__":
    sync(sys.argv[1], *map(int, sys.argv[2:5]))
