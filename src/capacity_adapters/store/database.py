"""The engines of the two databases that can be a store, and the seam for their errors."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock, Semaphore
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

from attrs import define, field, frozen
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError

from capacity_adapters.store.faults import store_error
from capacity_core.errors import StoreError
from capacity_core.messages import text

DRIVERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sqlite": "sqlite+pysqlite",
        "postgresql": "postgresql+psycopg",
        "postgres": "postgresql+psycopg",
        "postgresql+psycopg": "postgresql+psycopg",
    }
)
LEAST_SQLITE: Final = (3, 38)  # the first with `->>`
PATIENCE_SECONDS: Final = 30  # for the other writer, a lock, a free connection
MOST_PATIENCE_SECONDS: Final = 86_400
CONNECTIONS: Final = 20
MORE_CONNECTIONS: Final = 10  # beyond those kept open, while many ask at once
FEW: Final = 3  # of them are rather waited for by syncs
MOMENT_SECONDS: Final = 0.3  # than another is opened, which costs the server more than this work
TURNS: Final = frozenset({"few", "turn"})  # what ends when a connection is given back
OLDEST_SECONDS: Final = 3600  # of a connection to a server, with the plans that it has made
TRUSTED_SECONDS: Final = 1.0  # a connection used that recently is not asked whether it lives
IDLE: Final = 0  # PQTRANS_IDLE of libpq,
IN_TRANSACTION: Final = 2  # and PQTRANS_INTRANS
# A plan made while the store was small is 100 times too slow on a large one: plan anew. Compiling
# a statement just in time takes a second, which none of ours is worth. A process that was frozen
# in mid-transaction holds up the others no longer than they are patient; a host that is gone
# without a word, or takes nothing any more, is noticed within a minute, by the system.
POSTGRESQL_OPTIONS: Final = {
    "application_name": "capacity-sync",
    "connect_timeout": "10",
    "keepalives_idle": f"{PATIENCE_SECONDS}",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": f"{PATIENCE_SECONDS * 1000}",
    "options": f"-c lock_timeout={PATIENCE_SECONDS}s -c statement_timeout=120s "
    "-c idle_in_transaction_session_timeout=20s -c plan_cache_mode=force_custom_plan -c jit=off",
}


@frozen
class Location:
    """Where a store is. `path` is None unless it is a file; `where` holds no password."""

    url: URL
    where: str
    path: Path | None

    @classmethod
    def of(cls, url: str) -> "Location":
        """Raises StoreError for a URL that names no store."""
        try:
            parsed = make_url(url)
            parsed = parsed.set(drivername=DRIVERS[parsed.drivername])
        except (ArgumentError, ValueError, KeyError):
            raise StoreError(text("store.url")) from None
        if "\0" in unquote(url):
            raise StoreError(text("store.url"))
        if parsed.drivername == DRIVERS["sqlite"]:
            return cls._of_file(parsed)
        place = f"{parsed.host or 'localhost'}:{parsed.port or 5432}/{parsed.database or ''}"
        return cls(parsed, place, None)

    def driver_arguments(self) -> dict[str, Any] | None:
        """Say how psycopg connects there, for what is no part of the store; None for a file."""
        if self.path:
            return None
        dialect = self.url.get_dialect()()
        return dict(dialect.create_connect_args(self.url)[1])

    @classmethod
    def _of_file(cls, url: URL) -> "Location":
        if not url.database or url.database.startswith((":memory:", "file:")):
            raise StoreError(text("store.url"))
        if url.host or url.port or url.username or not _are_options(url.query):
            raise StoreError(text("store.url"))
        import sqlite3  # noqa: PLC0415 -- a megabyte that PostgreSQL has no use for

        if sqlite3.sqlite_version_info < LEAST_SQLITE:
            raise StoreError(text("store.sqlite_version", found=sqlite3.sqlite_version))
        return cls(url, url.database, Path(url.database))


def _are_options(query: Mapping[str, str | tuple[str, ...]]) -> bool:
    """Say whether a file's options are ours: the patience for another writer, in seconds."""
    if query.keys() - {"timeout"}:
        return False
    try:
        return 0 <= float(str(query.get("timeout", 0))) <= MOST_PATIENCE_SECONDS
    except ValueError:
        return False


@frozen
class _Seam:
    """A generator would take twice as long, two dozen times a sync."""

    _where: str

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, SQLAlchemyError):
            raise store_error(error, self._where) from error


