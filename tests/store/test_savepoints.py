"""Parts that fail alone, and transactions that undo all the same."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from attrs import evolve
from sqlalchemy import text
from tests.builders import NOON, an_instance
from tests.servers import Server
from tests.stores import (
    add_instance,
    copied_sqlite,
    execute,
    new_database,
    on_day,
    rows,
    stage,
    sync,
)

from capacity_adapters.store import Store, open_store
from capacity_adapters.store.unit_of_work import StoreUnitOfWork
from capacity_core.errors import StoreError
from capacity_core.growth import CapacityGrowth
from capacity_core.model import Secret
from capacity_core.periods import PeriodType

LEVELS = ["database_size_aggregations", "instance_size_aggregations"]
SUMS = {LEVELS[0]: 6, LEVELS[1]: 5}  # where the bytes are
LEVELS_THAT_FAIL = {LEVELS[0]: ["database", "instance"], LEVELS[1]: ["instance"]}


def test_work_released_from_a_savepoint_does_not_survive_the_rollback(real_store: Store) -> None:
    instance_id = add_instance(real_store)
    with real_store.begin() as work:
        work.instances.add(an_instance("only in a savepoint"))
    with real_store.begin() as work:
        stage(work, instance_id, {"a": 1}, on_day(0))
    for table in ("instance_databases", "database_size_stats", *LEVELS):
        assert rows(real_store, table) == []
    assert len(rows(real_store, "instances")) == 1


@pytest.mark.parametrize("broken", LEVELS)
def test_a_failing_aggregation_leaves_the_rest(real_store: Store, broken: str) -> None:
    instance_id = add_instance(real_store)
    execute(real_store, f"DROP TABLE {broken}")
    whole = next(table for table in LEVELS if table != broken)
    day = on_day(0).day
    failed = 0
    with real_store.begin() as work:
        aggregator = work.aggregator
        calculate = (
            aggregator.calculate_daily_database_aggregations_for_instance,
            aggregator.calculate_daily_aggregations_for_instance,
        )
        try:
            stage(work, instance_id, {"a": 1}, on_day(0))
        except StoreError:
            failed += 1
        for one in calculate:
            try:
                one(instance_id, day)
            except StoreError:
                failed += 1
        work.commit()
    assert failed == 2
    assert len(rows(real_store, whole)) == 1
    assert len(rows(real_store, "database_size_stats")) == 1


REFUSALS = {
    "sqlite": [
        """CREATE TRIGGER refuse BEFORE INSERT ON {table} WHEN NEW.instance_id = {owner}
        BEGIN SELECT RAISE(ABORT, 'refused'); END"""
    ],
    "postgresql": [
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'refused'; END $$""",
        """CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW
        WHEN (NEW.instance_id = {owner}) EXECUTE FUNCTION refuse()""",
    ],
}


@pytest.mark.parametrize("broken", LEVELS)
def test_an_instance_that_cannot_be_aggregated_aborts_no_other(
    real_store: Store, store_url: str, broken: str
) -> None:
    names = ("first", "bad", "last")
    ids = [add_instance(real_store, name, port=port) for port, name in enumerate(names, 7000)]
    for instance_id in ids:
        sync(real_store, instance_id, {"a": 1}, on_day(-7))
    for statement in REFUSALS[store_url.partition(":")[0]]:
        execute(real_store, statement.format(table=broken, owner=ids[1]))
    outcomes = (
        CapacityGrowth(real_store.begin, lambda: NOON, "UTC")
        .aggregate(kinds=[PeriodType.WEEKLY])
        .outcomes
    )
    weeks = {
        table: {row[0] for row in rows(real_store, table) if "weekly" in row} for table in LEVELS
    }
    whole = set(ids) if broken == LEVELS[1] else {ids[0], ids[2]}
    assert weeks == {LEVELS[0]: whole, LEVELS[1]: {ids[0], ids[2]}}
    failed = {(each.instance.name, each.level) for each in outcomes if each.status == "failed"}
    assert failed == {("bad", level) for level in LEVELS_THAT_FAIL[broken]}


def test_a_unit_of_work_that_failed_cannot_be_committed(real_store: Store) -> None:
    instance_id = add_instance(real_store)
    with real_store.begin() as work:
        stage(work, instance_id, {"a": 1}, on_day(0))
        with pytest.raises(StoreError):
            _fail(work)
        with pytest.raises(StoreError):
            stage(work, instance_id, {"b": 1}, on_day(0))
        with pytest.raises(StoreError):
            work.commit()
    assert rows(real_store, "instance_databases") == []
    sync(real_store, instance_id, {"a": 1}, on_day(0))


