"""PostgreSQL 12 to 18 through psycopg: what we ask it, and how we read its answers."""

import logging
import math
import selectors
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Any, Final, cast

import psycopg
from attrs import define, field, frozen
from psycopg import pq, sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGcancelConn, PGconn

from capacity_adapters.engines.addresses import IPAddress, addresses_of, first_reachable
from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import Engine, Target, classify
from capacity_adapters.engines.postgresql_errors import OUTCOMES, reason_of
from capacity_core.model import (
    CapacityReport,
    CollectFailed,
    DatabaseSize,
    Failure,
    Inventory,
    NetworkAddress,
    Outcome,
    Reason,
    SeenDatabase,
    TlsMode,
    Unmeasured,
    sql_cure,
)

log = logging.getLogger(__name__)

METHOD: Final = "pg.database_size"
LEAST_VERSION: Final = 12
CHUNK: Final = 100
PAYS_FROM: Final = 50  # databases for each further connection
INVALID_LIMIT: Final = -2  # datconnlimit of a database whose DROP was interrupted
CANCEL_SECONDS: Final = 0.25
SYSTEM_DATABASES: Final = frozenset(
    {
        "template0",
        "template1",
        "rdsadmin",
        "cloudsqladmin",
        "alloydbadmin",
        "alloydbmetadata",
        "azure_maintenance",
        "azure_sys",
    }
)

DATABASES: Final = "SELECT oid, datname, datconnlimit FROM pg_database"
# By oid, for a name may be dropped meanwhile and fail the statement. A privilege of NULL, or a size
# of NULL in spite of it, is a database that is gone.
SIZES: Final = """
SELECT o, allowed, CASE WHEN allowed THEN pg_database_size(o) END
FROM (SELECT o, has_database_privilege(o, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
      FROM unnest(%s::oid[]) AS o) AS asked (o, allowed)
"""

# Everything that libpq would otherwise read from the environment or the home directory.
NOWHERE: Final = "/dev/null/none"
_KNOWN = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
FIXED: Final = {
    keyword: value
    for keyword, value in {
        "application_name": "capacity-sync",
        "channel_binding": "prefer",
        "client_encoding": "UTF8",
        "gssdelegation": "0",
        "gssencmode": "disable",
        "gsslib": "",
        "krbsrvname": "postgres",
        "load_balance_hosts": "disable",
        "max_protocol_version": "3.0",
        "min_protocol_version": "3.0",
        "passfile": NOWHERE,
        "require_auth": "!sspi",  # any: no word means that
        "requirepeer": "",
        "ssl_max_protocol_version": "",
        "ssl_min_protocol_version": "TLSv1.2",
        "sslcert": NOWHERE,
        "sslcertmode": "disable",
        "sslcompression": "0",
        "sslcrl": NOWHERE,
        "sslcrldir": "",
        "sslkey": NOWHERE,
        "sslnegotiation": "postgres",
        "sslsni": "1",
        "target_session_attrs": "any",
    }.items()
    if keyword in _KNOWN
}
VERIFYING: Final = frozenset({TlsMode.VERIFY_FULL, TlsMode.VERIFY_CA})

Connection = psycopg.Connection[tuple[Any, ...]]
Answer = int | Outcome  # of one database: its size in bytes, or why it has none
Chunks = deque[list[int]]


@frozen
class _Known:
    oid: int
    invalid: bool


