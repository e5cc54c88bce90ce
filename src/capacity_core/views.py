"""What every face of the product shows of an instance. No secret is among it."""

from attrs import frozen

from capacity_core.filters import FilterRules
from capacity_core.instances import SEALED, fields_of
from capacity_core.model import Instance, LastSync, Level, Reason, Scenario, TlsMode


@frozen
class TlsView:
    """Paths of PEM files, as they were registered, and what the mode is worth."""

    mode: TlsMode
    ca: str | None
    cert: str | None
    key: str | None
    state: str


@frozen
class LastSyncView:
    at: str
    scenario: Scenario
    reason: Reason | None


@frozen(kw_only=True)
class InstanceView:
    """`has_password` tells of a password kept sealed, `password_ref` of one kept elsewhere."""

    id: int
    name: str
    db_type: str
    host: str | None
    port: int | None
    path: str | None
    username: str
    database_name: str | None
    level: Level
    has_password: bool
    password_ref: str | None
    description: str
    tags: tuple[str, ...]
    zone: str
    is_active: bool
    timezone: str | None
    filters: FilterRules
    tls: TlsView
    created_at: str
    updated_at: str
    last_sync: LastSyncView | None


def instance_view(instance: Instance) -> InstanceView:
    said = fields_of(instance)
    sealed = said.password_ref == SEALED
    return InstanceView(
        id=instance.id,
        name=said.name,
        db_type=said.db_type,
        host=said.host,
        port=said.port,
        path=said.path,
        username=said.username,
        database_name=said.database_name,
        level=said.level,
        has_password=sealed,
        password_ref=None if sealed else said.password_ref,
        description=said.description,
        tags=said.tags,
        zone=said.zone,
        is_active=said.is_active,
        timezone=said.timezone,
        filters=said.filters,
        tls=TlsView(said.tls.mode, said.tls.ca, said.tls.cert, said.tls.key, said.tls.state),
        created_at=instance.created_at.isoformat(),
        updated_at=instance.updated_at.isoformat(),
        last_sync=_last_sync(instance.last_sync),
    )


def _last_sync(last: LastSync | None) -> LastSyncView | None:
    return None if last is None else LastSyncView(last.at.isoformat(), last.scenario, last.reason)
