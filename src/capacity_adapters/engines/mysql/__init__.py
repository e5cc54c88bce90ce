"""MySQL 5.7 to 9 and MariaDB 10 to 12 through PyMySQL: what we ask, and how we read it."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import pymysql
from attrs import define, field, frozen

from capacity_adapters.engines.addresses import first_reachable, open_socket
from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import NONSENSE, Engine, Target, classify, milliseconds_since
from capacity_adapters.engines.mysql.connect import Connection, Flavour, flavour_of, prepare
from capacity_adapters.engines.mysql.errors import anonymous, code_of, explained, meaning_of
from capacity_adapters.engines.mysql.examination import (
    CAPABILITIES,
    CURES,
    checks,
    cure_of,
    grants,
)
from capacity_adapters.engines.mysql.grants import Grants, parse_grants
from capacity_adapters.engines.mysql.queries import (
    ENCODED_SCHEMAS,
    GRANTS,
    NOT_STORED,
    SCHEMAS,
    file_sizes,
    files_probe,
    find_damaged,
    find_untold,
    table_sizes,
)
from capacity_adapters.engines.mysql.shared import Shared, shared_sizes
from capacity_core.diagnosis import Check, CheckState
from capacity_core.messages import Text, text
from capacity_core.model import (
    CapacityReport,
    CollectFailed,
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

FILES: Final = "my.innodb_files"
TABLES: Final = "my.tables"
MOST_SCHEMAS: Final = 200_000
SYSTEM_SCHEMAS: Final = frozenset({"information_schema", "performance_schema", "mysql", "sys"})
# The view is unknown, lacks file_size, or is closed to us: sizes come from TABLES then.
NO_VIEW: Final = frozenset({1109, 1146, 1054, 1227})
UNKNOWN_VARIABLE: Final = 1193
# A table or folder named like a device of Windows has this behind its name on disk.
DEVICE_ENDING: Final = b"@@@"
# A folder that no server made, such as lost+found, is listed under this prefix.
FOREIGN_FOLDER: Final = "#mysql50#"


@frozen
class _Sizes:
    """The bytes of each schema, how fresh they are if not live, and how they were found out.

    `untold` says of a schema why the size of a table of it cannot be had, and what to do.
    """

    found: Mapping[str, int]
    stale: Mapping[str, Freshness]
    untold: Mapping[str, Text]
    method: str = TABLES


@define(eq=False)
class _Mysql:
    """An open conversation; `freshness` is that of what the server keeps of its tables."""

    connection: Connection
    flavour: Flavour
    freshness: Freshness
    username: str
    guard: Guard
    _grants: Grants = field(factory=Grants, init=False)
    _keys: dict[str, bytes] = field(factory=dict, init=False)

    def inventory(self) -> Inventory:
        with explained(self.username):  # an expired password shows here first
            self._grants = parse_grants(row[0] for row in self._ask(GRANTS))
        if self.username and self._grants.anonymous_host is not None:
            raise anonymous(self._grants.anonymous_host)
        self._keys = self._schemas()
        seen = tuple(SeenDatabase(name, name in SYSTEM_SCHEMAS) for name in self._keys)
        if self._grants.sees_every_schema:
            return Inventory(seen)
        return Inventory(seen, complete=False, cure=self._cure())

    def _schemas(self) -> dict[str, bytes]:
        # From source: MySQL 8 decodes the names of its files itself, so ours are compared plain.
        question = SCHEMAS if self.flavour.is_mysql_8 else ENCODED_SCHEMAS
        rows = self._ask(question)
        if len(rows) > MOST_SCHEMAS:
            raise CollectFailed(Reason.PROTOCOL)
        return {name: _key(name, encoded) for name, encoded in rows}

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        asked = time.monotonic()
        sizes = self._sizes()
        took = milliseconds_since(asked)
        there = names & self._keys.keys()
        if any(not sizes.found.get(name) for name in there):
            there &= self._schemas().keys()  # is it empty, or gone?
        untold = sorted(there & sizes.untold.keys())
        if untold:
            log.warning("no size is told of a table in each of: %s", ", ".join(map(ascii, untold)))

        def fate(name: str) -> DatabaseSize | Unmeasured:
            if name not in there:
                return Unmeasured.of(name, Outcome.VANISHED)
            if not self._grants.sees_tables_of(name):
                return Unmeasured.of(name, Outcome.DENIED, self._cure())
            if name in sizes.untold:
                return Unmeasured(name, Outcome.ERROR, sizes.untold[name])
            return DatabaseSize(
                name,
                sizes.found.get(name, 0),
                sizes.method,
                freshness=sizes.stale.get(name, Freshness.LIVE),
                duration_ms=took,
            )

        fates = [fate(name) for name in self._in_time(sorted(names))]
        return CapacityReport(
            tuple(fate for fate in fates if isinstance(fate, DatabaseSize)),
            tuple(fate for fate in fates if isinstance(fate, Unmeasured)),
        )

    def _sizes(self) -> _Sizes:
        """Ask for the bytes of every schema that the login sees.

        TABLES comes first, for it opens every table: MariaDB 10.6 and later list a file only once
        it was opened since the server's start.
        """
        if self._grants.sees_processes:
            tables = self._table_sizes(*NOT_STORED, "InnoDB")
            files = self._file_sizes()
            if files is not None:
                return self._with_files(tables, *files)
        return self._table_sizes(*NOT_STORED)

    def _table_sizes(self, *without: str) -> _Sizes:
        found, stale, untold = dict[str, int](), dict[str, Freshness](), dict[str, Text]()
        for encoded, size, damaged, silent, estimated in self._ask(table_sizes(without)):
            name = encoded.decode()
            found[name] = int(size)
            stale[name] = Freshness.ESTIMATE if estimated else self.freshness
            if damaged:
                untold[name] = text("mysql.damaged", find=find_damaged(name))
            elif silent:
                untold[name] = text("mysql.untold", find=find_untold(name))
        return _Sizes(found, stale, untold)

    def _with_files(self, tables: _Sizes, files: Mapping[bytes, int], shared: Shared) -> _Sizes:
        def bytes_of(name: str, key: bytes) -> int:
            return tables.found.get(name, 0) + files.get(key, 0) + shared.found.get(key, 0)

        keys = self._keys
        found = {name: bytes_of(name, key) for name, key in keys.items()}
        guessed = [name for name, key in keys.items() if key in shared.found]
        uncounted = [name for name, key in keys.items() if key in shared.unknown]
        untold = {**dict.fromkeys(uncounted, text("mysql.uncounted")), **tables.untold}
        stale = {**tables.stale, **dict.fromkeys(guessed, Freshness.ESTIMATE)}
        return _Sizes(found, stale, untold, FILES)

    def _file_sizes(self) -> tuple[dict[bytes, int], Shared] | None:
        """Sum the files by schema, as the view spells it; the view is dear, so read it once."""
        for view in self.flavour.file_views():
            try:
                rows = self._ask(file_sizes(view))
                shared = shared_sizes(self._ask, view, is_mariadb=self.flavour.is_mariadb)
            except pymysql.Error as error:
                if code_of(error) not in NO_VIEW:
                    raise
            else:
                return {key.removesuffix(DEVICE_ENDING): int(size) for key, size in rows}, shared
        return None

    def _ask(self, question: str) -> Sequence[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(question)
            rows = cursor.fetchall()
        self.guard.remaining()  # what came before the guard shut the connection may be much
        return rows

    def _in_time(self, names: Iterable[str]) -> Iterator[str]:
        """Go through what may be many names, each with many grants. Raises CollectFailed."""
        for name in names:
            self.guard.remaining()
            yield name

    def _cure(self) -> Text:
        rights = [each for each in CURES if each not in self._grants.everywhere] or CURES
        return cure_of(self._grants, *rights)

    def examine(self) -> tuple[Check, ...]:
        self.inventory()
        return checks(self._grants, self._in_time(self._keys), self._files_probe())

    def _files_probe(self) -> CheckState:
        """Say whether the sizes of files can be read; PROCESS alone does not prove it."""
        for view in self.flavour.file_views():
            try:
                self._ask(files_probe(view))
            except pymysql.Error as error:
                if code_of(error) not in NO_VIEW:
                    raise
            else:
                return CheckState.OK
        return CheckState.UNKNOWN if self._grants.sees_processes else CheckState.MISSING

    def close(self) -> None:
        self.connection.close()


def _key(name: str, encoded: bytes) -> bytes:
    if name.startswith(FOREIGN_FOLDER):
        return name.removeprefix(FOREIGN_FOLDER).encode()
    return encoded


def open_mysql(target: Target, guard: Guard) -> _Mysql:
    address = target.network
    connection = prepare(target)
    addresses = target.addresses(address, guard.limit)
    sock = first_reachable(
        addresses, guard.limit, lambda ip, by: open_socket(ip, address.port, by), _reason_of
    )
    has_password = bool(target.password.reveal())
    with explained(target.instance.username, has_password=has_password):
        try:
            guard.watch(sock.fileno())
            connection.connect(sock)
        finally:
            if not connection.open:
                sock.close()
        try:
            return _greeted(connection, guard, target.instance.username)
        except BaseException:
            connection.close()
            raise


def _greeted(connection: Connection, guard: Guard, username: str) -> _Mysql:
    flavour = flavour_of(connection.get_server_info())  # type: ignore[no-untyped-call]  # as the stubs have it
    if flavour is None:
        raise CollectFailed(Reason.PROTOCOL)
    if flavour.version < flavour.least:
        said, least = (".".join(map(str, each)) for each in (flavour.version, flavour.least))
        failure = Failure.of(Reason.UNSUPPORTED_VERSION, version=said, least=least)
        raise CollectFailed(failure.reason, failure.hint)
    return _Mysql(connection, flavour, _bounded(connection, flavour, guard), username, guard)


def _bounded(connection: Connection, flavour: Flavour, guard: Guard) -> Freshness:
    """Bound the session's statements; says how fresh its server's tables can be told then."""
    seconds = max(0.001, guard.end_by - time.monotonic())
    with connection.cursor() as cursor:
        try:
            cursor.execute(flavour.session(seconds))
        except pymysql.Error as error:
            if not flavour.is_mysql_8 or code_of(error) != UNKNOWN_VARIABLE:
                raise
            cursor.execute(flavour.session(seconds, fresh=False))
            return Freshness.CACHED
    return Freshness.LIVE


def failure_of(error: BaseException) -> Failure | None:
    if isinstance(error, RuntimeError) and "'cryptography' package" in str(error):
        return Failure.of(Reason.DRIVER_MISSING, package="pymysql[rsa]")
    if isinstance(error, NONSENSE) and not isinstance(error, OSError):
        return Failure.of(Reason.PROTOCOL)
    if not isinstance(error, pymysql.Error):
        return None
    meaning = meaning_of(error)
    return meaning.failure() if meaning else None


ERRORS: Final = (pymysql.Error, OSError, RuntimeError, *NONSENSE)
ENGINE: Final = Engine(open_mysql, ERRORS, failure_of, CAPABILITIES, grants)


def _reason_of(error: BaseException) -> Reason:
    return classify(error, ENGINE).reason
