"""The store: SQLite or PostgreSQL, through SQLAlchemy Core."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import evolve, field, frozen
from sqlalchemy import select

from capacity_adapters.store.credentials import secret_of
from capacity_adapters.store.database import Database, Location
from capacity_adapters.store.leases import StoreLeases
from capacity_adapters.store.schema import StoreState, StoreStatus, make_usable, status_of
from capacity_adapters.store.tables import capacity_retention
from capacity_adapters.store.unit_of_work import StoreUnitOfWork
from capacity_core.errors import StoreError
from capacity_core.messages import text
from capacity_core.model import Instance, Secret
from capacity_core.ports import Lease

__all__ = [
    "Store",
    "StoreState",
    "StoreStatus",
    "driver_arguments",
    "open_store",
    "store_status",
    "upgrade_store",
]


def _no_key() -> bytes:
    raise StoreError(text("store.no_key"))


@frozen
class Store:
    """An open store, for any number of threads. `secret_key` gives 32 bytes, when needed."""

    _database: Database
    _secret_key: Callable[[], bytes] = field(default=_no_key, repr=False)

    @contextmanager
    def begin(
        self, lease: Lease | None = None, *, unhurried: bool = False
    ) -> Iterator[StoreUnitOfWork]:
        work = StoreUnitOfWork(self._database, self._secret_key, lease, unhurried)
        try:
            yield work
        finally:
            work.end()

    @property
    def leases(self) -> StoreLeases:
        return StoreLeases(self._database)

    def secret_of(self, instance: Instance) -> Secret | None:
        """Open the instance's sealed password. Raises CollectFailed if this key cannot."""
        return secret_of(self._database, self._secret_key, instance)

    def check(self) -> None:
        """Raises StoreError while the store cannot be used."""
        status = status_of(self._database)
        if status.state is not StoreState.CURRENT:
            raise StoreError(text(f"store.{status.state}", where=status.where))

    def close(self) -> None:
        self._database.close()


def open_store(
    url: str, *, secret_key: Callable[[], bytes] = _no_key, upgrade: bool = False
) -> Store:
    """Open a store: `sqlite:///file` or `postgresql://...`; a new one is created.

    Raises StoreError; an older schema is migrated only with `upgrade`.
    """
    database = Database.at(Location.of(url))
    try:
        make_usable(database, upgrade=upgrade)
    except BaseException:
        database.close()
        raise
    return Store(database, secret_key)


def driver_arguments(url: str) -> dict[str, Any] | None:
    """Say how psycopg connects to the store; None if it is a file. Raises StoreError."""
    return Location.of(url).driver_arguments()


def store_status(url: str) -> StoreStatus:
    """Look at a store without creating or changing it. Raises StoreError."""
    database = Database.at(Location.of(url))
    try:
        status = status_of(database)
        if status.state is not StoreState.CURRENT:
            return status
        with database.reading() as connection:
            pruned = connection.execute(select(capacity_retention.c.pruned_before)).scalar()
        return evolve(status, pruned_before=pruned)
    finally:
        database.close()


def upgrade_store(url: str) -> StoreStatus:
    """Create the schema, or migrate an older one. Raises StoreError."""
    open_store(url, upgrade=True).close()
    return store_status(url)
