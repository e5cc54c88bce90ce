"""The questions about the history, answered without a lasting transaction.

Weeks, months and quarters that still run are computed: those of a page only where newest come
first, all of them where they are sorted by size or growth, or added up.
"""

from typing import Any, Final

from attrs import AttrsInstance, fields, frozen
from sqlalchemy import (
    FromClause,
    Row,
    Select,
    and_,
    case,
    distinct,
    exists,
    func,
    literal,
    select,
    union_all,
)

from capacity_adapters.store.growth_pages import count_of, page_of
from capacity_adapters.store.growth_rows import DATABASES, INSTANCES, Asked, Level
from capacity_adapters.store.work import Work
from capacity_core.growth_reads import (
    AggregateQuestion,
    DatabaseGrowth,
    GrowthSummary,
    InstanceGrowth,
    InstanceLabel,
    Slice,
)
from capacity_core.periods import Period, PeriodType
from capacity_core.rollup import DatabaseAggregate, InstanceAggregate

_HALF: Final = 2**32
Labelled = tuple[InstanceLabel, Row[Any]]


@frozen
class StoreGrowth:
    _work: Work

    def database_growth(self, question: AggregateQuestion) -> Slice[DatabaseGrowth]:
        page = self._page(DATABASES, question)
        rows = tuple(_database_growth(label, row, question) for label, row in page.rows)
        return Slice(rows, page.has_next, page.total, page.paging)

    def instance_growth(self, question: AggregateQuestion) -> Slice[InstanceGrowth]:
        page = self._page(INSTANCES, question)
        rows = tuple(_instance_growth(label, row, question) for label, row in page.rows)
        return Slice(rows, page.has_next, page.total, page.paging)

    def database_summary(self, question: AggregateQuestion) -> GrowthSummary:
        return self._summary(DATABASES, question)

    def instance_summary(self, question: AggregateQuestion) -> GrowthSummary:
        return self._summary(INSTANCES, question)

    def _page(self, level: Level, question: AggregateQuestion) -> Slice[Labelled]:
        with self._work.read() as connection:
            asked = Asked.of(connection, level, question)
            if not asked.owners:
                total = 0 if question.count else None
                return Slice((), has_next=False, total=total, paging=question.paging)
            rows, has_next = page_of(connection, asked)
            total = count_of(connection, asked) if question.count else None
        told = [(asked.owners.get(row.instance_id), row) for row in rows]
        # One registered this moment has no label yet.
        labelled = tuple((label, row) for label, row in told if label is not None)
        return Slice(labelled, has_next, total, question.paging)

    def _summary(self, level: Level, question: AggregateQuestion) -> GrowthSummary:
        with self._work.read() as connection:
            asked = Asked.of(connection, level, question)
            if not asked.owners:
                return GrowthSummary(0, 0, 0, None, None, 0)
            computed = None if asked.running is None else asked.computed(connection)
            summary = _figures_of(_latest(asked, computed).subquery(), level)
            found = connection.execute(summary, asked.values).one()
        series, owners, high, low, largest, changes, change_high, change_low, *starts = found
        return GrowthSummary(
            series_count=series,
            instance_count=owners,
            total_size_bytes=int(high or 0) * _HALF + int(low or 0),
            max_size_bytes=largest,
            change_bytes=int(change_high) * _HALF + int(change_low) if changes else None,
            unknown_changes=series - changes,
            oldest_start=starts[0],
            newest_start=starts[1],
        )


def _latest(asked: Asked, computed: FromClause | None) -> Any:
    """Select the last row of every active series: the computed one, else the last that was kept."""
    level, table = asked.level, asked.level.table
    known = asked.known().where(*level.active).subquery()
    start = (
        select(table.c.period_start)
        .where(*asked.when(table), *(table.c[key.name] == key for key in known.c))
        .order_by(table.c.period_start.desc())
        .limit(1)
        .correlate(known)
        .scalar_subquery()
    )
    series = select(known, start.label("period_start"))
    if computed is not None:
        same = and_(*(computed.c[name] == known.c[name] for name in level.series))
        series = series.where(~exists(select(literal(1)).where(same).correlate(known)))
    last = series.subquery()
    kept = select(*_figures(table, level)).join_from(
        last,
        table,
        and_(
            table.c.period_type == asked.question.period_type,
            *(table.c[key.name] == key for key in last.c),
        ),
    )
    if computed is None:
        return kept
    active = and_(*(computed.c[name] == known.c[name] for name in level.series))
    running = select(*_figures(computed, level)).join_from(computed, known, active)
    return union_all(running, kept)


def _figures(rows: FromClause, level: Level) -> list[Any]:
    figures = (level.size_sum, level.largest, level.change)
    names = ("instance_id", "period_start", "data_count", *figures)
    return [rows.c[name] for name in names]


def _figures_of(rows: FromClause, level: Level) -> Select[*tuple[Any, ...]]:
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
        func.min(rows.c.period_start),
        func.max(rows.c.period_start),
    )


def _database_growth(
    label: InstanceLabel, row: Row[Any], question: AggregateQuestion
) -> DatabaseGrowth:
    period = _period(row)
    aggregate = DatabaseAggregate(**_values(row, DatabaseAggregate))
    running = period.is_running(question.today)
    return DatabaseGrowth(label, row.database_name, period, aggregate, running)


def _instance_growth(
    label: InstanceLabel, row: Row[Any], question: AggregateQuestion
) -> InstanceGrowth:
    period = _period(row)
    aggregate = InstanceAggregate(**_values(row, InstanceAggregate))
    return InstanceGrowth(label, period, aggregate, period.is_running(question.today))


def _period(row: Row[Any]) -> Period:
    return Period(PeriodType(row.period_type), row.period_start, row.period_end)


def _values(row: Row[Any], kind: type[AttrsInstance]) -> dict[str, Any]:
    """Columns have the names of the aggregate's attributes."""
    return {each.name: getattr(row, each.name) for each in fields(kind)}
