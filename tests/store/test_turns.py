"""Writers of a SQLite file take turns within a process, and nobody keeps a turn."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tests.stores import add_instance

from capacity_adapters.store import open_store
from capacity_adapters.store.database import Database, Location
from capacity_core.errors import StoreError


@pytest.fixture
def database(tmp_path: Path) -> Database:
    path = tmp_path / "store.db"
    open_store(f"sqlite:///{path}").close()
    return Database.at(Location.of(f"sqlite:///{path}?timeout=0"))


def test_who_finds_another_writer_waits_no_longer_than_its_patience(database: Database) -> None:
    for unhurried in (False, True):
        first = database.begin(unhurried=unhurried)
        with pytest.raises(StoreError, match="stayed busy"):
            database.begin()
        with pytest.raises(StoreError, match="stayed busy"), database.writing():
            pass
        first.close()
    database.begin().close()
    database.close()


def test_a_turn_ends_with_a_lost_connection_and_with_a_transaction_that_cannot_begin(
    database: Database,
) -> None:
    lost = database.begin()
    lost.invalidate()
    lost.close()
    with closing(sqlite3.connect(str(database.location.path))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="stayed busy"):
            database.begin()
    with database.writing():
        pass
    database.begin().close()
    database.close()


def test_the_next_writer_comes_as_soon_as_the_first_has_ended(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    first = add_instance(store, "a")
    with store.begin() as work:
        work.instances.hold(first)
        other = threading.Thread(target=add_instance, args=[store, "b"])
        other.start()
        work.commit()
    other.join()
    with store.begin() as work:
        assert work.instances.find("b") is not None
    store.close()


def test_only_a_hurried_commit_waits_for_the_disk(database: Database) -> None:
    for unhurried, synchronous in ((False, 2), (True, 1)):
        connection = database.begin(unhurried=unhurried)
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == synchronous
        connection.close()
    database.close()
