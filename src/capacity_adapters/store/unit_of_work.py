"""One transaction, begun by its first write and never before."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define
from sqlalchemy import Connection

from capacity_adapters.store.aggregator import StoreAggregator
from capacity_adapters.store.credentials import StoreCredentials
from capacity_adapters.store.database import IN_TRANSACTION, Database
from capacity_adapters.store.instances import StoreInstances
from capacity_adapters.store.leases import free, in_progress
from capacity_adapters.store.repository import StoreRepository
from capacity_core.errors import StoreError
from capacity_core.messages import text
from capacity_core.ports import Lease

if TYPE_CHECKING:
    from capacity_adapters.store.growth import StoreGrowth
    from capacity_adapters.store.reads import StoreReads
    from capacity_adapters.store.retention import StoreRetention
    from capacity_adapters.store.runs import StoreRuns
    from capacity_adapters.store.series import StoreLimits, StoreSeries
    from capacity_adapters.store.tokens import StoreTokens


@define
class StoreUnitOfWork:
    _database: Database
    _secret_key: Callable[[], bytes]
    _lease: Lease | None
    _unhurried: bool = False
    _connection: Connection | None = None
    _broken: bool = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Lend the transaction's connection if it has begun, else one for this answer only."""
        if self._connection is None:
            with self._database.reading(patient=self._is_sync) as connection:
                yield connection
        else:
            with self._whole():
                yield self._connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Lend the transaction's connection; a statement that fails undoes everything."""
        connection = self._begun()
        with self._whole():
            yield connection

    @contextmanager
    def savepoint(self) -> Iterator[Connection]:
        """Lend the connection for a part that may fail alone; never for one inside another."""
        connection = self._begun()
        try:
            with self._database.seam(), _undone_if_failed(connection):
                yield connection
        finally:
            if not _can_be_kept(connection):
                self._break()

    def commit(self) -> None:
        if self._broken:
            raise StoreError(text("store.failed", where=self._database.location.where))
        if self._connection is not None:
            with self._whole():
                if not _can_be_kept(self._connection):  # PostgreSQL would undo it, and say nothing
                    raise StoreError(text("store.failed", where=self._database.location.where))
                self._connection.commit()
        self.end()

    def end(self) -> None:
        """Undo what was not committed; harmless if there is nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with self._database.seam():
                connection.close()

    @property
    def _is_sync(self) -> bool:
        return self._lease is not None

    def _begun(self) -> Connection:
        if self._broken:
            raise StoreError(text("store.failed", where=self._database.location.where))
        if self._connection is None:
            connection = self._database.begin(unhurried=self._unhurried, patient=self._is_sync)
            try:
                self._release_lease(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _release_lease(self, connection: Connection) -> None:
        with self._database.seam():
            if self._lease is not None and not free(connection, self._lease):
                raise in_progress(connection, self._lease.instance_id)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        try:
            with self._database.seam():
                yield
        except StoreError:
            self._break()
            raise

    def _break(self) -> None:
        self._broken = True
        self.end()

    @property
    def repository(self) -> StoreRepository:
        return StoreRepository(self)

    @property
    def aggregator(self) -> StoreAggregator:
        return StoreAggregator(self)

    @property
    def instances(self) -> StoreInstances:
        return StoreInstances(self)

    @property
    def credentials(self) -> StoreCredentials:
        return StoreCredentials(self, self._secret_key)

    @property
    def tokens(self) -> "StoreTokens":
        from capacity_adapters.store.tokens import StoreTokens  # noqa: PLC0415 -- a sync does without

        return StoreTokens(self)

    @property
    def reads(self) -> "StoreReads":
        from capacity_adapters.store.reads import StoreReads  # noqa: PLC0415 -- a sync does without

        return StoreReads(self)

    @property
    def growth(self) -> "StoreGrowth":
        from capacity_adapters.store.growth import StoreGrowth  # noqa: PLC0415 -- a sync does without

        return StoreGrowth(self)

    @property
    def series(self) -> "StoreSeries":
        from capacity_adapters.store.series import StoreSeries  # noqa: PLC0415 -- a sync does without

        return StoreSeries(self)

    @property
    def limits(self) -> "StoreLimits":
        from capacity_adapters.store.series import StoreLimits  # noqa: PLC0415 -- a sync does without

        return StoreLimits(self)

    @property
    def runs(self) -> "StoreRuns":
        from capacity_adapters.store.runs import StoreRuns  # noqa: PLC0415 -- a sync does without

        return StoreRuns(self)

    @property
    def retention(self) -> "StoreRetention":
        from capacity_adapters.store.retention import StoreRetention  # noqa: PLC0415 -- a sync does without

        return StoreRetention(self)


@contextmanager
def _undone_if_failed(connection: Connection) -> Iterator[None]:
    """Release nothing, which the commit does as well: a round trip less."""
    connection.exec_driver_sql("SAVEPOINT part")
    try:
        yield
    except BaseException:
        if not _ended_by_database(connection):
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT part")
        raise


def _ended_by_database(connection: Connection) -> bool:
    """SQLite ends a transaction by itself when its disk is full, for one."""
    if connection.closed or connection.invalidated:
        return True
    return getattr(connection.connection.driver_connection, "in_transaction", True) is False


def _can_be_kept(connection: Connection) -> bool:
    """Say whether the transaction is open still, and whole."""
    if _ended_by_database(connection):
        return False
    libpq = getattr(connection.connection.driver_connection, "pgconn", None)  # psycopg's
    return libpq is None or libpq.transaction_status == IN_TRANSACTION
