"""The questions of lists and pages, answered without a lasting transaction."""

from datetime import date
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, FromClause, Row, Select, and_, false, func, select

from capacity_adapters.store.statements import can_be_known, sought
from capacity_adapters.store.tables import (
    database_size_stats,
    instance_databases,
    instance_size_stats,
)
from capacity_adapters.store.work import Work
from capacity_core.reads import DatabaseRow, DateRange, InstanceDay, Page, Paging, SizeRow

_STATS = database_size_stats.c
_SIZE_COLUMNS = (
    _STATS.database_name,
    _STATS.collected_date,
    _STATS.size_bytes,
    _STATS.data_size_bytes,
    _STATS.log_size_bytes,
    _STATS.method,
    _STATS.collected_at,
    _STATS.last_outcome,
    _STATS.last_attempt_at,
    _STATS.used_size_bytes,
    _STATS.ceiling_bytes,
    _STATS.freshness,
    _STATS.duration_ms,
    _STATS.identity,
)


def _method_changed(row: FromClause) -> ColumnElement[bool]:
    """Compare with the latest earlier day that has a size, found by its full key."""
    earlier = database_size_stats.alias("earlier")
    before = (
        select(earlier.c.method)
        .where(
            earlier.c.instance_id == row.c.instance_id,
            earlier.c.database_name == row.c.database_name,
            earlier.c.collected_date < row.c.collected_date,
            earlier.c.size_bytes.is_not(None),
        )
        .order_by(earlier.c.collected_date.desc())
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(row.c.method != before, false()).label("method_changed")


def _size_columns(row: FromClause) -> list[ColumnElement[Any]]:
    return [*(row.c[column.name] for column in _SIZE_COLUMNS), _method_changed(row)]


_WIDTH = len(_SIZE_COLUMNS) + 1
_SIZES = select(*_size_columns(database_size_stats))
_DAYS = instance_size_stats.c
_DAY = select(
    _DAYS.collected_date,
    _DAYS.total_size_bytes,
    _DAYS.carried_size_bytes,
    _DAYS.measured_count,
    _DAYS.active_count,
    _DAYS.collected_at,
)


@frozen
class StoreReads:
    _work: Work

    def databases(self, instance_id: int, paging: Paging) -> Page[DatabaseRow]:
        wanted = instance_databases.c.instance_id == sought(instance_id)
        count = select(func.count()).select_from(instance_databases).where(wanted)
        with self._work.read() as connection:
            total = connection.execute(count).scalar_one()
            rows = connection.execute(_databases(sought(instance_id), paging)).all()
        return Page(tuple(map(_database_row, rows)), total, paging)

    def history(
        self, instance_id: int, database_name: str, days: DateRange, paging: Paging
    ) -> Page[SizeRow]:
        if not can_be_known(database_name):
            return Page((), 0, paging)
        wanted = [_STATS.instance_id == sought(instance_id), _STATS.database_name == database_name]
        if days.start is not None:
            wanted.append(_STATS.collected_date >= days.start)
        if days.end is not None:
            wanted.append(_STATS.collected_date <= days.end)
        count = select(func.count()).select_from(database_size_stats).where(*wanted)
        newest_first = _SIZES.where(*wanted).order_by(_STATS.collected_date.desc())
        with self._work.read() as connection:
            total = connection.execute(count).scalar_one()
            rows = connection.execute(newest_first.limit(paging.limit).offset(paging.offset)).all()
        return Page(tuple(SizeRow(*row) for row in rows), total, paging)

    def sizes_on(self, instance_id: int, day: date | None) -> list[SizeRow]:
        of_instance = _STATS.instance_id == sought(instance_id)
        latest = select(func.max(_STATS.collected_date)).where(of_instance).scalar_subquery()
        on_day = _STATS.collected_date == (latest if day is None else day)
        largest_first = _SIZES.where(of_instance, on_day).order_by(
            _STATS.size_bytes.desc().nulls_last(), _STATS.database_name
        )
        with self._work.read() as connection:
            return [SizeRow(*row) for row in connection.execute(largest_first)]

    def instance_day(self, instance_id: int, day: date) -> InstanceDay | None:
        wanted = _DAY.where(_DAYS.instance_id == sought(instance_id), _DAYS.collected_date == day)
        with self._work.read() as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else InstanceDay(*row)

    def instance_days(self, instance_id: int, paging: Paging) -> Page[InstanceDay]:
        wanted = _DAYS.instance_id == sought(instance_id)
        count = select(func.count()).select_from(instance_size_stats).where(wanted)
        newest_first = _DAY.where(wanted).order_by(_DAYS.collected_date.desc())
        with self._work.read() as connection:
            total = connection.execute(count).scalar_one()
            rows = connection.execute(newest_first.limit(paging.limit).offset(paging.offset)).all()
        return Page(tuple(InstanceDay(*row) for row in rows), total, paging)


def _databases(instance_id: int, paging: Paging) -> Select[Any]:
    """Find one page first, then each row's two days by their full key."""
    known = instance_databases.c
    stats = database_size_stats.alias("days")
    days = (
        select(stats.c.collected_date)
        .where(
            stats.c.instance_id == known.instance_id, stats.c.database_name == known.database_name
        )
        .order_by(stats.c.collected_date.desc())
        .limit(1)
    )
    page = (
        select(
            known.database_name,
            known.is_active,
            known.is_system,
            known.first_seen_date,
            known.last_seen_date,
            known.deleted_at,
            days.where(stats.c.size_bytes.is_not(None)).scalar_subquery().label("size_day"),
            days.scalar_subquery().label("latest_day"),
        )
        .where(known.instance_id == instance_id)
        .order_by(known.is_active.desc(), known.database_name)
        .limit(paging.limit)
        .offset(paging.offset)
        .cte("page")
    )
    size, latest = database_size_stats.alias("size"), database_size_stats.alias("latest")

    def on(table: Any, day: Any) -> Any:
        return and_(
            table.c.instance_id == instance_id,
            table.c.database_name == page.c.database_name,
            table.c.collected_date == day,
        )

    return (
        select(
            page.c.database_name,
            page.c.is_active,
            page.c.is_system,
            page.c.first_seen_date,
            page.c.last_seen_date,
            page.c.deleted_at,
            *_size_columns(size),
            *_size_columns(latest),
        )
        .select_from(page)
        .outerjoin(size, on(size, page.c.size_day))
        .outerjoin(latest, on(latest, page.c.latest_day))
        .order_by(page.c.is_active.desc(), page.c.database_name)
    )


def _database_row(row: Row[*tuple[Any, ...]]) -> DatabaseRow:
    place, size, latest = row[: -2 * _WIDTH], row[-2 * _WIDTH : -_WIDTH], row[-_WIDTH:]
    return DatabaseRow(
        database_name=place[0],
        is_active=place[1],
        is_system=place[2],
        first_seen_date=place[3],
        last_seen_date=place[4],
        deleted_at=place[5],
        size=_size_row(size),
        latest=_size_row(latest),
    )


def _size_row(values: Any) -> SizeRow | None:
    return None if values[0] is None else SizeRow(*values)
