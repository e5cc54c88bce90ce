"""The aggregates of every period: one upsert a level and period, each in a savepoint."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from attrs import frozen
from sqlalchemy import Select, Table, bindparam, func, or_, select, union

from capacity_adapters.store.dailies import daily_databases, daily_instances
from capacity_adapters.store.rollups import (
    FOLLOWED,
    OF_THE_PERIOD,
    ONE,
    databases_select,
    instances_select,
    span_of,
)
from capacity_adapters.store.statements import Statement, portable, sought, statement_for
from capacity_adapters.store.tables import (
    database_size_aggregations,
    instance_size_aggregations,
    instances,
)
from capacity_adapters.store.work import Work
from capacity_core.periods import Period, PeriodType, period_of
from capacity_core.reads import AggregateLevel


def _upsert(table: Table, values: str) -> Statement:
    """Insert the columns of the table in their order; rows that say the same stay unwritten."""
    key = [column.name for column in table.primary_key]
    rest = [column.name for column in table.columns if column.name not in key]
    columns = ", ".join(column.name for column in table.columns)
    change = ", ".join(f"{name} = excluded.{name}" for name in rest)
    old = ", ".join(f"kept.{name}" for name in rest)
    new = ", ".join(f"excluded.{name}" for name in rest)
    return portable(
        f"INSERT INTO {table.name} AS kept ({columns})\n{values}\n"
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {change}\n"
        f"WHERE ({old}) {{differs}} ({new})"
    )


_ONE_DAY: Final = timedelta(days=1)


@frozen
class _Statements:
    """One level's statements, for one instance or for all that are followed."""

    day: Statement
    longer: Statement

    @classmethod
    def of_databases(cls, owner: str) -> "_Statements":
        source = f"database_size_stats AS stats WHERE {owner}"
        return cls(
            _upsert(database_size_aggregations, daily_databases(owner)),
            _upsert(database_size_aggregations, databases_select(source)),
        )

    @classmethod
    def of_instances(cls, owner: str) -> "_Statements":
        source = f"instance_size_stats AS stats WHERE {owner}"
        return cls(
            _upsert(instance_size_aggregations, daily_instances(owner)),
            _upsert(instance_size_aggregations, instances_select(source, OF_THE_PERIOD)),
        )


_DATABASES: Final = {owner: _Statements.of_databases(owner) for owner in (ONE, FOLLOWED)}
_INSTANCES: Final = {owner: _Statements.of_instances(owner) for owner in (ONE, FOLLOWED)}
_TABLES: Final = {
    AggregateLevel.DATABASE: database_size_aggregations,
    AggregateLevel.INSTANCE: instance_size_aggregations,
}


# A statement would write what it saw over what a sync has written since; a sync holds its instance
# from its first write on. All are held in the order of their ids: no two wait for each other.
_HELD: Final = select(instances.c.id).order_by(instances.c.id).with_for_update(key_share=True)
_ONE: Final = _HELD.where(instances.c.id == bindparam("instance_id"))
_FOLLOWED: Final = _HELD.where(instances.c.is_active, instances.c.deleted_at.is_(None))


@frozen
class StoreAggregator:
    _work: Work

    def calculate_daily_database_aggregations_for_instance(
        self, instance_id: int, day: date
    ) -> None:
        self._aggregate(_DATABASES, period_of(PeriodType.DAILY, day), instance_id)

    def calculate_daily_aggregations_for_instance(self, instance_id: int, day: date) -> None:
        self._aggregate(_INSTANCES, period_of(PeriodType.DAILY, day), instance_id)

    def aggregate_databases(self, period: Period, instance_id: int | None = None) -> None:
        self._aggregate(_DATABASES, period, instance_id, hold=True)

    def aggregate_instances(self, period: Period, instance_id: int | None = None) -> None:
        self._aggregate(_INSTANCES, period, instance_id, hold=True)

    def aggregated(
        self, level: AggregateLevel, period: Period, instance_id: int | None = None
    ) -> Mapping[int, int]:
        table = _TABLES[level]
        counted = (
            select(table.c.instance_id, func.count())
            .where(table.c.period_type == period.type, table.c.period_start == period.start)
            .group_by(table.c.instance_id)
        )
        if instance_id is not None:
            counted = counted.where(table.c.instance_id == sought(instance_id))
        with self._work.read() as connection:
            counts: dict[int, int] = dict(connection.execute(counted).all())
        return counts

    def days_against(self, day: date, instance_id: int | None = None) -> Sequence[date]:
        found = union(*(_days_against(table, day, instance_id) for table in _TABLES.values()))
        with self._work.read() as connection:
            return sorted(connection.scalars(found))

    def _aggregate(
        self,
        statements: Mapping[str, _Statements],
        period: Period,
        instance_id: int | None,
        *,
        hold: bool = False,
    ) -> None:
        chosen = statements[FOLLOWED if instance_id is None else ONE]
        owner = {} if instance_id is None else {"instance_id": sought(instance_id)}
        if period.type is PeriodType.DAILY:
            statement, span = chosen.day, _days_of(period)
        else:
            statement, span, hold = chosen.longer, span_of(period), False
        with self._work.savepoint() as connection:
            if hold:
                connection.execute(_ONE if owner else _FOLLOWED, owner).all()
            connection.execute(statement_for(statement, connection), {**owner, **span})


def _days_of(period: Period) -> dict[str, object]:
    return {"day": period.start, "yesterday": period.start - _ONE_DAY}


def _days_against(table: Table, day: date, instance_id: int | None) -> Select[tuple[date]]:
    columns = table.c
    found = select(columns.period_start).where(
        columns.period_type == PeriodType.DAILY,
        columns.period_start > day,
        or_(columns.baseline_date.is_(None), columns.baseline_date <= day),
    )
    return found if instance_id is None else found.where(columns.instance_id == sought(instance_id))
