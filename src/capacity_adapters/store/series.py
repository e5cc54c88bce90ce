"""What a forecast is made of, as rows."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Final

from attrs import frozen
from sqlalchemy import and_, bindparam, delete, select, union

from capacity_adapters.store.statements import can_be_known, portable, sought, statement_for
from capacity_adapters.store.tables import (
    capacity_limits,
    database_size_aggregations,
    database_size_stats,
    instance_databases,
    instance_size_aggregations,
    instance_size_stats,
)
from capacity_adapters.store.work import Work
from capacity_core.errors import NotFoundError
from capacity_core.growth_reads import SeriesDay, TotalDay, totals_of
from capacity_core.messages import text
from capacity_core.periods import PeriodType

_WHOLE: Final = ""  # the name that a limit of the instance itself is kept under

_STATS = database_size_stats.c
_KNOWN = instance_databases.c
_ACTIVE = and_(_KNOWN.instance_id == bindparam("instance_id"), _KNOWN.is_active)
_OF_KNOWN = and_(
    _STATS.instance_id == _KNOWN.instance_id, _STATS.database_name == _KNOWN.database_name
)
_SERIES = (
    select(
        _STATS.database_name,
        _STATS.collected_date,
        _STATS.size_bytes,
        _STATS.method,
        _STATS.identity,
    )
    .join_from(instance_databases, database_size_stats, _OF_KNOWN)
    .where(
        _ACTIVE,
        _KNOWN.database_name.in_(bindparam("names", expanding=True)),
        _STATS.collected_date >= bindparam("since"),
        _STATS.size_bytes.is_not(None),
    )
    .order_by(_STATS.database_name, _STATS.collected_date)
)

_DAYS = instance_size_stats.c
_DAILY = instance_size_aggregations.c
_TOTALS = (
    select(
        _DAYS.collected_date,
        _DAYS.total_size_bytes + _DAYS.carried_size_bytes,
        _DAILY.is_break,
        _DAYS.active_count,
    )
    .outerjoin_from(
        instance_size_stats,
        instance_size_aggregations,
        and_(
            _DAILY.instance_id == _DAYS.instance_id,
            _DAILY.period_type == PeriodType.DAILY,
            _DAILY.period_start == _DAYS.collected_date,
        ),
    )
    .where(
        _DAYS.instance_id == bindparam("instance_id"), _DAYS.collected_date >= bindparam("since")
    )
    .order_by(_DAYS.collected_date)
)

_OF_DATABASES = database_size_aggregations.c
_CHANGED = union(
    select(_OF_DATABASES.period_start).where(
        _OF_DATABASES.instance_id == bindparam("instance_id"),
        _OF_DATABASES.period_type == PeriodType.DAILY,
        _OF_DATABASES.period_start >= bindparam("since"),
        _OF_DATABASES.is_break,
    ),
    select(_KNOWN.first_seen_date).where(
        _KNOWN.instance_id == bindparam("instance_id"), _KNOWN.first_seen_date >= bindparam("since")
    ),
)

_LATEST = (
    select(_STATS.ceiling_bytes)
    .where(_OF_KNOWN, _STATS.size_bytes.is_not(None))
    .correlate(instance_databases)
    .order_by(_STATS.collected_date.desc())
    .limit(1)
    .scalar_subquery()
)
_CEILINGS = select(_KNOWN.database_name, _LATEST).where(_ACTIVE).order_by(_KNOWN.database_name)

_SET = portable(
    "INSERT INTO capacity_limits (instance_id, database_name, limit_bytes)"
    " VALUES (:instance_id, :database_name, :limit_bytes)"
    " ON CONFLICT (instance_id, database_name) DO UPDATE SET limit_bytes = excluded.limit_bytes"
)
_LIMITS = capacity_limits.c
_OF_INSTANCE = _LIMITS.instance_id == bindparam("instance_id")
_REMOVE = delete(capacity_limits).where(
    _OF_INSTANCE, _LIMITS.database_name == bindparam("database_name")
)
_ALL_LIMITS = (
    select(_LIMITS.database_name, _LIMITS.limit_bytes)
    .where(_OF_INSTANCE)
    .order_by(_LIMITS.database_name)
)


@frozen
class StoreSeries:
    _work: Work

    def database_series(
        self, instance_id: int, since: date, names: Collection[str]
    ) -> Mapping[str, Sequence[SeriesDay]]:
        values = {
            "instance_id": sought(instance_id),
            "since": since,
            "names": [name for name in names if can_be_known(name)],
        }
        with self._work.read() as connection:
            rows = connection.execute(_SERIES, values).all()
        return {
            name: [SeriesDay(*row[1:]) for row in days]
            for name, days in groupby(rows, key=itemgetter(0))
        }

    def instance_series(self, instance_id: int, since: date) -> Sequence[SeriesDay]:
        values = {"instance_id": sought(instance_id), "since": since}
        with self._work.read() as connection:
            rows = connection.execute(_TOTALS, values).all()
            changed = set(connection.execute(_CHANGED, values).scalars())
        return totals_of(
            TotalDay(day, total, active, is_break=bool(is_break), is_changed=day in changed)
            for day, total, is_break, active in rows
        )

    def engine_ceilings(self, instance_id: int) -> Mapping[str, int]:
        with self._work.read() as connection:
            rows = connection.execute(_CEILINGS, {"instance_id": sought(instance_id)}).all()
        return {name: ceiling for name, ceiling in rows if ceiling is not None}


@frozen
class StoreLimits:
    _work: Work

    def set(self, instance_id: int, database_name: str | None, limit_bytes: int) -> None:
        values = {
            "instance_id": instance_id,
            "database_name": database_name or _WHOLE,
            "limit_bytes": limit_bytes,
        }
        with self._work.write() as connection:
            connection.execute(statement_for(_SET, connection), values)

    def remove(self, instance_id: int, database_name: str | None) -> None:
        name = database_name or _WHOLE
        values = {"instance_id": sought(instance_id), "database_name": name}
        found = 0
        if can_be_known(name):
            with self._work.write() as connection:
                found = connection.execute(_REMOVE, values).rowcount
        if not found:
            raise NotFoundError(text("error.limit_missing"))

    def all(self, instance_id: int) -> Mapping[str | None, int]:
        with self._work.read() as connection:
            rows = connection.execute(_ALL_LIMITS, {"instance_id": sought(instance_id)}).all()
        return {name or None: limit for name, limit in rows}
