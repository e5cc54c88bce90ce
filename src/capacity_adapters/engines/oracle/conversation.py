"""What a database is to a login: a container, the only database there is, or a tablespace."""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from attrs import define, field

from capacity_adapters.engines.oracle import queries
from capacity_adapters.engines.oracle.catalogue import (
    OFFLINE,
    ROOT_ID,
    TOTAL_SIZE,
    Ask,
    Files,
    Pdb,
    Place,
    allowed,
    con_id,
    denied,
    files_by,
    may_read,
    pdbs_of,
    place_of,
    quoted,
    sees_all,
    size_of,
    tablespace,
    tablespaces_of,
    used_by,
)
from capacity_core.diagnosis import Check, CheckState
from capacity_core.messages import Text, text
from capacity_core.model import (
    CapacityReport,
    CollectFailed,
    DatabaseSize,
    Inventory,
    Level,
    Outcome,
    Reason,
    SeenDatabase,
    Unmeasured,
    sql_cure,
)

ROOT: Final = "CDB$ROOT"
SYSTEM_DATABASES: Final = frozenset({ROOT, "PDB$SEED"})
Fate = DatabaseSize | Unmeasured

# What each view is good for: a text of the catalogue each.
UNLOCKS: Final = {
    "v_$pdbs": "doctor.oracle_list",
    "cdb_data_files": "doctor.read_sizes",
    "cdb_temp_files": "doctor.read_sizes",
    "dba_data_files": "doctor.read_sizes",
    "dba_temp_files": "doctor.read_sizes",
    "cdb_tablespaces": "doctor.oracle_used",
    "cdb_tablespace_usage_metrics": "doctor.oracle_used",
    "dba_tablespaces": "doctor.oracle_used",
    "dba_tablespace_usage_metrics": "doctor.oracle_used",
    "dba_container_data": "doctor.oracle_proof",
}


def converse(ask: Ask, level: Level, end: Callable[[], None]) -> "Oracle":
    """Look where the login is, and so what the databases are."""
    place = place_of(ask)
    if level is Level.TABLESPACE:
        return Tablespaces(ask, place, end)
    return Containers(ask, place, end) if place.is_root else OneDatabase(ask, place, end)


@define(eq=False)
class Oracle:
    """What the three views of a server have in common."""

    ask: Ask
    place: Place
    end: Callable[[], None]

    def inventory(self) -> Inventory:
        raise NotImplementedError

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        raise NotImplementedError

    def views(self) -> tuple[str, ...]:
        return queries.VIEWS_OF_ONE

    def examine(self) -> tuple[Check, ...]:
        closed = {
            view for view in self.views() if allowed(self.ask, queries.probe_of(view)) is None
        }
        costs = self._unmeasured()

        def check(view: str) -> Check:
            unlocks = text(UNLOCKS[view])
            name = f"SELECT ON SYS.{view.upper()}"
            if view not in closed:
                return Check(name, CheckState.OK, unlocks)
            lost = costs if unlocks.key == "doctor.read_sizes" else ()
            return Check(name, CheckState.MISSING, unlocks, lost, may_read(self.place.login, view))

        return tuple(check(view) for view in self.views())

    def _unmeasured(self) -> tuple[str, ...]:
        try:
            seen = self.inventory().databases
        except CollectFailed as error:
            if error.failure.reason is not Reason.PERMISSION_DENIED:
                raise
            return ()
        report = self.measure({each.name for each in seen if not each.is_system})
        return tuple(e.name for e in report.unmeasured if e.outcome is Outcome.DENIED)

    def close(self) -> None:
        self.end()


