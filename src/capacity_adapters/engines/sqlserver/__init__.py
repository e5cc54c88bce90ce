"""SQL Server 2012 to 2025 and Azure SQL Database through python-tds: what we ask, how we read it.

`sys.master_files` tells the files of every database, in whatever state it is. What only a database
itself knows (used pages, FILESTREAM, the present size of tempdb) the server asks each for, in one
batch; what fails there costs no more than that.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Final

import pytds.tds_base as tds
from attrs import define, evolve, field
from OpenSSL import SSL

from capacity_adapters.engines.addresses import first_reachable, open_socket
from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import NONSENSE, Engine, Target, classify, milliseconds_since
from capacity_adapters.engines.sqlserver import rights as may
from capacity_adapters.engines.sqlserver.connect import Link, Row, log_in, refuse_unsendable
from capacity_adapters.engines.sqlserver.errors import CODES, PHRASES
from capacity_adapters.engines.sqlserver.errors import NONSENSE as UNREADABLE
from capacity_adapters.engines.sqlserver.files import (
    INSIDE_METHOD,
    OUTSIDE_METHOD,
    Files,
    Known,
    Told,
    azure_row,
    file_row,
    inside_row,
    known_row,
    size_of,
)
from capacity_adapters.engines.sqlserver.queries import (
    AZURE_SIZES,
    DATABASES,
    EACH_INSIDE,
    FILES,
    INSIDE,
    SERVER,
    SESSION,
    SPARSE,
)
from capacity_core.diagnosis import Capabilities, Check
from capacity_core.messages import text
from capacity_core.model import (
    CapacityReport,
    DatabaseSize,
    Failure,
    Freshness,
    Inventory,
    Outcome,
    Reason,
    SeenDatabase,
    Unmeasured,
)

log = logging.getLogger(__name__)

SYSTEM_DATABASES: Final = frozenset({"master", "model", "msdb", "tempdb"})
SNAPSHOT_METHOD: Final = "ms.snapshot_files"
AZURE_METHOD: Final = "ms.resource_stats"
CHUNK: Final = 1000  # databases in one batch
STUMBLES: Final = (RuntimeError, *NONSENSE)  # this driver raises that one, too


@define(eq=False)
class SqlServer:
    link: Link
    guard: Guard
    rights: may.Rights
    _known: dict[str, Known] = field(factory=dict, init=False)
    _took: dict[str, int] = field(factory=dict, init=False)  # milliseconds, by method

    def inventory(self) -> Inventory:
        rows = map(known_row, self.link.ask(DATABASES))
        here = self.rights.database if self._is_one_of_azure else None
        self._known = {each.name: each for each in rows if here in {None, each.name}}
        seen = tuple(SeenDatabase(name, name in SYSTEM_DATABASES) for name in self._known)
        if here is not None:
            return Inventory(seen, complete=False, cure=text("cure.mssql_azure_master"))
        if self.rights.allow(may.LIST):
            return Inventory(seen)
        return Inventory(seen, complete=False, cure=self.rights.cure(may.LIST))

    @property
    def _is_one_of_azure(self) -> bool:
        """There, a connection to any database but master sees that one only."""
        return self.rights.is_azure and self.rights.database != "master"

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        asked = {name: self._known[name] for name in sorted(names & self._known.keys())}
        if not self.rights.is_azure:
            fates = self._fates(asked)
        elif self._is_one_of_azure:
            with self._telling(INSIDE_METHOD):
                fates = [self._present(known) for known in asked.values()]
        else:
            fates = self._published(asked)
        gone = [Unmeasured.of(name, Outcome.VANISHED) for name in sorted(names - asked.keys())]
        return CapacityReport(
            tuple(self._whole(f) for f in fates if isinstance(f, DatabaseSize)),
            tuple(fate for fate in (*fates, *gone) if isinstance(fate, Unmeasured)),
        )

    def _whole(self, size: DatabaseSize) -> DatabaseSize:
        """Add how long its method took, as no statement tells of one alone, and its identity.

        Azure moves databases from server to server; what becomes of the date there, nobody says.
        """
        identity = None if self.rights.is_azure else self._known[size.name].identity
        return evolve(size, duration_ms=self._took.get(size.method), identity=identity)

    @contextmanager
    def _telling(self, method: str) -> Iterator[None]:
        """Keep how long it took."""
        asked = time.monotonic()
        yield
        self._took[method] = milliseconds_since(asked)

    def _fates(self, asked: Mapping[str, Known]) -> list[DatabaseSize | Unmeasured]:
        with self._telling(OUTSIDE_METHOD):
            told = self._files()
        with self._telling(INSIDE_METHOD):
            inside = self._inside([each for each in asked.values() if each.may_be_entered])
        with self._telling(SNAPSHOT_METHOD):
            sparse = self._sparse() if any(each.is_snapshot for each in asked.values()) else {}
        expired = self.guard.expired

        def fate(known: Known) -> DatabaseSize | Unmeasured:
            if (known.id, known.name) not in told:
                return Unmeasured.of(known.name, Outcome.VANISHED)
            if known.is_snapshot:
                return self._snapshot(known, sparse)
            files = told[known.id, known.name]
            return size_of(known, files, inside.get(known.id), self.rights, expired=expired)

        return [fate(known) for known in asked.values()]

    def _files(self) -> dict[tuple[int, str], Files]:
        told: dict[tuple[int, str], Files] = {}
        for row in self.link.ask(FILES):
            key, files = file_row(row)
            told[key] = told.get(key, ()) + files
        return told

    def _inside(self, enterable: list[Known]) -> dict[int, Told]:
        """Ask each of these for itself. What is not learned here is no reason to lose the rest."""
        told: dict[int, Told] = {}
        begun: dict[int, Files] = {}

        def take(row: Row) -> None:
            database, answer = inside_row(row)
            if isinstance(answer, tuple):
                begun[database] = begun.get(database, ()) + answer
            else:
                told[database] = begun.get(database, ()) if answer is None else answer

        ids = sorted(each.id for each in enterable)
        try:
            for start in range(0, len(ids), CHUNK):
                listed = ", ".join(map(str, ids[start : start + CHUNK]))
                self.link.ask_each(EACH_INSIDE % listed, take)
        except ERRORS as error:
            log.warning("looking into databases broke off: %s", type(error).__name__)
        return told

    def _sparse(self) -> dict[int, int] | None:
        """Give the bytes of snapshots by id; None if we may not know."""
        if self.guard.expired:
            return {}
        try:
            return {row[0]: row[1] for row in self.link.ask(SPARSE) if isinstance(row[1], int)}
        except ERRORS as error:
            if _reason_of(error) is Reason.PERMISSION_DENIED:
                return None
            log.warning("asking for snapshots broke off: %s", type(error).__name__)
            return {}

    def _snapshot(
        self, known: Known, sparse: Mapping[int, int] | None
    ) -> DatabaseSize | Unmeasured:
        if sparse is None:
            return Unmeasured.of(known.name, Outcome.DENIED, self.rights.cure(may.STATE))
        if known.id not in sparse:
            late = Outcome.TIMED_OUT if self.guard.expired else Outcome.ERROR
            return Unmeasured.of(known.name, late)
        return DatabaseSize(known.name, sparse[known.id], SNAPSHOT_METHOD)

    def _present(self, known: Known) -> DatabaseSize | Unmeasured:
        """Size the database that the connection is in."""
        answers = [inside_row((known.id, *row))[1] for row in self.link.ask(INSIDE)]
        files: Told = tuple(each for some in answers if isinstance(some, tuple) for each in some)
        return size_of(known, (), files, self.rights, expired=False)

    def _published(self, asked: Mapping[str, Known]) -> list[DatabaseSize | Unmeasured]:
        """Take what Azure has published: every few minutes, and not of databases that sleep."""
        with self._telling(AZURE_METHOD):
            published = dict(map(azure_row, self.link.ask(AZURE_SIZES)))

        def fate(known: Known) -> DatabaseSize | Unmeasured:
            row = published.get(known.name)
            if row is None or row.at < known.created:
                return Unmeasured(known.name, Outcome.ERROR, text("cure.mssql_no_stats"))
            return DatabaseSize(
                known.name,
                row.allocated,
                AZURE_METHOD,
                used_size_bytes=row.used,
                freshness=Freshness.CACHED,
                outcome=known.outcome,
            )

        return [fate(known) for known in asked.values()]

    def examine(self) -> tuple[Check, ...]:
        self.inventory()
        if self.rights.is_azure:
            return (self.rights.check(may.LIST),)
        report = self.measure(self._known.keys())
        denied = [each.name for each in report.unmeasured if each.outcome is Outcome.DENIED]
        snapshots = tuple(name for name in denied if self._known[name].is_snapshot)
        others = tuple(name for name in denied if name not in snapshots)
        shut = any(each.is_shut for each in self._known.values())
        return (
            self.rights.check(may.LIST),
            self.rights.check(may.FILES, () if self.rights.allow(may.FILES) else others),
            self.rights.check(may.ENTER, others, needed=shut),
            self.rights.check(may.STATE, snapshots, needed=bool(snapshots)),
        )

    def close(self) -> None:
        self.link.close()


def open_sqlserver(target: Target, guard: Guard) -> SqlServer:
    refuse_unsendable(target)
    port = target.network.port
    addresses = target.addresses(target.network, guard.limit)
    sock = first_reachable(
        addresses, guard.limit, lambda ip, by: open_socket(ip, port, by), _reason_of
    )
    guard.watch(sock.fileno())
    link = log_in(target, sock)
    try:
        link.tell(SESSION)
        rights = may.rights_of(link.ask(SERVER), target.instance.username)
        return SqlServer(link, guard, rights)
    except BaseException:
        link.close()
        raise


def failure_of(error: BaseException) -> Failure | None:
    if isinstance(error, SSL.Error):
        return Failure.of(Reason.TLS)
    if isinstance(error, tds.ClosedConnectionError):
        return Failure.of(Reason.CONNECTION_LOST)
    if isinstance(error, tds.Error):
        return _driver_failure(error)
    if isinstance(error, STUMBLES) and not isinstance(error, OSError):
        return Failure.of(Reason.PROTOCOL)
    return None


def _driver_failure(error: tds.Error) -> Failure | None:
    number = getattr(error, "number", 0)  # without one it is the driver that complains
    if number:
        meaning = CODES.get(number)
    else:
        said = str(error)
        meaning = next((PHRASES[each] for each in PHRASES if each in said), UNREADABLE)
    return meaning.failure() if meaning else None


ERRORS: Final = (tds.Error, SSL.Error, OSError, *STUMBLES)
ENGINE: Final = Engine(
    open=open_sqlserver,
    errors=ERRORS,
    failure_of=failure_of,
    capabilities=Capabilities(
        log_size=True,
        used_size=True,
        ceiling=True,
        system_databases=True,
        visibility_proof=True,
        identity=True,
    ),
    grants=may.grants,
)


def _reason_of(error: BaseException) -> Reason:
    return classify(error, ENGINE).reason
