"""PostgreSQL 12 to 18 through psycopg: what we ask it, and how we read its answers."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import psycopg
from attrs import define, field

from capacity_adapters.engines.addresses import first_reachable
from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import Engine, Target, classify, milliseconds_since
from capacity_adapters.engines.postgresql.connect import Link, log_in
from capacity_adapters.engines.postgresql.errors import OUTCOMES, meaning_of
from capacity_adapters.engines.postgresql.grants import CAPABILITIES, cure, examine, grants
from capacity_adapters.engines.postgresql.queries import DATABASES, SIZES
from capacity_core.diagnosis import Check
from capacity_core.messages import Text
from capacity_core.model import (
    CapacityReport,
    CollectFailed,
    DatabaseSize,
    Failure,
    Inventory,
    Outcome,
    Reason,
    SeenDatabase,
    Unmeasured,
    sql_cure,
)

log = logging.getLogger(__name__)

METHOD: Final = "pg.database_size"
LEAST_VERSION: Final = 12
CHUNK: Final = 200  # databases a statement: 100 take 3 % longer, and more save little
PAYS_FROM: Final = 50  # databases for each further connection
INVALID_LIMIT: Final = -2  # datconnlimit of a database whose DROP was interrupted
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

Answer = int | Outcome  # of one database: its size in bytes, or why it has none
Told = tuple[Answer, int]  # and how many milliseconds the statement took that told it
Chunks = deque[list[int]]


@define(eq=False)
class _Postgres:
    """An open conversation; further connections are made where they pay."""

    target: Target
    guard: Guard
    main: Link
    connect: Callable[[float], Link]
    _oids: dict[str, int] = field(factory=dict, init=False)
    _invalid: set[int] = field(factory=set, init=False)

    def inventory(self) -> Inventory:
        self._oids.clear()
        self._invalid.clear()
        for oid, name, limit in map(_database, self.main.ask(DATABASES)):
            # Bytes that are no text show as escapes, which may be the name of an older database.
            taken = name in self._oids
            self._oids[f"{name} (oid {oid})" if taken else name] = oid
            if limit == INVALID_LIMIT:
                self._invalid.add(oid)
        return Inventory(tuple(SeenDatabase(name, name in SYSTEM_DATABASES) for name in self._oids))

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        known = sorted(self._oids[name] for name in names & self._oids.keys())
        rows = self._rows([oid for oid in known if oid not in self._invalid])
        denied = any(answer is Outcome.DENIED for answer, _ in rows.values())
        cure = self._cure() if denied else None
        unread = Outcome.TIMED_OUT if self.guard.expired else Outcome.ERROR
        fates = [self._fate(name, rows, unread, cure) for name in sorted(names)]
        return CapacityReport(
            tuple(fate for fate in fates if isinstance(fate, DatabaseSize)),
            tuple(fate for fate in fates if isinstance(fate, Unmeasured)),
        )

    def _fate(
        self, name: str, rows: Mapping[int, Told], unread: Outcome, cure: Text | None
    ) -> DatabaseSize | Unmeasured:
        oid = self._oids.get(name)
        if oid is None:
            return Unmeasured.of(name, Outcome.VANISHED)
        if oid in self._invalid:
            return Unmeasured.of(name, Outcome.INVALID)
        answer, took = rows.get(oid, (unread, 0))
        if isinstance(answer, int):
            return DatabaseSize(name, answer, METHOD, duration_ms=took, identity=str(oid))
        return Unmeasured.of(name, answer, cure if answer is Outcome.DENIED else None)

    def _cure(self) -> Text:
        return sql_cure(cure(self.main, self.target.instance.username))

    def _rows(self, oids: Sequence[int]) -> dict[int, Told]:
        """Size these, over one connection or several. Raises if nothing at all was learned."""
        workers = max(1, min(self.target.policy.size_connections, len(oids) // (PAYS_FROM // 2)))
        size = CHUNK if workers == 1 else math.ceil(min(CHUNK, len(oids) / workers) / 2)
        chunks = deque(list(oids[start : start + size]) for start in range(0, len(oids), size))
        rows: dict[int, Told] = {}
        with ThreadPoolExecutor(workers, thread_name_prefix="sizes") as pool:
            for _ in range(workers - 1):
                pool.submit(self._help, chunks, rows)
            self._drain(chunks, rows)
        # What a helper had in hand when it lost its connection is back in the queue.
        broken = self._drain(chunks, rows)
        if broken is not None and not rows:
            raise broken
        return rows

    def _drain(self, chunks: Chunks, rows: dict[int, Told]) -> psycopg.Error | None:
        try:
            _work(self.main, chunks, rows)
        except psycopg.Error as error:
            log.warning("instance %s: sizing broke off: %s", self._id, type(error).__name__)
            return error
        return None

    def _help(self, chunks: Chunks, rows: dict[int, Told]) -> None:
        """Measure over a connection of our own; if there is none to have, the others do it all."""
        try:
            by = min(self.guard.limit, time.monotonic() + self.target.policy.connect_deadline)
            link = self.connect(by)
            try:
                _work(link, chunks, rows)
            finally:
                link.close()
        except (CollectFailed, *ERRORS) as error:
            log.warning("instance %s: a further connection: %s", self._id, _reason_of(error))

    @property
    def _id(self) -> int:
        return self.target.instance.id

    def examine(self) -> tuple[Check, ...]:
        return examine(self.main, self.target.instance.username)

    def close(self) -> None:
        self.main.close()


def _work(link: Link, chunks: Chunks, rows: dict[int, Told]) -> None:
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


def _size_alone(link: Link, oid: int) -> dict[int, Told]:
    try:
        return _sizes(link, [oid])
    except psycopg.Error as error:
        if link.lost or link.guard.expired:
            raise
        log.warning("the database with oid %s has no size: %s", oid, error.sqlstate)
        return {oid: (OUTCOMES.get(error.sqlstate or "", Outcome.ERROR), 0)}


def _sizes(link: Link, oids: Sequence[int]) -> dict[int, Told]:
    asked = time.monotonic()
    rows = link.ask(SIZES, ["{" + ",".join(map(str, oids)) + "}"])
    took = milliseconds_since(asked)
    gone = dict.fromkeys(oids, (Outcome.VANISHED, took))
    return {**gone, **{oid: (answer, took) for oid, answer in map(answer_of, rows)}}


def _database(row: Sequence[object]) -> tuple[int, str, int]:
    match row:
        case [int(oid), str(name), int(limit)]:
            return oid, name, limit
    raise CollectFailed(Reason.PROTOCOL)


def answer_of(row: Sequence[object]) -> tuple[int, Answer]:
    """Read one row of SIZES; what is no such row is never taken for a size or an outcome."""
    match row:
        case [int(oid), True, int(size)] if not isinstance(size, bool) and size >= 0:
            return oid, size
        case [int(oid), False, None]:
            return oid, Outcome.DENIED
        case [int(oid), True | None, None]:
            return oid, Outcome.VANISHED
        case [int(oid), *_]:
            return oid, Outcome.ERROR
    raise CollectFailed(Reason.PROTOCOL)


def open_postgres(target: Target, guard: Guard) -> _Postgres:
    target.refuse_nul()
    addresses = target.addresses(target.network, guard.limit)
    connect = partial(log_in, target, guard)
    link, found = first_reachable(
        addresses, guard.limit, lambda ip, by: (connect(ip, by), ip), _reason_of
    )
    version = link.connection.info.server_version
    if version < LEAST_VERSION * 10_000:
        link.close()
        said = f"{version // 10_000}"
        failure = Failure.of(Reason.UNSUPPORTED_VERSION, version=said, least=LEAST_VERSION)
        raise CollectFailed(failure.reason, failure.hint)
    return _Postgres(target, guard, link, partial(connect, found))


def failure_of(error: BaseException) -> Failure | None:
    if not isinstance(error, psycopg.Error):
        return None
    meaning = meaning_of(error.sqlstate, str(error))
    return meaning.failure() if meaning else None


ERRORS: Final = (psycopg.Error, OSError, ValueError)
ENGINE: Final = Engine(open_postgres, ERRORS, failure_of, CAPABILITIES, grants)


def _reason_of(error: BaseException) -> Reason:
    return classify(error, ENGINE).reason