@define
class Database:
    """A store's connections: lent for one answer, or for one transaction.

    The drivers never begin by themselves, so that a reader costs no more than its statement.
    Syncs are many, and `patient`: whoever leads them, or waits at a page, goes before them.
    Writers of a file take turns here: SQLite would have them sleep and try again.
    """

    location: Location
    _engine: Engine
    _reading: Engine
    _turn: Lock = field(factory=Lock)
    _few: Semaphore = field(factory=partial(Semaphore, FEW))
    _more: Semaphore = field(factory=partial(Semaphore, CONNECTIONS - FEW))

    @classmethod
    def at(cls, location: Location) -> "Database":
        if location.path:
            # What must survive a loss of power waits for the disk, and brings along all that was
            # committed before without waiting.
            return cls(location, _sqlite(location.url), _sqlite(location.url, "NORMAL"))
        engine = _postgresql(location.url)
        return cls(location, engine, engine)

    def seam(self) -> _Seam:
        """Whatever a driver raises leaves here as StoreError."""
        return _Seam(self.location.where)

    @contextmanager
    def reading(self, *, patient: bool = False) -> Iterator[Connection]:
        """Lend a connection on which each statement is its own transaction."""
        with self.seam(), self._lent(self._reading, patient=patient) as connection:
            yield connection

    @contextmanager
    def writing(self, *, patient: bool = False) -> Iterator[Connection]:
        """Likewise for statements that write, and need not survive a loss of power."""
        with self.seam(), self._lent(self._reading, patient=patient) as connection:
            if self.location.path:
                self._take_turn(connection)
            yield connection

    def begin(self, *, unhurried: bool = False, patient: bool = False) -> Connection:
        """Begin a transaction that may write; whoever asked commits or closes it.

        An `unhurried` one may be forgotten in a loss of power, until the next other one: of a file
        alone, since a server may fall while we, who were told that it is kept, live on.
        """
        with self.seam():
            connection = self._lent(self._reading if unhurried else self._engine, patient=patient)
            try:
                if self.location.path:
                    self._take_turn(connection)
                connection.exec_driver_sql("BEGIN IMMEDIATE" if self.location.path else "BEGIN")
            except BaseException:
                connection.close()
                raise
        return connection

    def _lent(self, engine: Engine, *, patient: bool) -> Connection:
        """Wait a moment for one of a few, if patient: to open another would cost a server more.

        Who has waited in vain opens one, and from then on the few are one more, up to all that
        are kept open: a store far away holds each of them for longer.
        """
        if self.location.path or not patient:
            return engine.connect()
        is_one_of_few = self._few.acquire(timeout=MOMENT_SECONDS)
        try:
            connection = engine.connect()
        except BaseException:
            if is_one_of_few:
                self._few.release()
            raise
        if is_one_of_few or self._more.acquire(blocking=False):
            _info(connection)["few"] = self._few
        return connection

    def _take_turn(self, connection: Connection) -> None:
        """Wait for the other writers of this process; the turn ends when this is given back."""
        patience = float(str(self.location.url.query.get("timeout", PATIENCE_SECONDS)))
        if not self._turn.acquire(timeout=patience):
            raise StoreError(text("store.locked", where=self.location.where))
        _info(connection)["turn"] = self._turn

    def close(self) -> None:
        for engine in {self._engine, self._reading}:
            engine.dispose()


def _info(connection: Connection) -> dict[str, Any]:
    """Return what is noted of it for as long as it is lent."""
    info = connection.connection.record_info
    assert info is not None  # noqa: S101 -- a pooled connection has it
    return info


def _sqlite(url: URL, synchronous: str = "FULL") -> Engine:
    arguments: dict[str, Any] = {"isolation_level": None}
    if "timeout" not in url.query:
        arguments["timeout"] = PATIENCE_SECONDS
    engine = create_engine(
        url,
        connect_args=arguments,
        hide_parameters=True,
        pool_size=CONNECTIONS,
        max_overflow=MORE_CONNECTIONS,
        pool_use_lifo=True,
    )
    event.listen(engine, "connect", partial(_set_up, synchronous))
    event.listen(engine, "checkin", _end_turns)
    return engine


def _set_up(synchronous: str, connection: Any, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA synchronous = {synchronous}")


def _end_turns(_connection: object, record: Any) -> None:
    for name in TURNS & record.record_info.keys():
        record.record_info.pop(name).release()


def _postgresql(url: URL) -> Engine:
    # Parsing takes longer than planning.
    arguments: dict[str, Any] = {"autocommit": True, "prepare_threshold": 1}
    arguments |= {
        name: value for name, value in POSTGRESQL_OPTIONS.items() if name not in url.query
    }
    engine = create_engine(
        url,
        connect_args=arguments,
        hide_parameters=True,
        pool_size=CONNECTIONS,
        max_overflow=MORE_CONNECTIONS,
        pool_use_lifo=True,
        pool_recycle=OLDEST_SECONDS,
        use_native_hstore=False,  # spares a query at the first connect
    )
    event.listen(engine, "checkin", _note_return)
    event.listen(engine, "checkin", _end_turns)
    event.listen(engine, "checkin", _drop_if_unfinished)
    event.listen(engine, "checkout", _ping(engine))
    return engine


def _note_return(_connection: object, record: Any) -> None:
    record.info["returned"] = time.monotonic()


def _drop_if_unfinished(connection: Any, record: Any) -> None:
    """A commit that failed may leave its transaction open, and SQLAlchemy does not look."""
    if connection is not None and connection.pgconn.transaction_status != IDLE:
        record.invalidate()


def _ping(engine: Engine) -> Any:
    """Ask a connection whether it lives, unless it answered a moment ago."""

    def ping(connection: Any, record: Any, _proxy: object) -> None:
        idle = time.monotonic() - record.info.get("returned", time.monotonic())
        if idle > TRUSTED_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise DisconnectionError from error

    return ping
