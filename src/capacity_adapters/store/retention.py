"""The end of days that are too old: counted in a statement a table, deleted in batches."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    ColumnElement,
    Date,
    Delete,
    Select,
    Table,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from capacity_adapters.store.tables import (
    capacity_retention,
    database_size_stats,
    instance_size_stats,
    instances,
)
from capacity_adapters.store.work import Work
from capacity_core.reads import OldRows

_BEFORE: Final = bindparam("before", type_=Date())


def _count(table: Table, staying: ColumnElement[int]) -> Select[Any]:
    wanted = select(table.c.instance_id, func.count() - staying)
    return wanted.where(table.c.collected_date < _BEFORE).group_by(table.c.instance_id)


def _first_day(table: Table) -> Select[Any]:
    """Look it up in the index, an instance each; the minimum of all would read every row."""
    first = select(func.min(table.c.collected_date)).where(table.c.instance_id == instances.c.id)
    return select(func.min(first.scalar_subquery())).select_from(instances)


def _nearer(table: Table, *conditions: str) -> ColumnElement[bool]:
    """Say of a row that a later one before the day is of the same series, and stays instead."""
    later = table.alias("later")
    same = [later.c[name] == table.c[name] for name in conditions]
    known = [later.c.size_bytes.is_not(None)] if table is database_size_stats else []
    return (
        select(later.c.instance_id)
        .where(
            *same,
            later.c.collected_date > table.c.collected_date,
            later.c.collected_date < _BEFORE,
            *known,
        )
        .exists()
    )


def _batch(table: Table, goes: ColumnElement[bool]) -> Delete:
    key = list(table.primary_key.columns)
    old = (
        select(*key)
        .where(
            table.c.instance_id == bindparam("instance_id"),
            table.c.collected_date < _BEFORE,
            goes,
        )
        .order_by(table.c.collected_date)
        .limit(bindparam("most"))
    )
    return delete(table).where(tuple_(*key).in_(old))


_SIZES: Final = database_size_stats.c
_KNOWN_NAME = case((_SIZES.size_bytes.is_not(None), _SIZES.database_name))
_OLD_SIZES = _count(database_size_stats, func.count(_KNOWN_NAME.distinct()))
_OLD_TOTALS = _count(instance_size_stats, literal(1))
_NEARER_SIZE = _nearer(database_size_stats, "instance_id", "database_name")
_SIZES_BATCH = _batch(database_size_stats, or_(_SIZES.size_bytes.is_(None), _NEARER_SIZE))
_TOTALS_BATCH = _batch(instance_size_stats, _nearer(instance_size_stats, "instance_id"))
_PRUNED: Final = capacity_retention.c.pruned_before
_PRUNE = update(capacity_retention).where(or_(_PRUNED.is_(None), _PRUNED < _BEFORE))
_HOLD = select(_PRUNED).with_for_update()  # SQLite has one writer at a time anyway


@frozen
class StoreRetention:
    _work: Work

    def prunable(self, before: date) -> Mapping[int, OldRows]:
        with self._work.read() as connection:
            sizes: dict[int, int] = dict(connection.execute(_OLD_SIZES, {"before": before}).all())
            totals: dict[int, int] = dict(connection.execute(_OLD_TOTALS, {"before": before}).all())
        owners = sorted(sizes.keys() | totals.keys())
        counts = {each: OldRows(sizes.get(each, 0), totals.get(each, 0)) for each in owners}
        return {owner: count for owner, count in counts.items() if count != OldRows()}

    def oldest_day(self) -> date | None:
        with self._work.read() as connection:
            days = [
                connection.execute(_first_day(table)).scalar()
                for table in (database_size_stats, instance_size_stats)
            ]
        return min((day for day in days if day is not None), default=None)

    def delete_batch(self, instance_id: int, before: date, most: int) -> OldRows:
        values = {"instance_id": instance_id, "before": before, "most": most}
        with self._work.write() as connection:
            connection.execute(_PRUNE.values(pruned_before=before), {"before": before})
            sizes = connection.execute(_SIZES_BATCH, values).rowcount
            return OldRows(sizes, connection.execute(_TOTALS_BATCH, values).rowcount)

    def pruned_before(self) -> date | None:
        with self._work.read() as connection:
            day: date | None = connection.execute(select(_PRUNED)).scalar_one()
        return day

    def hold(self) -> date | None:
        with self._work.write() as connection:
            day: date | None = connection.execute(_HOLD).scalar_one()
        return day
