"""How the store is asked: few statements, however many databases, and nothing held meanwhile."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event
from tests.servers import Server, start_postgres, temporary
from tests.stores import add_instance, new_database, on_day, stage, sync

from capacity_adapters.store import Store, database, open_store

STATEMENTS = 13  # BEGIN, SAVEPOINT and COMMIT included
COUNTS = (10, 1_000, 10_000)
# A connection that was idle for long is asked for a sign of life by a bare semicolon.
LOGGED = r">capacity-sync>LOG:  (?:statement|execute [^:]*): (?!;$)"


@contextmanager
def traced(store: Store) -> Iterator[list[str]]:
    """Note what SQLite itself runs, BEGIN, SAVEPOINT and COMMIT too."""
    seen: list[str] = []

    def listen(connection: object, *_: object) -> None:
        connection.set_trace_callback(seen.append)  # type: ignore[attr-defined]  # sqlite3's

    engines = store._database._engine, store._database._reading
    for engine in engines:
        event.listen(engine, "checkout", listen)
    yield seen
    for engine in engines:
        event.remove(engine, "checkout", listen)


def found(count: int) -> dict[str, int]:
    return {f"database {number}": number for number in range(count)}


def sync_under_lease(store: Store, instance_id: int, count: int, seconds: int) -> None:
    lease = store.leases.acquire(instance_id, 60)
    with store.begin(lease) as work:
        stage(work, instance_id, found(count), on_day(0, seconds))
        work.commit()


def test_sqlite_runs_as_many_statements_for_10000_databases_as_for_10(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    counted = []
    for count in COUNTS:
        instance_id = add_instance(store, f"i{count}")
        sync_under_lease(store, instance_id, count, 0)
        with traced(store) as seen:
            sync_under_lease(store, instance_id, count, 60)
        counted.append([statement for statement in seen if not statement.startswith("--")])
    store.close()
    assert [len(statements) for statements in counted] == [STATEMENTS] * len(COUNTS), counted


@pytest.mark.live
def test_postgresql_logs_as_many_statements_for_10000_databases_as_for_10() -> None:
    options = ("-c", "log_statement=all", "-c", "log_line_prefix=>%a>")
    with temporary(start_postgres, options=options) as server:
        log = server.folder / "server.log"
        store = open_store(server.url("postgres"))
        counted = []
        for count in COUNTS:
            instance_id = add_instance(store, f"i{count}")
            sync_under_lease(store, instance_id, count, 0)
            before = log.stat().st_size
            sync_under_lease(store, instance_id, count, 60)
            text = log.read_bytes()[before:].decode()
            counted.append(len(re.findall(LOGGED, text, re.MULTILINE)))
        store.close()
    assert counted == [STATEMENTS] * len(COUNTS)


@pytest.mark.live
def test_nothing_of_postgresql_is_held_before_the_first_write(
    postgres: Server, postgres_template: str
) -> None:
    url = new_database(postgres, postgres_template)
    store = open_store(url)
    instance_id = add_instance(store)
    lease = store.leases.acquire(instance_id, 60)
    with psycopg.connect(url, autocommit=True) as observer, store.begin(lease) as work:
        asked = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND pid <> pg_backend_pid() AND (state <> 'idle' OR xact_start IS NOT NULL)"""
        work.repository.get_instance_and_databases(instance_id)
        work.repository.known_databases(instance_id)
        assert observer.execute(asked).fetchone() == (0,)
        assert store._database._engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # QueuePool's
        stage(work, instance_id, {"a": 1}, on_day(0))
        assert observer.execute(asked).fetchone() == (1,)
        work.commit()
        assert observer.execute(asked).fetchone() == (0,)
    store.close()


@pytest.mark.live
def test_what_a_sync_writes_is_planned_once_and_all_else_anew(
    postgres: Server, postgres_template: str
) -> None:
    store = open_store(new_database(postgres, postgres_template))
    instance_id = add_instance(store)
    lease = store.leases.acquire(instance_id, 60)
    planned = """SELECT current_setting('plan_cache_mode'), current_setting('enable_seqscan'),
        pg_backend_pid()"""
    with store.begin(lease) as work:
        stage(work, instance_id, {"a": 1}, on_day(0))
        with work.write() as connection:
            mode, scans, process = connection.exec_driver_sql(planned).one()
        work.commit()
    assert (mode, scans) == ("force_generic_plan", "off")
    with store.begin() as work, work.write() as connection:
        told = connection.exec_driver_sql(planned).one()
    assert told == ("force_custom_plan", "on", process)
    store.close()


@pytest.mark.live
def test_a_connection_that_the_server_ended_is_replaced(
    postgres: Server, postgres_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TRUSTED_SECONDS", -1.0)
    url = new_database(postgres, postgres_template)
    store = open_store(url)
    add_instance(store)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()""")
    add_instance(store, "after")
    store.check()
    store.close()


def test_a_sync_that_changes_nothing_writes_no_inventory_and_no_aggregates(
    real_store: Store,
) -> None:
    instance_id = add_instance(real_store)
    sync(real_store, instance_id, found(50), on_day(0))
    changed: dict[str, int] = {}

    def note(_c: object, cursor: object, statement: str, *_: object) -> None:
        written = re.match(r"\s*INSERT INTO (\w+)", statement)
        if written:
            changed[written[1]] = cursor.rowcount  # type: ignore[attr-defined]  # a DB-API cursor

    event.listen(real_store._database._engine, "after_cursor_execute", note)
    sync(real_store, instance_id, found(50), on_day(0))
    assert changed == {
        "instance_databases": 0,
        "database_size_stats": 50,
        "instance_size_stats": 1,
        "database_size_aggregations": 0,
        "instance_size_aggregations": 0,
    }