class _NameLoader(Loader):
    """Names may hold bytes that are no UTF-8; they show as escapes, so they can be stored."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode("utf-8", "backslashreplace")


@define(eq=False)
class _Link:
    """One connection, and what stops its statement on a server that we no longer listen to."""

    connection: Connection
    guard: Guard
    pooled: bool
    cancel: PGcancelConn | None

    def ask(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            with self.connection.cursor() as cursor:
                cursor.adapters.register_loader("name", _NameLoader)
                if not self.pooled:
                    return cursor.execute(query, values).fetchall()
                # A setting of the session would stay behind in the pooler's connection.
                with self.connection.transaction():
                    cursor.execute("SET TRANSACTION READ ONLY")
                    cursor.execute(
                        f"SET LOCAL statement_timeout = {_milliseconds(self.guard.limit)}"
                    )
                    return cursor.execute(query, values).fetchall()
        except psycopg.Error:
            if self.guard.fired:
                self._stop_server()
            raise

    @property
    def lost(self) -> bool:
        return self.connection.broken or self.connection.closed

    def _stop_server(self) -> None:
        if self.cancel is not None:
            with suppress(psycopg.Error, OSError):
                self.cancel.start()
                _drive(self.cancel, self.cancel.poll, time.monotonic() + CANCEL_SECONDS)

    def close(self) -> None:
        if self.cancel is not None:
            self.cancel.finish()
        self.connection.close()


@define(eq=False)
class _Postgres:
    """An open conversation; further connections are made where they pay."""

    target: Target
    guard: Guard
    main: _Link
    connect: Callable[[float], _Link]
    _known: dict[str, _Known] = field(factory=dict, init=False)

    def inventory(self) -> Inventory:
        rows = self.main.ask(DATABASES)
        self._known = {name: _Known(oid, limit == INVALID_LIMIT) for oid, name, limit in rows}
        return Inventory(
            tuple(SeenDatabase(name, name in SYSTEM_DATABASES) for name in self._known)
        )

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        known = {name: self._known[name] for name in sorted(names & self._known.keys())}
        rows = self._rows([each.oid for each in known.values() if not each.invalid])
        fates = [self._fate(name, self._known.get(name), rows) for name in sorted(names)]
        return CapacityReport(
            tuple(fate for fate in fates if isinstance(fate, DatabaseSize)),
            tuple(fate for fate in fates if isinstance(fate, Unmeasured)),
        )

    def _fate(
        self, name: str, known: _Known | None, rows: Mapping[int, Answer]
    ) -> DatabaseSize | Unmeasured:
        if known is None:
            return Unmeasured.of(name, Outcome.VANISHED)
        if known.invalid:
            return Unmeasured.of(name, Outcome.INVALID)
        unread = Outcome.TIMED_OUT if self.guard.expired else Outcome.ERROR
        answer = rows.get(known.oid, unread)
        if isinstance(answer, int):
            return DatabaseSize(name, answer, METHOD)
        cure = sql_cure(f"GRANT pg_read_all_stats TO {_quoted(self.target.instance.username)}")
        return Unmeasured.of(name, answer, cure if answer is Outcome.DENIED else None)

    def _rows(self, oids: Sequence[int]) -> dict[int, Answer]:
        """Size these, over one connection or several. Raises if nothing at all was learned."""
        workers = max(1, min(self.target.policy.size_connections, len(oids) // (PAYS_FROM // 2)))
        size = CHUNK if workers == 1 else min(CHUNK, math.ceil(len(oids) / (2 * workers)))
        chunks = deque(list(oids[start : start + size]) for start in range(0, len(oids), size))
        rows: dict[int, Answer] = {}
        with ThreadPoolExecutor(workers, thread_name_prefix="sizes") as pool:
            for _ in range(workers - 1):
                pool.submit(self._help, chunks, rows)
            self._drain(chunks, rows)
        # What a helper had in hand when it lost its connection is back in the queue.
        self._drain(chunks, rows)
        return rows

    def _drain(self, chunks: Chunks, rows: dict[int, Answer]) -> None:
        try:
            _work(self.main, chunks, rows)
        except psycopg.Error as error:
            if not rows:
                raise
            log.warning("instance %s: sizing broke off: %s", self._id, type(error).__name__)

    def _help(self, chunks: Chunks, rows: dict[int, Answer]) -> None:
        """Measure over a connection of our own; if there is none to have, the others do it all."""
        try:
            by = min(self.guard.limit, time.monotonic() + self.target.policy.connect_deadline)
            link = self.connect(by)
            try:
                _work(link, chunks, rows)
            finally:
                link.close()
        except (CollectFailed, *ERRORS) as error:
            log.warning("instance %s: a further connection: %s", self._id, type(error).__name__)

    @property
    def _id(self) -> int:
        return self.target.instance.id

    def close(self) -> None:
        self.main.close()


def _work(link: _Link, chunks: Chunks, rows: dict[int, Answer]) -> None:
    """Take chunks until there are none; a chunk that fails is repeated one by one."""
    while chunks:
        try:
            chunk = chunks.popleft()
        except IndexError:  # another connection was quicker
            return
        try:
            rows.update(_sizes(link, chunk))
        except psycopg.Error:
            if link.lost or link.guard.expired:
                chunks.appendleft(chunk)
                raise
            for oid in chunk:
                rows.update(_size_alone(link, oid))


def _size_alone(link: _Link, oid: int) -> dict[int, Answer]:
    try:
        return _sizes(link, [oid])
    except psycopg.Error as error:
        if link.lost or link.guard.expired:
            raise
        log.warning("the database with oid %s has no size: %s", oid, error.sqlstate)
        return {oid: OUTCOMES.get(error.sqlstate or "", Outcome.ERROR)}


def _sizes(link: _Link, oids: Sequence[int]) -> dict[int, Answer]:
    return {oid: _answer(*rest) for oid, *rest in link.ask(SIZES, [list(oids)])}


def _answer(allowed: bool | None, size: int | None) -> Answer:  # noqa: FBT001 -- a row's column
    if allowed is False:
        return Outcome.DENIED
    return Outcome.VANISHED if size is None else size


def open_postgres(target: Target, guard: Guard) -> _Postgres:
    address = target.instance.address
    if not isinstance(address, NetworkAddress):
        raise CollectFailed(Reason.UNREACHABLE)
    addresses = addresses_of(address.host, guard.limit, target.policy.networks)
    log_in = partial(_log_in, target, guard)
    link, found = first_reachable(
        addresses, guard.limit, lambda ip, by: (log_in(ip, by), ip), _reason_of
    )
    version = link.connection.info.server_version
    if version < LEAST_VERSION * 10_000:
        link.close()
        said = f"{version // 10_000}"
        failure = Failure.of(Reason.UNSUPPORTED_VERSION, version=said, least=LEAST_VERSION)
        raise CollectFailed(failure.reason, failure.hint)
    return _Postgres(target, guard, link, partial(log_in, found))


def _log_in(target: Target, guard: Guard, address: IPAddress, by: float) -> _Link:
    """Connect to that very address. A pooler may refuse the settings; it gets none then."""
    limit = _milliseconds(guard.end_by)
    options = f"-c default_transaction_read_only=on -c statement_timeout={limit}"
    try:
        pgconn, pooled = _start(_conninfo(target, address, options), by), False
    except psycopg.OperationalError as error:
        said = str(error)
        if "permission denied for database" in said:
            raise _no_connect(target) from error
        if "unsupported startup parameter" not in said:
            raise
        pgconn, pooled = _start(_conninfo(target, address, ""), by), True
    guard.watch(pgconn.socket)
    connection: Connection = psycopg.Connection(pgconn)
    connection.autocommit = True
    connection.prepare_threshold = None
    cancel = pgconn.cancel_conn() if psycopg.capabilities.has_cancel_safe() else None
    return _Link(connection, guard, pooled, cancel)


def _start(conninfo: str, by: float) -> PGconn:
    """Connect through libpq's non-blocking calls: its own time limit is whole seconds, 2 at least.

    Raises TimeoutError, psycopg.OperationalError.
    """
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    try:
        _drive(pgconn, pgconn.connect_poll, by)
    except BaseException:
        pgconn.finish()
        raise
    pgconn.nonblocking = 1
    return pgconn


def _drive(peer: PGconn | PGcancelConn, poll: Callable[[], int], by: float) -> None:
    while (status := poll()) in _EVENTS:
        with selectors.DefaultSelector() as selector:
            selector.register(peer.socket, _EVENTS[status])
            if not selector.select(max(0.0, by - time.monotonic())):
                raise TimeoutError
    if status != pq.PollingStatus.OK:
        raise psycopg.OperationalError(peer.get_error_message("utf-8"))


_EVENTS: Mapping[int, int] = MappingProxyType(
    {
        pq.PollingStatus.READING: selectors.EVENT_READ,
        pq.PollingStatus.WRITING: selectors.EVENT_WRITE,
    }
)


def _conninfo(target: Target, address: IPAddress, options: str) -> str:
    instance = target.instance
    tls = instance.tls
    host = cast("NetworkAddress", instance.address)
    authorities = tls.ca or ssl.get_default_verify_paths().cafile or "system"
    return make_conninfo(
        "",
        **FIXED,
        host=host.host,
        hostaddr=str(address),
        port=host.port,
        user=instance.username,
        password=target.password.reveal(),
        dbname=instance.database_name or "postgres",
        options=options,
        sslmode="disable" if tls.mode is TlsMode.INSECURE else str(tls.mode),
        sslrootcert=authorities if tls.mode in VERIFYING else NOWHERE,
    )


def _milliseconds(by: float) -> int:
    """Leave the server a little longer than ourselves: at the deadline it is we who end it."""
    return max(1, round((by - time.monotonic()) * 1000)) + 100


def _no_connect(target: Target) -> CollectFailed:
    database = _quoted(target.instance.database_name or "postgres")
    login = _quoted(target.instance.username)
    cure = sql_cure(f"GRANT CONNECT ON DATABASE {database} TO {login}")
    failure = Failure.of(Reason.PERMISSION_DENIED, cure=cure)
    return CollectFailed(failure.reason, failure.hint)


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()


def failure_of(error: BaseException) -> Failure | None:
    if not isinstance(error, psycopg.Error):
        return None
    reason = reason_of(error.sqlstate, str(error))
    return Failure.of(reason) if reason else None


ERRORS: Final = (psycopg.Error, OSError, ValueError)
ENGINE: Final = Engine(open=open_postgres, errors=ERRORS, failure_of=failure_of)


def _reason_of(error: BaseException) -> Reason:
    return classify(error, ENGINE).reason
