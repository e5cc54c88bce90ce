"""PostgreSQL 12 to 18 through psycopg: what we ask it, and how we read its answers."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import psycopg
from attrs import define, field

from capacity_adapters.engines.addresses import first_reachable
from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import Engine, Target, classify
from capacity_adapters.engines.postgresql.connect import log_in
from capacity_adapters.engines.postgresql.errors import meaning_of
from capacity_adapters.engines.postgresql.grants import CAPABILITIES, cure, examine, grants
from capacity_adapters.engines.postgresql.link import Link
from capacity_adapters.engines.postgresql.queries import (
    DATABASES,
    FIRST_SIZES,
    SYSTEM_DATABASES,
)
from capacity_adapters.engines.postgresql.sizing import (
    Queue,
    Told,
    first_of,
    size_all,
    size_first,
)
from capacity_core.diagnosis import Check
from capacity_core.filters import FilterRules
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
PAYS_FROM: Final = 50  # databases for each further connection
INVALID_LIMIT: Final = -2  # datconnlimit of a database whose DROP was interrupted


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
        for oid, name, limit in map(_database, self._databases()):
            # Bytes that are no text show as escapes, which may be the name of an older database.
            taken = name in self._oids
            self._oids[f"{name} (oid {oid})" if taken else name] = oid
            if limit == INVALID_LIMIT:
                self._invalid.add(oid)
        return Inventory(tuple(SeenDatabase(name, name in SYSTEM_DATABASES) for name in self._oids))

    def _databases(self) -> Sequence[Sequence[object]]:
        """Ask for the first sizes, too, unless some of them may be none of ours."""
        if self.target.instance.filters != FilterRules():
            return self.main.ask(DATABASES)
        most = first_of(self.target.policy.size_connections)
        return self.main.ask_ahead(DATABASES, FIRST_SIZES % most)

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
        queue = Queue(oids, workers)
        rows: dict[int, Told] = {}
        first = queue.take(first_of(workers))
        with ThreadPoolExecutor(workers, thread_name_prefix="sizes") as pool:
            for _ in range(workers - 1):
                pool.submit(self._help, queue, rows)
            self._drain(queue, rows, first)
        # What a helper had in hand when it lost its connection is back in the queue.
        broken = self._drain(queue, rows)
        if broken is not None and not rows:
            raise broken
        return rows

    def _drain(
        self, queue: Queue, rows: dict[int, Told], first: Sequence[int] = ()
    ) -> psycopg.Error | None:
        try:
            size_first(self.main, queue, first, rows)
            size_all(self.main, queue, rows)
        except psycopg.Error as error:
            log.warning("instance %s: sizing broke off: %s", self._id, type(error).__name__)
            return error
        return None

    def _help(self, queue: Queue, rows: dict[int, Told]) -> None:
        """Measure over a connection of our own; if there is none to have, the others do it all."""
        try:
            by = min(self.guard.limit, time.monotonic() + self.target.policy.connect_deadline)
            link = self.connect(by)
            try:
                size_all(link, queue, rows)
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


def _database(row: Sequence[object]) -> tuple[int, str, int]:
    match row:
        case [int(oid), str(name), int(limit)]:
            return oid, name, limit
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
