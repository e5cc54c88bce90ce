"""The questions about the history, answered page by page without a lasting transaction."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import AttrsInstance, fields, frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    FromClause,
    RowMapping,
    Select,
    Table,
    and_,
    bindparam,
    case,
    cast,
    distinct,
    func,
    select,
)

from capacity_adapters.store.statements import can_be_known
from capacity_adapters.store.tables import (
    Id,
    database_size_aggregations,
    instance_size_aggregations,
    instances,
)
from capacity_adapters.store.work import Work
from capacity_core.growth_reads import (
    AggregateQuestion,
    DatabaseGrowth,
    GrowthSummary,
    InstanceGrowth,
    InstanceLabel,
    Order,
    Slice,
)
from capacity_core.periods import Period, PeriodType, start_of
from capacity_core.rollup import DatabaseAggregate, InstanceAggregate

Owners = Callable[[ColumnElement[int]], ColumnElement[bool]]
_HALF: Final = 2**32


@frozen
class _Level:
    """What tells the two levels apart: their table, what names a series, and their figures."""

    table: Table
    series: tuple[str, ...]
    size_sum: str
    largest: str
    change: str
    percent: str


_DATABASES: Final = _Level(
    database_size_aggregations,
    ("instance_id", "database_name"),
    "size_sum_bytes",
    "max_size_bytes",
    "size_change_bytes",
    "size_change_percent",
)
_INSTANCES: Final = _Level(
    instance_size_aggregations,
    ("instance_id",),
    "total_size_sum_bytes",
    "max_total_size_bytes",
    "total_size_change_bytes",
    "total_size_change_percent",
)


@frozen
class StoreGrowth:
    _work: Work

    def database_growth(self, question: AggregateQuestion) -> Slice[DatabaseGrowth]:
        rows, has_next, total = self._page(_DATABASES, question)
        told = tuple(_database_growth(row, question) for row in rows)
        return Slice(told, has_next, total, question.paging)

    def instance_growth(self, question: AggregateQuestion) -> Slice[InstanceGrowth]:
        rows, has_next, total = self._page(_INSTANCES, question)
        told = tuple(_instance_growth(row, question) for row in rows)
        return Slice(told, has_next, total, question.paging)

    def database_summary(self, question: AggregateQuestion) -> GrowthSummary:
        return self._summary(_DATABASES, question)

    def instance_summary(self, question: AggregateQuestion) -> GrowthSummary:
        return self._summary(_INSTANCES, question)

    def _page(
        self, level: _Level, question: AggregateQuestion
    ) -> tuple[Sequence[RowMapping], bool, int | None]:
        paging = question.paging
        if not _can_be_answered(question):
            return [], False, 0 if question.count else None
        with self._work.read() as connection:
            kept = _kept(level, question, _owners(connection, question))
            page = _page_of(kept, level, question.order, paging.limit + 1, paging.offset)
            rows = connection.execute(page).mappings().all()
            total = connection.scalar(_count_of(kept)) if question.count else None
        return rows[: paging.limit], len(rows) > paging.limit, total

    def _summary(self, level: _Level, question: AggregateQuestion) -> GrowthSummary:
        if not _can_be_answered(question):
            return GrowthSummary(0, 0, 0, None, None, 0)
        with self._work.read() as connection:
            kept = _kept(level, question, _owners(connection, question))
            found = connection.execute(_figures_of(_latest(kept, level), level)).one()
        series, instance_count, high, low, largest, changes, change_high, change_low = found
        return GrowthSummary(
            series_count=series,
            instance_count=instance_count,
            total_size_bytes=int(high or 0) * _HALF + int(low or 0),
            max_size_bytes=largest,
            change_bytes=int(change_high) * _HALF + int(change_low) if changes else None,
            unknown_changes=series - changes,
        )


def _can_be_answered(question: AggregateQuestion) -> bool:
    return question.database_name is None or can_be_known(question.database_name)


def _owners(connection: Connection, question: AggregateQuestion) -> Owners:
    """Say which instances the question is about: by id, so that plans are made for as many."""
    if not question.instance_ids and not question.db_types:
        removed = select(instances.c.id).where(instances.c.deleted_at.is_not(None))
        return lambda instance_id: instance_id.not_in(removed)
    living = select(instances.c.id, instances.c.db_type).where(instances.c.deleted_at.is_(None))
    ids = [
        row.id
        for row in connection.execute(living)
        if (not question.instance_ids or row.id in question.instance_ids)
        and (not question.db_types or row.db_type in question.db_types)
    ]
    chosen = bindparam("owners", ids, Id, expanding=True, literal_execute=True)
    return lambda instance_id: instance_id.in_(chosen)


def _kept(level: _Level, question: AggregateQuestion, owners: Owners) -> Select[Any]:
    """Select the keys of kept rows: those of a period that still runs are no answer."""
    kept, days, running = level.table.c, question.days, question.running
    keys = select(*level.table.primary_key.columns).where(
        kept.period_type == question.period_type, owners(kept.instance_id)
    )
    if level is _DATABASES and question.database_name is not None:
        keys = keys.where(kept.database_name == question.database_name)
    if days.start is not None:
        keys = keys.where(kept.period_start >= start_of(question.period_type, days.start))
    if days.end is not None:
        keys = keys.where(kept.period_start <= days.end)
    return keys if running is None else keys.where(kept.period_start < running.start)


def _page_of(
    keys: Select[Any], level: _Level, order: Order, limit: int, offset: int
) -> Select[Any]:
    """Find the keys of the page first, most of them in an index alone, then their rows."""
    page = (
        keys.order_by(*_ordering(level.table, level, order)).limit(limit).offset(offset).subquery()
    )
    same = and_(*(level.table.c[key.name] == key for key in page.c))
    return (
        select(level.table, instances.c.name, instances.c.db_type)
        .join_from(page, level.table, same)
        .join(instances, instances.c.id == level.table.c.instance_id)
        .order_by(*_ordering(level.table, level, order))
    )


def _count_of(keys: Select[Any]) -> Select[int]:
    return select(func.count()).select_from(keys.subquery())


def _ordering(rows: FromClause, level: _Level, order: Order) -> list[ColumnElement[Any]]:
    series = [rows.c[name] for name in level.series]
    newest = rows.c.period_start.desc()
    if order is Order.NEWEST:
        return [newest, *series]
    value = {
        Order.SIZE: cast(rows.c[level.size_sum], Double) / rows.c.data_count,
        Order.GROWTH: rows.c[level.change],
        Order.PERCENT: rows.c[level.percent],
    }[order]
    return [value.desc().nulls_last(), *series, newest]


def _latest(keys: Select[Any], level: _Level) -> FromClause:
    """The last row of every series."""
    kept = keys.subquery()
    series = [kept.c[name] for name in level.series]
    latest = (
        select(*series, func.max(kept.c.period_start).label("period_start"), kept.c.period_type)
        .group_by(*series, kept.c.period_type)
        .subquery()
    )
    same = and_(*(level.table.c[key.name] == key for key in latest.c))
    return select(level.table).join_from(latest, level.table, same).subquery()


def _figures_of(rows: FromClause, level: _Level) -> Select[*tuple[Any, ...]]:
    """Add up whole averages and changes in halves of 32 bits: SQLite's sum() fails beyond 64."""
    total, count, change = rows.c[level.size_sum], rows.c.data_count, rows.c[level.change]
    average = total // count + case((total % count * 2 >= count, 1), else_=0)
    return select(
        func.count(),
        func.count(distinct(rows.c.instance_id)),
        func.sum(average // _HALF),
        func.sum(average % _HALF),
        func.max(rows.c[level.largest]),
        func.count(change),
        func.sum(change // _HALF),
        func.sum(change % _HALF),
    )


def _database_growth(row: RowMapping, question: AggregateQuestion) -> DatabaseGrowth:
    period = _period(row)
    running = period.is_running(question.today)
    aggregate = DatabaseAggregate(**_values(row, DatabaseAggregate))
    return DatabaseGrowth(_label(row), row["database_name"], period, aggregate, running)


def _instance_growth(row: RowMapping, question: AggregateQuestion) -> InstanceGrowth:
    period = _period(row)
    running = period.is_running(question.today)
    aggregate = InstanceAggregate(**_values(row, InstanceAggregate))
    return InstanceGrowth(_label(row), period, aggregate, running)


def _label(row: RowMapping) -> InstanceLabel:
    return InstanceLabel(row["instance_id"], row["name"], row["db_type"])


def _period(row: RowMapping) -> Period:
    return Period(PeriodType(row["period_type"]), row["period_start"], row["period_end"])


def _values(row: RowMapping, kind: type[AttrsInstance]) -> dict[str, Any]:
    """Columns have the names of the aggregate's attributes."""
    return {field.name: row[field.name] for field in fields(kind)}
