"""Stores to try the same promises on: fixtures, and a sync without a target."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
from attrs import astuple, fields
from sqlalchemy import inspect, text
from tests.builders import NOON, an_instance
from tests.servers import Server

from capacity_adapters.memory import MemoryStore
from capacity_adapters.store import Store, open_store
from capacity_core.filters import FilterRules
from capacity_core.inventory import reconcile
from capacity_core.model import (
    CapacityReport,
    DatabaseSize,
    Instance,
    Inventory,
    LastSync,
    Moment,
    Outcome,
    Scenario,
    SeenDatabase,
    Unmeasured,
)
from capacity_core.periods import Period
from capacity_core.ports import Begin, Lease, Leases, UnitOfWork
from capacity_core.reads import Page, Paging
from capacity_core.rollup import DatabaseAggregate, InstanceAggregate
from capacity_core.runs import Run, RunStatus

KEY = bytes(range(32))
SQLITE = pytest.param("sqlite", id="sqlite")
POSTGRESQL = pytest.param("postgresql", id="postgresql", marks=pytest.mark.live)
MEMORY = pytest.param("memory", id="memory")
_numbers = count(1)

Found = Mapping[str, int | DatabaseSize | Outcome]
Row = tuple[Any, ...]


class AnyStore(Protocol):
    @property
    def begin(self) -> Begin: ...

    @property
    def leases(self) -> Leases: ...


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "store.db"
    open_store(f"sqlite:///{path}").close()
    return path


def copied_sqlite(template: Path, folder: Path) -> str:
    path = folder / f"store{next(_numbers)}.db"
    shutil.copy(template, path)
    return f"sqlite:///{path}"


def new_database(server: Server, template: str = "template1") -> str:
    """Make an empty database, or a copy, and return its URL."""
    name = f"store_{next(_numbers)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE {name} TEMPLATE "{template}"')
    return server.url(name)


@pytest.fixture(scope="session")
def postgres_template(postgres: Server) -> str:
    url = new_database(postgres)
    open_store(url).close()
    return url.rpartition("/")[2]


@pytest.fixture(scope="session")
def lent_url(postgres: Server, postgres_template: str) -> str:
    """Name a store that one test after another has for itself: to copy one takes longer."""
    return new_database(postgres, postgres_template)


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    if kind == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        return copied_sqlite(template, request.getfixturevalue("tmp_path"))
    template_name = request.getfixturevalue("postgres_template")
    return new_database(request.getfixturevalue("postgres"), template_name)


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def store_url(request: pytest.FixtureRequest) -> str:
    """Name a fresh store with our schema."""
    return url_of(request.param, request)


@pytest.fixture
def real_store(store_url: str) -> Iterator[Store]:
    store = open_store(store_url, secret_key=lambda: KEY)
    yield store
    store.close()


@pytest.fixture
def postgres_store(postgres: Server, postgres_template: str) -> Iterator[Store]:
    """Lend a store on PostgreSQL with a database of its own."""
    store = open_store(new_database(postgres, postgres_template))
    yield store
    store.close()


@pytest.fixture(params=[MEMORY, SQLITE, POSTGRESQL])
def store(request: pytest.FixtureRequest) -> Iterator[MemoryStore | Store]:
    """Lend each kind of store, fresh."""
    if request.param == "memory":
        yield MemoryStore()
        return
    lent = request.param == "postgresql"
    url = request.getfixturevalue("lent_url") if lent else url_of(request.param, request)
    opened = open_store(url, secret_key=lambda: KEY)
    if lent:
        make_new(opened)
    yield opened
    opened.close()


@pytest.fixture
def instance_id(store: AnyStore) -> int:
    return add_instance(store)


def add_instance(store: AnyStore, name: str = "shop", *, port: int = 5432) -> int:
    with store.begin() as work:
        kept = work.instances.add(an_instance(name, port=port))
        work.commit()
    return kept.id


def instance_in(store: AnyStore, instance_id: int) -> Instance:
    with store.begin() as work:
        return work.instances.get(instance_id)


def on_day(number: int, seconds: int = 0) -> Moment:
    at = NOON + timedelta(days=number, seconds=seconds)
    return Moment(at, at.date())


def sync(
    store: AnyStore,
    instance_id: int,
    found: Found,
    moment: Moment,
    *,
    lease: Lease | None = None,
) -> bool:
    """Keep what a target would have said; returns whether the total was kept."""
    with store.begin(lease) as work:
        kept = stage(work, instance_id, found, moment)
        work.commit()
    return kept


def running_of(page: Callable[[Paging], Page[Run]]) -> list[Run]:
    """Give the running ones of the newest runs, the oldest first."""
    rows = page(Paging(limit=200)).rows
    return [run for run in reversed(rows) if run.status is RunStatus.RUNNING]


def stage(
    work: UnitOfWork,
    instance_id: int,
    found: Found,
    moment: Moment,
) -> bool:
    _, known = work.repository.get_instance_and_databases(instance_id)
    inventory = Inventory(tuple(SeenDatabase(name) for name in found))
    change = reconcile(known, inventory, FilterRules())
    work.repository.save_last_sync(instance_id, LastSync(moment.at, Scenario.COMPLETE))
    work.repository.save_inventory(instance_id, change, moment)
    work.repository.save_database_stats(instance_id, report_of(found), moment)
    kept = work.repository.update_instance_total_size(instance_id, moment)
    aggregator = work.aggregator
    aggregator.calculate_daily_database_aggregations_for_instance(instance_id, moment.day)
    aggregator.calculate_daily_aggregations_for_instance(instance_id, moment.day)
    return kept


def report_of(found: Found) -> CapacityReport:
    sizes, unmeasured = [], []
    for name, fate in found.items():
        if isinstance(fate, Outcome):
            unmeasured.append(Unmeasured.of(name, fate))
        elif isinstance(fate, DatabaseSize):
            sizes.append(fate)
        else:
            sizes.append(DatabaseSize(name, fate, "pg.database_size"))
    return CapacityReport(tuple(sizes), tuple(unmeasured))


def aggregates_of(
    store: AnyStore, instance_id: int
) -> tuple[dict[tuple[str, date], Row], list[Row]]:
    """Every daily aggregate of both levels, as far as the columns of its break."""
    if isinstance(store, MemoryStore):
        state = store.state
        databases = {
            (name, period.start): (period.start, period.end, *astuple(row)[:-3])
            for (owner, name, period), row in state.database_aggregates.items()
            if owner == instance_id and period.type == "daily"
        }
        by_day = sorted(state.instance_aggregates.items(), key=lambda each: each[0][1].start)
        days = [
            (period.start, period.end, *astuple(row)[:-3])
            for (owner, period), row in by_day
            if owner == instance_id and period.type == "daily"
        ]
        return databases, days
    assert isinstance(store, Store)
    found = rows(store, "database_size_aggregations")
    databases = {
        (row[1], row[3]): row[3:-3]
        for row in sorted(found, key=str)
        if row[0] == instance_id and row[2] == "daily"
    }
    instance_rows = sorted(rows(store, "instance_size_aggregations"), key=lambda row: str(row[2]))
    days = [row[2:-3] for row in instance_rows if row[:2] == (instance_id, "daily")]
    return databases, days


def kept_aggregates(
    store: AnyStore, instance_id: int, period: Period
) -> tuple[dict[str, DatabaseAggregate], InstanceAggregate | None]:
    """Read what a store keeps of one instance over one period, whatever kind of store it is."""
    if isinstance(store, MemoryStore):
        state = store.state
        databases = {
            name: row
            for (owner, name, of), row in state.database_aggregates.items()
            if (owner, of) == (instance_id, period)
        }
        return databases, state.instance_aggregates.get((instance_id, period))
    assert isinstance(store, Store)
    key = (instance_id, period.type, period.start, period.end)
    of_databases = {
        row[1]: DatabaseAggregate(**named(DatabaseAggregate, row[5:]))
        for row in rows(store, "database_size_aggregations")
        if (row[0], *row[2:5]) == key
    }
    of_instance = [
        InstanceAggregate(**named(InstanceAggregate, row[4:]))
        for row in rows(store, "instance_size_aggregations")
        if row[:4] == key
    ]
    return of_databases, of_instance[0] if of_instance else None


def named(kind: type[DatabaseAggregate | InstanceAggregate], values: Row) -> dict[str, Any]:
    """Name the columns after the key, which follow the fields in their order."""
    return dict(zip((each.name for each in fields(kind)), values, strict=True))


def forget_aggregates(store: AnyStore) -> None:
    if isinstance(store, MemoryStore):
        store.state.database_aggregates.clear()
        store.state.instance_aggregates.clear()
        return
    assert isinstance(store, Store)
    execute(store, "DELETE FROM database_size_aggregations")
    execute(store, "DELETE FROM instance_size_aggregations")


def dialect_of(store: Store) -> str:
    with store._database.reading() as connection:
        return connection.dialect.name


def rows(store: Store, table: str) -> list[Row]:
    """All rows of a table, typed."""
    from capacity_adapters.store.tables import metadata  # noqa: PLC0415 -- only for real stores

    with store._database.reading() as connection:
        return [tuple(row) for row in connection.execute(metadata.tables[table].select())]


def execute(store: Store, sql: str, **values: object) -> None:
    """Do something to the store behind its back, committed."""
    connection = store._database.begin()
    try:
        connection.execute(text(sql), values)
        connection.commit()
    finally:
        connection.close()


def make_new(store: Store) -> None:
    """Undo what earlier tests wrote; they left the schema as it was."""
    from capacity_adapters.store.tables import metadata  # noqa: PLC0415 -- only for real stores

    written = [table for table in metadata.sorted_tables if table.name != "capacity_retention"]
    counted = [table.name for table in written if table.autoincrement_column is not None]
    steps = [
        *(f"DELETE FROM {table.name}" for table in reversed(written)),  # noqa: S608 -- our own names
        "UPDATE capacity_retention SET pruned_before = NULL",
        *(f"SELECT setval(pg_get_serial_sequence('{each}', 'id'), 1, false)" for each in counted),
    ]
    connection = store._database.begin()
    try:
        connection.exec_driver_sql(";".join(steps))
        connection.commit()
    finally:
        connection.close()


def table_names(store: Store) -> set[str]:
    with store._database.reading() as connection:
        return set(inspect(connection).get_table_names())
