"""Which rows a question about the history is about, at either level, as conditions."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Double,
    FromClause,
    Select,
    Table,
    cast,
    literal,
    select,
)

from capacity_adapters.store.rollups import span_of
from capacity_adapters.store.running import (
    OWNERS,
    RUNNING_DATABASES,
    RUNNING_INSTANCES,
    RUNNING_NAMED,
)
from capacity_adapters.store.statements import can_be_known
from capacity_adapters.store.tables import (
    database_size_aggregations,
    database_size_stats,
    instance_databases,
    instance_size_aggregations,
    instance_size_stats,
    instances,
)
from capacity_core.growth_reads import AggregateQuestion, InstanceLabel, Order
from capacity_core.periods import Period, start_of


@frozen
class Level:
    """What tells the two levels apart: their tables, what names a series, and their figures.

    `known` lists every series, `days` holds the days from which a running period is computed;
    `active` narrows `known` to those that still count.
    """

    table: Table
    days: Table
    known: FromClause
    series: tuple[str, ...]
    size_sum: str
    largest: str
    change: str
    percent: str
    active: tuple[ColumnElement[bool], ...] = ()


DATABASES: Final = Level(
    database_size_aggregations,
    database_size_stats,
    instance_databases,
    ("instance_id", "database_name"),
    "size_sum_bytes",
    "max_size_bytes",
    "size_change_bytes",
    "size_change_percent",
    (instance_databases.c.is_active,),
)
INSTANCES: Final = Level(
    instance_size_aggregations,
    instance_size_stats,
    select(instances.c.id.label("instance_id")).subquery("known"),
    ("instance_id",),
    "total_size_sum_bytes",
    "max_total_size_bytes",
    "total_size_change_bytes",
    "total_size_change_percent",
)


_LIVING: Final = select(instances.c.id, instances.c.name, instances.c.db_type).where(
    instances.c.deleted_at.is_(None)
)


@frozen
class Asked:
    """A question at one level, with the instances it is about: by id, so that plans fit them."""

    level: Level
    question: AggregateQuestion
    owners: Mapping[int, InstanceLabel]

    @classmethod
    def of(cls, connection: Connection, level: Level, question: AggregateQuestion) -> "Asked":
        name = question.database_name if level is DATABASES else None
        owners = {
            row.id: InstanceLabel(row.id, row.name, row.db_type)
            for row in connection.execute(_LIVING)
            if (not question.instance_ids or row.id in question.instance_ids)
            and (not question.db_types or row.db_type in question.db_types)
            and (name is None or can_be_known(name))
        }
        return cls(level, evolve(question, database_name=name), owners)

    @property
    def running(self) -> Period | None:
        """The period to compute."""
        running = self.question.running
        return running if running is not None and self.question.overlaps(running) else None

    @property
    def of_everybody(self) -> bool:
        question = self.question
        return not (question.instance_ids or question.db_types) and question.database_name is None

    def whose(self, rows: FromClause) -> list[ColumnElement[bool]]:
        """Narrow rows to the instances and the name that are asked for."""
        owner, name = rows.c.instance_id, self.question.database_name
        if self.of_everybody:
            removed = select(instances.c.id).where(instances.c.deleted_at.is_not(None))
            return [owner.not_in(removed)]
        named = [] if name is None else [rows.c.database_name == name]
        return [owner.in_(OWNERS), *named]

    def when(self, rows: FromClause) -> list[ColumnElement[bool]]:
        """Narrow kept rows to periods that are asked for and have ended."""
        kind, days, running = self.question.period_type, self.question.days, self.question.running
        wanted = [rows.c.period_type == kind]
        if days.start is not None:
            wanted.append(rows.c.period_start >= start_of(kind, days.start))
        if days.end is not None:
            wanted.append(rows.c.period_start <= days.end)
        if running is not None:
            wanted.append(rows.c.period_start < running.start)
        return wanted

    def kept(self) -> Select[Any]:
        """Select the keys of the kept rows."""
        table = self.level.table
        return select(*table.primary_key.columns).where(*self.when(table), *self.whose(table))

    def known(self) -> Select[Any]:
        """Select the keys of all series, whether there is anything about them or not."""
        known = self.level.known
        return select(*(known.c[name] for name in self.level.series)).where(*self.whose(known))

    def known_in(self, period: Period) -> Select[Any]:
        """Select the keys of the series that have a day in the period, found by their full key."""
        known, days = self.level.known, self.level.days
        size = [] if days is instance_size_stats else [days.c.size_bytes.is_not(None)]
        day = (
            select(literal(1))
            .where(
                *(days.c[name] == known.c[name] for name in self.level.series),
                days.c.collected_date.between(period.start, period.end),
                *size,
            )
            .limit(1)
            .scalar_subquery()
        )
        return self.known().where(day.is_not(None))

    def computed(self, connection: Connection) -> CTE:
        """All aggregates of the running period, as a table."""
        named = self.question.database_name is not None
        return _COMPUTED[self.level.series, named][connection.dialect.name]

    @property
    def values(self) -> dict[str, object]:
        """Fill the parameters of every statement that is made here."""
        name, running = self.question.database_name, self.running
        span = {} if running is None else span_of(running)
        return {"owners": list(self.owners), "database_name": name, **span}


_COMPUTED: Final[Mapping[tuple[tuple[str, ...], bool], Mapping[str, CTE]]] = {
    (DATABASES.series, False): RUNNING_DATABASES,
    (DATABASES.series, True): RUNNING_NAMED,
    (INSTANCES.series, False): RUNNING_INSTANCES,
}


def ordering(rows: FromClause, level: Level, order: Order) -> list[ColumnElement[Any]]:
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