def _fail(work: StoreUnitOfWork) -> None:
    with work.write() as connection:
        connection.execute(text("SELECT no_such_column FROM instances"))


@pytest.mark.live
def test_a_connection_lost_in_the_transaction_undoes_it(
    postgres: Server, postgres_template: str
) -> None:
    url = new_database(postgres, postgres_template)
    store = open_store(url)
    instance_id = add_instance(store)
    with store.begin() as work:
        stage(work, instance_id, {"a": 1}, on_day(0))
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()""")
        aggregator = work.aggregator
        with pytest.raises(StoreError) as lost:
            aggregator.calculate_daily_aggregations_for_instance(instance_id, on_day(0).day)
        with pytest.raises(StoreError):
            aggregator.calculate_daily_aggregations_for_instance(instance_id, on_day(0).day)
        with pytest.raises(StoreError):
            work.commit()
    assert lost.value.message.key == "store.unreachable"
    assert rows(store, "instance_databases") == []
    store.close()


def _fail_without_savepoint(work: StoreUnitOfWork) -> None:
    with work.savepoint() as connection:
        connection.exec_driver_sql("RELEASE SAVEPOINT part")
        connection.exec_driver_sql("SELECT no_such_column FROM schedules")


@pytest.mark.live
def test_a_savepoint_that_cannot_be_gone_back_to_undoes_the_transaction(
    postgres_store: Store,
) -> None:
    with postgres_store.begin() as work:
        work.runs.fire("nightly", NOON)
        with pytest.raises(StoreError):
            _fail_without_savepoint(work)
        with pytest.raises(StoreError):
            work.runs.fire("weekly", NOON)
        with pytest.raises(StoreError):
            work.commit()
    assert rows(postgres_store, "schedules") == []


@pytest.mark.live
def test_a_transaction_that_the_server_has_given_up_is_not_called_kept(
    postgres_store: Store,
) -> None:
    with postgres_store.begin() as work:
        work.instances.add(an_instance("a"))
        with work.write() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            with pytest.raises(psycopg.Error):
                driver.execute("SELECT no_such_column FROM instances")
        with pytest.raises(StoreError) as refused:
            work.commit()
    assert refused.value.message.key == "store.failed"
    assert rows(postgres_store, "instances") == []


@pytest.mark.live
def test_a_commit_that_fails_leaves_no_open_transaction_to_the_next(
    postgres_store: Store,
) -> None:
    with postgres_store.begin() as work:
        work.runs.fire("nightly", NOON)
        with work.write() as connection:
            driver = connection.connection.driver_connection
        assert driver is not None
        with driver.transaction(), pytest.raises(StoreError):  # psycopg refuses to commit in there
            work.commit()
    assert driver.closed
    assert rows(postgres_store, "schedules") == []


def test_a_full_disk_undoes_the_whole_transaction(sqlite_template: Path, tmp_path: Path) -> None:
    store = open_store(copied_sqlite(sqlite_template, tmp_path))
    instance_id = add_instance(store)
    with store.begin() as work:
        stage(work, instance_id, {"a": 1}, on_day(0))
        with work.write() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        many = {f"database {number}": number for number in range(5_000)}
        with pytest.raises(StoreError) as full:
            stage(work, instance_id, many, on_day(0))
        with pytest.raises(StoreError):
            work.commit()
    assert full.value.message.key == "store.full"
    assert rows(store, "instance_databases") == []
    store.close()


def test_a_row_needs_its_instance(real_store: Store) -> None:
    with pytest.raises(StoreError), real_store.begin() as work:
        work.repository.update_instance_total_size(999, on_day(0))
    with pytest.raises(StoreError), real_store.begin() as work:
        work.credentials.seal(evolve(an_instance(), id=999), Secret("x"))


@pytest.mark.parametrize("owner", [None, 1])
def test_a_recomputed_day_waits_for_the_sync_that_writes_it(
    real_store: Store, owner: int | None
) -> None:
    instance_id = add_instance(real_store)
    sync(real_store, instance_id, {"a": 1}, on_day(0))
    growth = CapacityGrowth(real_store.begin, lambda: NOON, "UTC")
    with ThreadPoolExecutor(1) as pool:
        with real_store.begin() as work:
            stage(work, instance_id, {"a": 2}, on_day(0, seconds=1))
            day = on_day(0).day
            recomputed = pool.submit(growth.aggregate, day, day, [PeriodType.DAILY], owner)
            with pytest.raises(TimeoutError):
                recomputed.result(0.5)
            work.commit()
        recomputed.result(30)
    sums = [row[column] for level, column in SUMS.items() for row in rows(real_store, level)]
    assert sums == [2, 2]
