"""Real servers that freeze: their kernel goes on acknowledging what we send, and nothing comes."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from types import MappingProxyType
from typing import Final

import pymysql
from attrs import frozen
from tests.faults.listeners import listening
from tests.faults.matrix import Seen, conversation, holdings, left_behind
from tests.faults.relays import Relay
from tests.servers import Server, Start, start_mariadb, start_postgres
from tests.targets import coordinator_of, mariadb_admin, port_instance, postgres_admin

FILLED: Final = ("one", "two", "three")
PHASES: Final = ("connect", "inventory", "sizes")
_OURS: Final = "SELECT pid FROM pg_stat_activity WHERE application_name = 'capacity-sync'"
_WAITING: Final = f"{_OURS} AND wait_event_type = 'Lock'"
_OTHERS: Final = (
    "SELECT id FROM information_schema.processlist"
    " WHERE id <> CONNECTION_ID() AND user NOT IN ('system user', 'event_scheduler')"
)
_SLEEPING: Final = f"{_OTHERS} AND state = 'User sleep'"
_WAITING_FOR_IT: Final = f"{_OTHERS} AND state = 'Waiting for table metadata lock'"

Way = Callable[[Server, str], AbstractContextManager[int]]  # of a server, and a phase


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def wait_until(done: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it went on"
        time.sleep(0.02)


@contextmanager
def freezing_postgres(server: Server, phase: str) -> Iterator[int]:
    """Lend a way to the server on which it freezes in that phase, until the block ends."""
    if phase == "connect":
        with stopped(server.pid):
            yield server.port
        return
    frozen_ones: list[int] = []

    @contextmanager
    def in_mid_query() -> Iterator[None]:
        # The question waits for our lock; the back-end is stopped there, and then has the lock.
        with postgres_admin(server) as admin, admin.transaction(force_rollback=True):
            admin.execute("LOCK TABLE pg_database IN ACCESS EXCLUSIVE MODE")
            yield
            wait_until(lambda: admin.execute(_WAITING).fetchall())
            frozen_ones.extend(pid for (pid,) in admin.execute(_WAITING).fetchall())
            for pid in frozen_ones:
                os.kill(pid, signal.SIGSTOP)

    marked = {"inventory": b"FROM pg_catalog.pg_database", "sizes": b"pg_database_size"}[phase]
    try:
        with listening(Relay(server.port, marked=marked, around=in_mid_query)) as port:
            yield port
    finally:
        for pid in frozen_ones:
            os.kill(pid, signal.SIGCONT)
    assert frozen_ones


@contextmanager
def freezing_mariadb(server: Server, phase: str) -> Iterator[int]:
    """Likewise; the whole server stops, for its sessions are threads."""
    if phase == "connect":
        with stopped(server.pid):
            yield server.port
        return
    with creating_a_table(server) as admin, ExitStack() as stops:

        @contextmanager
        def in_mid_query() -> Iterator[None]:
            if phase == "inventory":
                stops.enter_context(stopped(server.pid))
            yield
            if phase == "sizes":
                wait_until(lambda: admin.execute(_WAITING_FOR_IT))
                stops.enter_context(stopped(server.pid))

        marked = {"inventory": b"SHOW GRANTS", "sizes": b"table_type"}[phase]
        with listening(Relay(server.port, marked=marked, around=in_mid_query)) as port:
            yield port


@contextmanager
def creating_a_table(server: Server) -> Iterator["pymysql.cursors.Cursor"]:
    """Have a table that is not there yet: whoever asks for the sizes of all waits for it."""
    with mariadb_admin(server) as admin, mariadb_admin(server) as other:
        admin.execute("CREATE DATABASE freezing")
        other.execute("SELECT CONNECTION_ID()")
        creator = other.fetchall()[0][0]
        creating = threading.Thread(target=_create, args=(other,))
        creating.start()
        wait_until(lambda: admin.execute(_SLEEPING))
        try:
            yield admin
        finally:
            admin.execute("KILL %s", [creator])
            creating.join()
            admin.execute("DROP DATABASE freezing")


def _create(cursor: "pymysql.cursors.Cursor") -> None:
    with suppress(pymysql.Error):
        cursor.execute("CREATE TABLE freezing.t AS SELECT SLEEP(60)")


def postgres_sessions(server: Server) -> int:
    """Count the sessions of ours."""
    with postgres_admin(server) as admin:
        return len(admin.execute(_OURS).fetchall())


def mariadb_sessions(server: Server) -> int:
    """Count every session but the one that asks."""
    with mariadb_admin(server) as admin:
        return int(admin.execute(_OTHERS))


def fill_postgres(server: Server) -> None:
    with postgres_admin(server) as admin:
        for name in FILLED:
            admin.execute(f"CREATE DATABASE {name}".encode())


def fill_mariadb(server: Server) -> None:
    with mariadb_admin(server) as admin:
        for name in FILLED:
            admin.execute(f"CREATE DATABASE {name}")
            admin.execute(f"CREATE TABLE {name}.t (x INT)")


@frozen
class Kind:
    """A server that can be had here, from its start to the count of our sessions."""

    start: Start
    fill: Callable[[Server], None]
    freezing: Way
    sessions: Callable[[Server], int]


SERVERS: Mapping[str, Kind] = MappingProxyType(
    {
        "postgresql": Kind(start_postgres, fill_postgres, freezing_postgres, postgres_sessions),
        "mysql": Kind(start_mariadb, fill_mariadb, freezing_mariadb, mariadb_sessions),
    }
)


def freeze(server: Server, phase: str, *, seconds: float) -> Seen:
    """Sync a server that freezes in that phase; `seconds` is the deadline."""
    kind, before = SERVERS[server.scheme], holdings()
    with kind.freezing(server, phase) as port:
        instance = port_instance(server.scheme, port, username=server.user)
        started = time.monotonic()
        told = conversation(coordinator_of(instance, deadline=seconds))
        over = time.monotonic() - started - seconds
    return Seen({told: 1}, over, (*left_behind(before), *sessions_left(server)))


def sessions_left(server: Server) -> tuple[str, ...]:
    """Name every session that is not gone within five seconds."""
    count = SERVERS[server.scheme].sessions
    with suppress(AssertionError):
        wait_until(lambda: not count(server))
        return ()
    return ("session",) * count(server)
