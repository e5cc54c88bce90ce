"""Connections to a server are few, and whoever needs one gets one."""

from collections.abc import Iterator
from os import dup
from socket import (
    IPPROTO_TCP,
    SO_KEEPALIVE,
    SOL_SOCKET,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_USER_TIMEOUT,
    socket,
)
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import Connection
from tests.servers import Server

from capacity_adapters.store.database import CONNECTIONS, FEW, MORE_CONNECTIONS, Database, Location

WAVES = 5


@pytest.fixture
def database(postgres: Server) -> Iterator[Database]:
    database = Database.at(Location.of(postgres.url("postgres")))
    yield database
    database.close()


def process(connection: Connection) -> int:
    told: int = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    return told


def test_a_host_that_is_gone_without_a_word_is_not_waited_for(database: Database) -> None:
    with database.reading() as connection:
        driver: Any = connection.connection.driver_connection
        told = socket(fileno=dup(driver.fileno()))
    with told:
        assert told.getsockopt(SOL_SOCKET, SO_KEEPALIVE)
        kept_alive = [
            told.getsockopt(IPPROTO_TCP, option)
            for option in (TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT)
        ]
        assert (kept_alive, told.getsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT)) == ([30, 10, 3], 30_000)


def test_one_after_the_other_shares_one_connection(database: Database) -> None:
    processes = set()
    for _ in range(WAVES):
        with database.reading() as connection:
            processes.add(process(connection))
    assert len(processes) == 1


def test_what_is_given_back_is_rather_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capacity_adapters.store.database.MOMENT_SECONDS", 60.0)
    together, processes = Barrier(2 * FEW), set()

    def ask() -> None:
        together.wait()
        for _ in range(WAVES):
            with database.reading(patient=True) as connection:
                processes.add(process(connection))

    threads = [Thread(target=ask) for _ in range(2 * FEW)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(processes) <= FEW


def test_who_is_not_patient_does_not_wait_for_those_who_are(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capacity_adapters.store.database.MOMENT_SECONDS", 60.0)
    held = [database.begin(patient=True) for _ in range(FEW)]
    with database.reading() as connection:
        assert process(connection) not in set(map(process, held))
    for each in held:
        each.close()


def test_who_has_waited_gets_another(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capacity_adapters.store.database.MOMENT_SECONDS", 0.01)
    held = [database.begin(patient=True) for _ in range(CONNECTIONS + MORE_CONNECTIONS)]
    assert len(set(map(process, held))) == CONNECTIONS + MORE_CONNECTIONS
    for connection in held:
        connection.close()
    monkeypatch.setattr("capacity_adapters.store.database.MOMENT_SECONDS", 0.0)
    again = [database.begin(patient=True) for _ in held]  # nobody waits for what is there
    assert not database._few.acquire(blocking=False)
    for connection in again:
        connection.close()
    assert sum(database._few.acquire(blocking=False) for _ in again) == CONNECTIONS


def test_a_lost_connection_leaves_its_place(database: Database) -> None:
    for _ in range(WAVES):
        for connection in [database.begin(patient=True) for _ in range(FEW)]:
            connection.invalidate()
            connection.close()
    assert all(database._few.acquire(blocking=False) for _ in range(FEW))


def test_a_connection_that_cannot_be_made_leaves_its_place(postgres: Server) -> None:
    nowhere = Database.at(Location.of(postgres.url("no_such_database")))
    for _ in range(WAVES):
        with pytest.raises(Exception, match="no_such_database"):
            nowhere.begin(patient=True)
    assert all(nowhere._few.acquire(blocking=False) for _ in range(FEW))
