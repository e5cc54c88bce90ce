"""One lease an instance, timed by the store's own clock."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import uuid4

from attrs import frozen
from sqlalchemy import Connection, select

from capacity_adapters.store.database import Database
from capacity_adapters.store.statements import as_doc, portable, sought, statement_for
from capacity_adapters.store.tables import instances, leases
from capacity_core.errors import NotFoundError, SyncInProgressError
from capacity_core.messages import text
from capacity_core.ports import Lease

# A lease that a crash of the store forgets does no harm: its sync finds it gone when it writes.
_ACQUIRE = portable("""
INSERT INTO leases (instance_id, owner, fencing, acquired_at, expires_at)
SELECT id, :owner, 1, {now}, {now} + :seconds
FROM instances{unhurried} WHERE id = :instance_id AND deleted_at IS NULL
ON CONFLICT (instance_id) DO UPDATE SET owner = excluded.owner, fencing = leases.fencing + 1,
    acquired_at = excluded.acquired_at, expires_at = excluded.expires_at
WHERE leases.owner IS NULL OR leases.expires_at <= {now}
RETURNING fencing
""")
# It comes first in a sync's transaction, whose statements then are planned once a connection: that
# would take longer than what they do.
_FREE = portable("""
UPDATE leases SET owner = NULL{planned_once}
WHERE instance_id = :instance_id AND owner = :owner AND fencing = :fencing
""")
# A lease that is being given back just now holds up the others no longer than it must.
_RENEW = portable("""
UPDATE leases SET expires_at = {now} + :seconds WHERE instance_id IN (
    SELECT instance_id FROM leases WHERE (instance_id, owner, fencing) IN (
        SELECT CAST(item.value ->> 0 AS BIGINT), item.value ->> 1,
            CAST(item.value ->> 2 AS BIGINT) FROM {items})
    {skip_locked})
""")
_HOLDER = (
    select(instances.c.name, leases.c.acquired_at)
    .join_from(instances, leases, isouter=True)
    .where(instances.c.deleted_at.is_(None))
)


@frozen
class StoreLeases:
    _database: Database

    def acquire(self, instance_id: int, seconds: float) -> Lease:
        """Raises SyncInProgressError while somebody holds it, NotFoundError for no instance."""
        owner = uuid4().hex
        asked = {"instance_id": sought(instance_id), "owner": owner, "seconds": seconds}
        with self._database.writing(patient=True) as connection:
            fencing = connection.execute(statement_for(_ACQUIRE, connection), asked).scalar()
            if fencing is None:
                raise in_progress(connection, instance_id)
        return Lease(instance_id, owner, fencing)

    def release(self, lease: Lease) -> None:
        with self._database.writing() as connection:
            free(connection, lease)

    def renew(self, leases: Iterable[Lease], seconds: float) -> None:
        doc = as_doc((each.instance_id, each.owner, each.fencing) for each in leases)
        with self._database.writing() as connection:
            asked = {"doc": doc, "seconds": seconds}
            connection.execute(statement_for(_RENEW, connection), asked)


def free(connection: Connection, lease: Lease) -> bool:
    """Give the lease back; False if it is no longer ours."""
    asked = {
        "instance_id": lease.instance_id,
        "owner": lease.owner,
        "fencing": lease.fencing,
    }
    return connection.execute(statement_for(_FREE, connection), asked).rowcount == 1


def in_progress(connection: Connection, instance_id: int) -> SyncInProgressError:
    """Say since when somebody else syncs the instance. Raises NotFoundError."""
    asked = _HOLDER.where(instances.c.id == sought(instance_id))
    holder = connection.execute(asked).one_or_none()
    if holder is None:
        raise NotFoundError(text("error.instance_missing"))
    name, acquired_at = holder
    since = datetime.now(UTC) if acquired_at is None else datetime.fromtimestamp(acquired_at, UTC)
    return SyncInProgressError(text("sync.in_progress", name=name), since)
