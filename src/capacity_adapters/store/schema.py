"""The schema's version: looked up at opening, created and migrated through Alembic."""

import os
import time
from datetime import date
from enum import StrEnum, auto
from pathlib import Path
from threading import Lock
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, inspect, select
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.exc import DBAPIError

from capacity_adapters.store.database import PATIENCE_SECONDS, Database
from capacity_adapters.store.faults import is_sqlite
from capacity_core.errors import StoreError
from capacity_core.messages import text

VERSION_TABLE: Final = "capacity_store_version"
REVISIONS: tuple[str, ...] = (
    "0001",
    "0002",
    "0003",
    "0004",
)  # a test holds them against the migrations
SCRIPTS = "capacity_adapters.store:migrations"
MIGRATORS_LOCK: Final = 4_702_111_234_567  # any number that nobody else locks
UNDEFINED_TABLE: Final = "42P01"

_VERSION = select(sql_table(VERSION_TABLE, sql_column("version_num")).c.version_num)
_alembic = Lock()  # its context is one for the whole process


class StoreState(StrEnum):
    MISSING = auto()
    EMPTY = auto()
    CURRENT = auto()
    OLDER = auto()
    NEWER = auto()
    FOREIGN = auto()


@frozen
class StoreStatus:
    """Where the store is, the version of its schema if it has one, and the one needed here.

    `pruned_before` is the day before which days were deleted.
    """

    where: str
    state: StoreState
    version: str | None
    needed: str
    pruned_before: date | None = None


def status_of(database: Database) -> StoreStatus:
    """Look, without creating or changing anything. Raises StoreError."""
    path = database.location.path
    if path is not None and not _exists(path):
        return _status(database, StoreState.MISSING, None)
    with database.reading() as connection:
        try:
            version = connection.execute(_VERSION).scalar_one_or_none()
        except DBAPIError as error:
            if not _is_undefined_table(error):
                raise
            return _status(database, _state_without_version(connection), None)
    return _status(database, _state_of(version), version)


def make_usable(database: Database, *, upgrade: bool) -> None:
    """Create the schema where there is none; migrate an older one only if told to.

    Raises StoreError for a store of another version or of somebody else.
    """
    _refuse_readonly(database)
    state = status_of(database).state
    if state in {StoreState.MISSING, StoreState.EMPTY} or (state is StoreState.OLDER and upgrade):
        _migrate(database)
    elif state is not StoreState.CURRENT:
        raise StoreError(text(f"store.{state}", where=database.location.where))


def _status(database: Database, state: StoreState, version: str | None) -> StoreStatus:
    return StoreStatus(database.location.where, state, version, REVISIONS[-1])


def _state_of(version: str | None) -> StoreState:
    if version == REVISIONS[-1]:
        return StoreState.CURRENT
    return StoreState.OLDER if version in REVISIONS else StoreState.NEWER


def _state_without_version(connection: Connection) -> StoreState:
    return StoreState.FOREIGN if inspect(connection).get_table_names() else StoreState.EMPTY


def _is_undefined_table(error: DBAPIError) -> bool:
    if error.orig is not None and is_sqlite(error.orig):
        return "no such table" in str(error.orig)
    return getattr(error.orig, "sqlstate", None) == UNDEFINED_TABLE


def _migrate(database: Database) -> None:
    path = database.location.path
    if path is not None:
        _create_file(path)
        with database.seam():
            _write_ahead(database)
    connection = database.begin()
    try:
        with database.seam():
            _upgrade_alone(connection)
            connection.commit()
    finally:
        connection.close()


def _upgrade_alone(connection: Connection) -> None:
    """Migrate, unless another process has done so while this one waited for its turn."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATORS_LOCK})")
        # A large store may take longer than an answer is waited for.
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    exists = inspect(connection).has_table(VERSION_TABLE)
    if exists and connection.execute(_VERSION).scalar_one_or_none() == REVISIONS[-1]:
        return
    from alembic.command import upgrade  # noqa: PLC0415 -- slow, and rarely needed
    from alembic.config import Config  # noqa: PLC0415 -- likewise

    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", SCRIPTS)
    with _alembic:
        upgrade(config, "head")


def _write_ahead(database: Database) -> None:
    """Let readers go on beside the writer. The file remembers; SQLite does not wait here."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with database.reading() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        except StoreError as error:
            if error.message.key != "store.locked" or time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            return


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(text("store.cannot_open", where=str(path))) from error


def _refuse_readonly(database: Database) -> None:
    path = database.location.path
    if path is None:
        return
    if not _exists(path.parent):
        raise StoreError(text("store.folder_missing", where=str(path), folder=str(path.parent)))
    needed = [path.parent, path] if _exists(path) else [path.parent]
    by_effective_user = os.access in os.supports_effective_ids
    if not all(os.access(each, os.W_OK, effective_ids=by_effective_user) for each in needed):
        raise StoreError(text("store.readonly", where=str(path)))


def _create_file(path: Path) -> None:
    """It will hold sealed passwords: nobody else needs to read it."""
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise StoreError(text("store.cannot_open", where=str(path))) from error
