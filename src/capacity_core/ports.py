"""Every port: what the core asks of the world. Adapters fit them without inheriting."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from capacity_core.access import ApiToken, Scope
from capacity_core.inventory import InventoryChange
from capacity_core.model import (
    CapacityReport,
    Failure,
    Instance,
    Inventory,
    LastSync,
    Moment,
    Place,
    Secret,
)
from capacity_core.reads import (
    DatabaseRow,
    DateRange,
    InstanceDay,
    Page,
    Paging,
    SizeRow,
)

if TYPE_CHECKING:  # a sync, and an import of the core, need none of these
    from capacity_core.diagnosis import Check
    from capacity_core.growth_ports import (
        GrowthReads,
        Limits,
        PeriodAggregator,
        Retention,
        SeriesReads,
    )
    from capacity_core.runs_port import Runs


class CapacitySyncCoordinator(Protocol):
    """One conversation with one instance, bounded by its own deadlines."""

    @property
    def failure(self) -> Failure | None:
        """Why `connect` said False."""
        ...

    def connect(self) -> bool:
        """Open the conversation; on False, `failure` says why."""
        ...

    def fetch_inventory(self) -> Inventory:
        """List the databases that the login sees, system ones too. Raises CollectFailed."""
        ...

    def collect_capacity(self, names: AbstractSet[str]) -> CapacityReport:
        """Measure these; what cannot be measured is in the report. Raises CollectFailed."""
        ...

    def disconnect(self) -> None:
        """End the conversation. Harmless if it never began, and never raises."""
        ...


class CapacityExaminer(CapacitySyncCoordinator, Protocol):
    """A conversation that can also tell which rights the login has; what the doctor needs."""

    def examine(self) -> "tuple[Check, ...]":
        """Probe, reading only, every right and setting that sizing needs. Raises CollectFailed.

        The costs name every database of the inventory, also those that a filter leaves out.
        """
        ...


class CapacityRepository(Protocol):
    """What a sync reads of the store and writes to it, inside one unit of work.

    Reads take no transaction; the first write begins it. The number of statements does not
    depend on the number of databases.
    """

    def get_instance_and_databases(self, instance_id: int) -> tuple[Instance, Mapping[str, bool]]:
        """The instance, and its known databases, in one read.

        Raises NotFoundError if it is missing or was removed.
        """
        ...

    def known_databases(self, instance_id: int) -> Mapping[str, bool]:
        """Every name ever seen on the instance, and whether it is active."""
        ...

    def save_last_sync(self, instance_id: int, attempt: LastSync) -> Place:
        """Keep the attempt; returns where the instance is now, and nobody else moves it.

        Raises NotFoundError if it was removed meanwhile.
        """
        ...

    def save_inventory(self, instance_id: int, change: InventoryChange, moment: Moment) -> None:
        """Create, refresh, reactivate and deactivate what the change says."""
        ...

    def save_database_stats(self, instance_id: int, report: CapacityReport, moment: Moment) -> int:
        """Write the day's row of every database in the report; returns the sizes written.

        A newer size replaces an older one of the day; an outcome without a size never erases
        one. A vanished database becomes inactive.
        """
        ...

    def update_instance_total_size(self, instance_id: int, moment: Moment) -> bool:
        """Recompute the instance's day from its active databases.

        False, and nothing written, if the total does not fit into 64 bits.
        """
        ...


class Instances(Protocol):
    """The register of instances, inside one unit of work."""

    def add(self, instance: Instance) -> Instance:
        """Keep it under a new id, ignoring its own. Raises ConflictError if the name is taken."""
        ...

    def add_many(self, instances: Sequence[Instance]) -> None:
        """Likewise, all or none."""
        ...

    def get(self, instance_id: int) -> Instance:
        """Raises NotFoundError if it is missing or was removed."""
        ...

    def hold(self, instance_id: int) -> Instance:
        """Likewise; nobody else changes it until this unit of work ends."""
        ...

    def find(self, name: str) -> Instance | None: ...

    def named(self, names: Iterable[str]) -> list[Instance]:
        """Those that have one of these names, in any order."""
        ...

    def at_address(self, instance: Instance) -> list[Instance]:
        """Those of the same engine at the same address, whatever their user."""
        ...

    def page(self, paging: Paging) -> Page[Instance]:
        """Those not removed, by name."""
        ...

    def save(self, instance: Instance) -> None:
        """Overwrite all but its last sync. Raises ConflictError, NotFoundError."""
        ...


class Credentials(Protocol):
    """Passwords kept in the store, sealed and bound to their instance and its address."""

    def seal(self, instance: Instance, secret: Secret) -> None:
        """Keep it for this instance at its address, and for no other."""
        ...

    def forget(self, instance_id: int) -> None: ...


class Tokens(Protocol):
    """API tokens, kept as hashes."""

    def add(self, name: str, scope: Scope, token_hash: str, now: datetime) -> ApiToken:
        """Raises ConflictError if a live token has that name."""
        ...

    def find(self, token_hash: str) -> ApiToken | None:
        """The live token with that hash."""
        ...

    def all(self) -> list[ApiToken]: ...

    def revoke(self, name: str, now: datetime) -> None:
        """Raises NotFoundError if no live token has that name."""
        ...


class CapacityReads(Protocol):
    """Questions to the store; each is answered without a lasting transaction."""

    def databases(self, instance_id: int, paging: Paging) -> Page[DatabaseRow]:
        """Known databases: active first, then by name."""
        ...

    def history(
        self, instance_id: int, database_name: str, days: DateRange, paging: Paging
    ) -> Page[SizeRow]:
        """The days of one database, newest first."""
        ...

    def sizes_on(self, instance_id: int, day: date | None) -> list[SizeRow]:
        """Every database's row of that day (None: the latest day that has any), largest first."""
        ...

    def instance_day(self, instance_id: int, day: date) -> InstanceDay | None: ...

    def instance_days(self, instance_id: int, paging: Paging) -> Page[InstanceDay]:
        """The days that have a total, newest first."""
        ...