@define(eq=False)
class Containers(Oracle):
    """A login in the root: each pluggable database is one."""

    _pdbs: dict[str, Pdb] = field(factory=dict, init=False)

    def inventory(self) -> Inventory:
        try:
            self._pdbs = pdbs_of(self.ask)
        except CollectFailed as error:
            raise self._closed(error, "v_$pdbs") from error
        self._pdbs[ROOT] = Pdb(ROOT_ID, ROOT, "READ WRITE", None)
        seen = tuple(SeenDatabase(name, name in SYSTEM_DATABASES) for name in self._pdbs)
        if self._sees_all() is True:
            return Inventory(seen)
        return Inventory(seen, complete=False, cure=self._cure())

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        files, took = self._files()
        if any(name in self._pdbs and self._pdbs[name].con_id not in files for name in names):
            self._pdbs = {ROOT: self._pdbs[ROOT], **pdbs_of(self.ask)}  # closed, or gone?
        used = used_by(self.ask, queries.USED_OF_PDBS, con_id) if files else {}

        def fate(name: str) -> Fate:
            pdb = self._pdbs.get(name)
            if pdb is None:
                return Unmeasured.of(name, Outcome.VANISHED)
            if not pdb.is_open:
                return Unmeasured.of(name, Outcome.OFFLINE)
            if pdb.con_id in files:
                return size_of(name, files[pdb.con_id], used.get(pdb.con_id), took, pdb.guid)
            if pdb.total_size:  # 0 means that nobody knows
                return DatabaseSize(name, pdb.total_size, TOTAL_SIZE, identity=pdb.guid)
            return Unmeasured.of(name, Outcome.DENIED, self._cure())

        return _report(map(fate, sorted(names)))

    def views(self) -> tuple[str, ...]:
        return queries.VIEWS_OF_ROOT

    def examine(self) -> tuple[Check, ...]:
        sees = self._sees_all()
        states = {True: CheckState.OK, False: CheckState.MISSING, None: CheckState.UNKNOWN}
        proof = Check(
            "CONTAINER_DATA = ALL",
            states[sees],
            text("doctor.oracle_containers"),
            cure=text("") if sees else self._cure(),
        )
        return (*Oracle.examine(self), proof)

    def _files(self) -> tuple[dict[int, Files], int]:
        try:
            return files_by(self.ask, queries.FILES_OF_PDBS, con_id)
        except CollectFailed as error:
            if error.failure.reason is not Reason.PERMISSION_DENIED:
                raise
            return {}, 0

    def _sees_all(self) -> bool | None:
        """Say whether no container is hidden from the login; None if that cannot be told."""
        try:
            return sees_all(self.ask, self.place.login)
        except CollectFailed as error:
            if error.failure.reason is not Reason.PERMISSION_DENIED:
                raise
            return None

    def _cure(self) -> Text:
        login = quoted(self.place.login)
        views = ("DBA_CONTAINER_DATA", "CDB_DATA_FILES", "CDB_TEMP_FILES")
        grants = (f"GRANT SELECT ON SYS.{view} TO {login}" for view in views)
        return sql_cure(
            "; ".join((f"ALTER USER {login} SET CONTAINER_DATA = ALL CONTAINER = CURRENT", *grants))
        )

    def _closed(self, error: CollectFailed, view: str) -> CollectFailed:
        if error.failure.reason is not Reason.PERMISSION_DENIED:
            return error
        return denied(may_read(self.place.login, view))


@define(eq=False)
class OneDatabase(Oracle):
    """A login in one pluggable database, or in a database without containers.

    It has no identity: to tell it would take a right more.
    """

    def inventory(self) -> Inventory:
        return Inventory((SeenDatabase(self.place.name),))

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        return _report(self._fate(name) for name in sorted(names))

    def _fate(self, name: str) -> Fate:
        if name != self.place.name:
            return Unmeasured.of(name, Outcome.VANISHED)
        try:
            files, took = files_by(self.ask, queries.FILES_OF_TABLESPACES, tablespace)
        except CollectFailed as error:
            if error.failure.reason is not Reason.PERMISSION_DENIED:
                raise
            cure = may_read(self.place.login, "dba_data_files", "dba_temp_files")
            return Unmeasured.of(name, Outcome.DENIED, cure)
        if not files:  # every database has files
            raise CollectFailed(Reason.PROTOCOL)
        first, *rest = files.values()
        used = used_by(self.ask, queries.USED_OF_TABLESPACES, tablespace)
        parts = [used.get(each) for each in {*files, *used}]
        known = [part for part in parts if part is not None]
        whole = sum(known) if len(known) == len(parts) else None
        return size_of(name, sum(rest, first), whole, took)


@define(eq=False)
class Tablespaces(Oracle):
    """Each tablespace of the container that the login is connected to is one."""

    _status: dict[str, str] = field(factory=dict, init=False)

    def inventory(self) -> Inventory:
        try:
            self._status = tablespaces_of(self.ask)
        except CollectFailed as error:
            if error.failure.reason is not Reason.PERMISSION_DENIED:
                raise
            raise denied(may_read(self.place.login, "dba_tablespaces")) from error
        return Inventory(tuple(SeenDatabase(name) for name in self._status))

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        try:
            files, took = files_by(self.ask, queries.FILES_OF_TABLESPACES, tablespace)
        except CollectFailed as error:
            if error.failure.reason is not Reason.PERMISSION_DENIED:
                raise
            cure = may_read(self.place.login, "dba_data_files", "dba_temp_files")
            return _report(Unmeasured.of(name, Outcome.DENIED, cure) for name in sorted(names))
        if names - files.keys():
            self._status = tablespaces_of(self.ask)  # without files, or gone?
        used = used_by(self.ask, queries.USED_OF_TABLESPACES, tablespace)

        def fate(name: str) -> Fate:
            status = self._status.get(name)
            if status is None:
                return Unmeasured.of(name, Outcome.VANISHED)
            if status == OFFLINE and (name not in files or files[name].unread):
                return Unmeasured.of(name, Outcome.OFFLINE)
            if name not in files:
                return Unmeasured.of(name, Outcome.ERROR)
            return size_of(name, files[name], used.get(name), took)

        return _report(map(fate, sorted(names)))


def _report(fates: Iterable[Fate]) -> CapacityReport:
    told = tuple(fates)
    return CapacityReport(
        tuple(each for each in told if isinstance(each, DatabaseSize)),
        tuple(each for each in told if isinstance(each, Unmeasured)),
    )
