"""The register of instances, as rows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import Connection, Row, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from capacity_adapters.store.statements import as_doc, can_be_known, portable, sought, statement_for
from capacity_adapters.store.tables import instances
from capacity_adapters.store.work import Work
from capacity_core.errors import ConflictError, NotFoundError, StoreError
from capacity_core.filters import FilterRules
from capacity_core.messages import Text, text
from capacity_core.model import (
    Address,
    FileAddress,
    Instance,
    LastSync,
    Level,
    NetworkAddress,
    Place,
    Reason,
    Tls,
)
from capacity_core.reads import Page, Paging

_LIVING = select(instances).where(instances.c.deleted_at.is_(None))
_BY_ID = _LIVING.where(instances.c.id == bindparam("instance_id"))
_HELD = _BY_ID.with_for_update()
PLACE: Final = (
    *(instances.c.db_type, instances.c.host, instances.c.port, instances.c.path),
    *(instances.c.username, instances.c.database_name, instances.c.level),
)
_NAMES = portable("SELECT item.value ->> 0 FROM {items}")
_ADD = insert(instances)
_COUNT = select(func.count()).select_from(instances).where(instances.c.deleted_at.is_(None))


@frozen
class StoreInstances:
    _work: Work

    def add(self, instance: Instance) -> Instance:
        kept = insert(instances).values(columns_of(instance)).returning(instances.c.id)
        with _unique_name(_taken(instance)), self._work.savepoint() as connection:
            new_id = connection.execute(kept).scalar_one()
        return evolve(instance, id=new_id, last_sync=None)

    def add_many(self, instances: Sequence[Instance]) -> None:
        rows = [columns_of(instance) for instance in instances]
        if not rows:  # or a row of defaults would be tried
            return
        taken = text("import.names_taken")
        with _unique_name(taken), self._work.savepoint() as connection:
            connection.execute(_ADD, rows)

    def get(self, instance_id: int) -> Instance:
        with self._work.read() as connection:
            return instance_of(living_instance(connection, instance_id))

    def hold(self, instance_id: int) -> Instance:
        with self._work.write() as connection:
            return instance_of(living_instance(connection, instance_id, held=True))

    def find(self, name: str) -> Instance | None:
        if not can_be_known(name):
            return None
        with self._work.read() as connection:
            row = connection.execute(_LIVING.where(instances.c.name == name)).one_or_none()
        return None if row is None else instance_of(row)

    def named(self, names: Iterable[str]) -> list[Instance]:
        doc = as_doc((name,) for name in names if can_be_known(name))
        with self._work.read() as connection:
            wanted = statement_for(_NAMES, connection).columns(instances.c.name)
            asked = _LIVING.where(instances.c.name.in_(wanted))
            return [instance_of(row) for row in connection.execute(asked, {"doc": doc})]

    def at_address(self, instance: Instance) -> list[Instance]:
        _, port, path = _columns_of_address(instance.address)
        asked = _LIVING.where(
            instances.c.db_type == instance.db_type,
            instances.c.port == port if path is None else instances.c.path == path,
        ).order_by(instances.c.id)
        with self._work.read() as connection:
            rows = connection.execute(asked).all()
        # Databases disagree on lower() beyond ASCII.
        there = map(instance_of, rows)
        return [other for other in there if _same_host(other.address, instance.address)]

    def page(self, paging: Paging) -> Page[Instance]:
        asked = _LIVING.order_by(instances.c.name).limit(paging.limit).offset(paging.offset)
        with self._work.read() as connection:
            total = connection.execute(_COUNT).scalar_one()
            rows = connection.execute(asked).all()
        return Page(tuple(map(instance_of, rows)), total, paging)

    def save(self, instance: Instance) -> None:
        kept = (
            update(instances)
            .where(instances.c.id == sought(instance.id), instances.c.deleted_at.is_(None))
            .values(columns_of(instance))
        )
        with _unique_name(_taken(instance)), self._work.savepoint() as connection:
            found = connection.execute(kept).rowcount
        if not found:
            raise NotFoundError(text("error.instance_missing"))


@contextmanager
def _unique_name(message: Text) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        if isinstance(error.__cause__, IntegrityError):
            raise ConflictError(message) from error
        raise


def _taken(instance: Instance) -> Text:
    return text("error.name_taken", name=instance.name)


def living_instance(connection: Connection, instance_id: int, *, held: bool = False) -> Row[Any]:
    """Raises NotFoundError if it is missing or was removed."""
    asked = _HELD if held else _BY_ID
    row = connection.execute(asked, {"instance_id": sought(instance_id)}).one_or_none()
    if row is None:
        raise NotFoundError(text("error.instance_missing"))
    return row


def instance_of(row: Row[Any]) -> Instance:
    rules = json.loads(row.filters)
    last_sync = None
    if row.last_sync_at is not None:
        reason = None if row.last_sync_reason is None else Reason(row.last_sync_reason)
        last_sync = LastSync(row.last_sync_at, row.last_sync_scenario, reason)
    return Instance(
        id=row.id,
        name=row.name,
        db_type=row.db_type,
        address=_address_of(row),
        username=row.username,
        database_name=row.database_name,
        level=row.level,
        password_ref=row.password_ref,
        tls=Tls(row.tls_mode, row.tls_ca, row.tls_cert, row.tls_key),
        timezone=row.timezone,
        filters=FilterRules(
            tuple(rules["exclude"]), tuple(rules["include"]), ignore_case=rules["ignore_case"]
        ),
        description=row.description,
        tags=tuple(json.loads(row.tags)),
        zone=row.zone,
        is_active=row.is_active,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deleted_at=row.deleted_at,
        last_sync=last_sync,
    )


def place_of(row: Row[Any]) -> Place:
    """Read the columns of `PLACE`."""
    level = Level(row.level)
    return Place(row.db_type, _address_of(row), row.username, row.database_name, level)


def columns_of(instance: Instance) -> dict[str, object]:
    """All but the id and the last sync, which only a sync writes."""
    host, port, path = _columns_of_address(instance.address)
    rules = instance.filters
    filters = {
        "exclude": rules.exclude,
        "include": rules.include,
        "ignore_case": rules.ignore_case,
    }
    return {
        "name": instance.name,
        "db_type": instance.db_type,
        "host": host,
        "port": port,
        "path": path,
        "username": instance.username,
        "database_name": instance.database_name,
        "level": instance.level,
        "password_ref": instance.password_ref,
        "tls_mode": instance.tls.mode,
        "tls_ca": instance.tls.ca,
        "tls_cert": instance.tls.cert,
        "tls_key": instance.tls.key,
        "timezone": instance.timezone,
        "filters": json.dumps(filters),
        "description": instance.description,
        "tags": json.dumps(instance.tags, ensure_ascii=False),
        "zone": instance.zone,
        "is_active": instance.is_active,
        "created_at": instance.created_at,
        "updated_at": instance.updated_at,
        "deleted_at": instance.deleted_at,
    }


def _columns_of_address(address: Address) -> tuple[str | None, int | None, str | None]:
    if isinstance(address, FileAddress):
        return None, None, address.path
    return address.host, address.port, None


def _address_of(row: Row[Any]) -> Address:
    return NetworkAddress(row.host, row.port) if row.path is None else FileAddress(row.path)


def _same_host(one: Address, other: Address) -> bool:
    if isinstance(one, NetworkAddress) and isinstance(other, NetworkAddress):
        return one.host.lower() == other.host.lower()
    return one == other
