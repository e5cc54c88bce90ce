"""What every coordinator must do, asked of every engine that we have."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from attrs import define, frozen
from psycopg import sql
from tests.servers import Server, free_port
from tests.targets import (
    connected,
    coordinator_of,
    file_instance,
    mariadb_admin,
    outcomes,
    port_instance,
    postgres_admin,
    server_instance,
    sizes,
)

from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_core.model import CollectFailed, Failure, Outcome, Reason
from capacity_core.ports import CapacityExaminer

# One pair is enough to see whether names are folded, trimmed or quoted wrongly.
NAMES = (" Ordérs ", "orders")
FILES = (" Ordérs .db", "orders.db")


@define
class Target:
    """Two databases, `gone` among them until it is dropped, and a place where there is nothing."""

    coordinator: Callable[[], CapacityExaminer]
    broken: Callable[[], CapacityExaminer]
    stays: str
    gone: str
    drop: Callable[[], None]


@frozen
class _Dropper:
    databases: dict[str, int | Outcome]
    name: str

    def __call__(self) -> None:
        del self.databases[self.name]


def memory_target() -> Iterator[Target]:
    databases: dict[str, int | Outcome] = dict.fromkeys(NAMES, 4096)
    refused = Failure.of(Reason.REFUSED)
    yield Target(
        lambda: MemoryCoordinator(databases),
        lambda: MemoryCoordinator(databases, refusal=refused),
        *NAMES,
        _Dropper(databases, NAMES[1]),
    )


def sqlite_target(folder: Path) -> Iterator[Target]:
    for name in FILES:
        with closing(sqlite3.connect(folder / name)) as database:
            database.execute("CREATE TABLE t (x)")
    yield Target(
        lambda: coordinator_of(file_instance(folder)),
        lambda: coordinator_of(file_instance(folder / "missing")),
        *FILES,
        (folder / FILES[1]).unlink,
    )


def postgres_target(server: Server) -> Iterator[Target]:
    def run(statement: str, name: str) -> None:
        with postgres_admin(server) as admin:
            admin.execute(sql.SQL(statement).format(sql.Identifier(name)))

    for name in NAMES:
        run("CREATE DATABASE {}", name)
    yield Target(
        lambda: coordinator_of(server_instance(server)),
        lambda: coordinator_of(port_instance("postgresql", free_port())),
        *NAMES,
        lambda: run("DROP DATABASE {}", NAMES[1]),
    )
    for name in NAMES:
        run("DROP DATABASE IF EXISTS {}", name)


def mariadb_target(server: Server) -> Iterator[Target]:
    def run(statement: str) -> None:
        with mariadb_admin(server) as admin:
            admin.execute(statement)

    names = tuple(name.removesuffix(" ") for name in NAMES)  # the server refuses a blank at the end
    for name in names:
        run(f"CREATE DATABASE `{name}`")
        run(f"CREATE TABLE `{name}`.t (x int)")
    yield Target(
        lambda: coordinator_of(server_instance(server)),
        lambda: coordinator_of(port_instance("mysql", free_port())),
        names[0],
        names[1],
        lambda: run(f"DROP DATABASE `{names[1]}`"),
    )
    for name in names:
        run(f"DROP DATABASE IF EXISTS `{name}`")


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.live),
        pytest.param("mariadb", marks=pytest.mark.live),
    ]
)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    match request.param:
        case "memory":
            yield from memory_target()
        case "sqlite":
            yield from sqlite_target(tmp_path)
        case "postgres":
            yield from postgres_target(request.getfixturevalue("postgres"))
        case "mariadb":
            yield from mariadb_target(request.getfixturevalue("mariadb"))


def test_names_are_the_same_in_the_inventory_and_in_the_report(target: Target) -> None:
    with connected(target.coordinator()) as coordinator:
        inventory = coordinator.fetch_inventory()
        seen = {database.name for database in inventory.databases}
        report = coordinator.collect_capacity(frozenset({target.stays, target.gone}))
    assert {target.stays, target.gone} <= seen
    assert sizes(report).keys() == {target.stays, target.gone}
    assert all(size > 0 for size in sizes(report).values())
    assert all(size.method for size in report.sizes)
    assert inventory.complete


def test_only_what_was_asked_for_is_measured(target: Target) -> None:
    with connected(target.coordinator()) as coordinator:
        coordinator.fetch_inventory()
        assert sizes(coordinator.collect_capacity({target.stays})).keys() == {target.stays}
        nothing = coordinator.collect_capacity(frozenset())
    assert (nothing.sizes, nothing.unmeasured) == ((), ())


def test_a_database_dropped_meanwhile_has_vanished(target: Target) -> None:
    with connected(target.coordinator()) as coordinator:
        coordinator.fetch_inventory()
        target.drop()
        report = coordinator.collect_capacity({target.stays, target.gone})
    assert sizes(report).keys() == {target.stays}
    assert outcomes(report) == {target.gone: "vanished"}


def test_a_name_that_nobody_knows_has_vanished(target: Target) -> None:
    with connected(target.coordinator()) as coordinator:
        coordinator.fetch_inventory()
        report = coordinator.collect_capacity({"never was"})
    assert outcomes(report) == {"never was": "vanished"}


def test_a_failed_connect_says_why(target: Target) -> None:
    coordinator = target.broken()
    assert coordinator.connect() is False
    assert coordinator.failure is not None
    assert coordinator.failure.reason in {Reason.REFUSED, Reason.PATH_MISSING}
    coordinator.disconnect()


def test_nothing_can_be_asked_without_a_connection(target: Target) -> None:
    coordinator = target.coordinator()
    with pytest.raises(CollectFailed):
        coordinator.fetch_inventory()
    with connected(coordinator):
        pass
    with pytest.raises(CollectFailed):
        coordinator.collect_capacity({target.stays})


def test_disconnecting_is_always_harmless(target: Target) -> None:
    for coordinator in (target.coordinator(), target.broken()):
        coordinator.disconnect()
        coordinator.connect()
        coordinator.disconnect()
        coordinator.disconnect()


def test_a_conversation_can_begin_again(target: Target) -> None:
    coordinator = target.coordinator()
    for _ in range(2):
        with connected(coordinator):
            assert coordinator.failure is None
            assert coordinator.fetch_inventory().databases