@frozen
class Lease:
    """The right to sync one instance, until it expires by the store's clock."""

    instance_id: int
    owner: str
    fencing: int


class Leases(Protocol):
    """One lease an instance, each call its own tiny transaction."""

    def acquire(self, instance_id: int, seconds: float) -> Lease:
        """Raises SyncInProgressError while somebody holds it, NotFoundError for no instance."""
        ...

    def release(self, lease: Lease) -> None:
        """Give it back. Harmless if it expired or was taken meanwhile."""
        ...

    def renew(self, leases: Iterable[Lease], seconds: float) -> None:
        """Let them last so long from now. Harmless for those that were taken meanwhile."""
        ...


class LeaseKeeper(Protocol):
    """Renews leases of `seconds` while their work is done: a killed process frees them soon."""

    @property
    def seconds(self) -> float: ...

    def keep(self, lease: Lease) -> AbstractContextManager[None]: ...


class UnitOfWork(Protocol):
    """One transaction, begun by its first write; leaving it without a commit undoes it."""

    @property
    def repository(self) -> CapacityRepository: ...

    @property
    def aggregator(self) -> "PeriodAggregator": ...

    @property
    def instances(self) -> Instances: ...

    @property
    def credentials(self) -> Credentials: ...

    @property
    def tokens(self) -> Tokens: ...

    @property
    def reads(self) -> CapacityReads: ...

    @property
    def growth(self) -> "GrowthReads": ...

    @property
    def series(self) -> "SeriesReads": ...

    @property
    def limits(self) -> "Limits": ...

    @property
    def retention(self) -> "Retention": ...

    @property
    def runs(self) -> "Runs": ...

    def commit(self) -> None: ...


class Begin(Protocol):
    """Open a unit of work; with a lease, its transaction begins with the lease's fenced release.

    A lease that expired and was taken by somebody else raises SyncInProgressError there. If it is
    `unhurried`, a loss of power may undo it until another one that is not was committed.
    """

    def __call__(
        self, lease: Lease | None = None, *, unhurried: bool = False
    ) -> AbstractContextManager[UnitOfWork]: ...


class CoordinatorFor(Protocol):
    """Prepare a conversation; asks nothing of the target yet. Raises EngineNotSupportedError.

    `deadline` is the seconds that the whole conversation may take, `password` replaces the
    instance's own.
    """

    def __call__(
        self, instance: Instance, /, *, deadline: float, password: Secret | None = None
    ) -> CapacityExaminer: ...


Clock = Callable[[], datetime]
