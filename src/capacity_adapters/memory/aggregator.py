"""The aggregates of databases and instances, in memory."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from attrs import frozen

from capacity_adapters.memory.rows import State, Work, latest_size
from capacity_core.periods import Period, PeriodType, period_of
from capacity_core.reads import AggregateLevel, InstanceDay, SizeRow
from capacity_core.rollup import (
    DatabaseAggregate,
    InstanceAggregate,
    changed_method,
    database_aggregate,
    instance_aggregate,
)

_ONE_DAY: Final = timedelta(days=1)


@frozen
class MemoryAggregator:
    _work: Work

    def calculate_daily_database_aggregations_for_instance(
        self, instance_id: int, day: date
    ) -> None:
        self.aggregate_databases(period_of(PeriodType.DAILY, day), instance_id)

    def calculate_daily_aggregations_for_instance(self, instance_id: int, day: date) -> None:
        self.aggregate_instances(period_of(PeriodType.DAILY, day), instance_id)

    def aggregate_databases(self, period: Period, instance_id: int | None = None) -> None:
        state = self._work.write()
        for owner, name in _series(state, instance_id):
            found = database_over(state, owner, name, period)
            if found is not None:
                state.database_aggregates[owner, name, period] = found

    def aggregate_instances(self, period: Period, instance_id: int | None = None) -> None:
        state = self._work.write()
        for owner in _living(state, instance_id):
            found = instance_over(state, owner, period)
            if found is not None:
                state.instance_aggregates[owner, period] = found

    def aggregated(
        self, level: AggregateLevel, period: Period, instance_id: int | None = None
    ) -> Mapping[int, int]:
        state = self._work.read()
        kept = (
            [owner for owner, _, of in state.database_aggregates if of == period]
            if level is AggregateLevel.DATABASE
            else [owner for owner, of in state.instance_aggregates if of == period]
        )
        wanted = [owner for owner in kept if instance_id in {None, owner}]
        return {owner: wanted.count(owner) for owner in set(wanted)}

    def days_against(self, day: date, instance_id: int | None = None) -> Sequence[date]:
        state = self._work.read()
        baselines = [
            *(
                (key[0], key[-1], row.baseline_date)
                for key, row in state.database_aggregates.items()
            ),
            *(
                (key[0], key[-1], row.baseline_date)
                for key, row in state.instance_aggregates.items()
            ),
        ]
        return sorted(
            {
                period.start
                for owner, period, baseline in baselines
                if instance_id in {None, owner}
                and period.type is PeriodType.DAILY
                and period.start > day
                and (baseline is None or baseline <= day)
            }
        )


def database_over(state: State, owner: int, name: str, period: Period) -> DatabaseAggregate | None:
    rows = state.sizes[owner, name]
    return database_aggregate(period, _sizes_in(rows, period), _before(rows, period))


def instance_over(state: State, owner: int, period: Period) -> InstanceAggregate | None:
    days = state.totals.get(owner, {})
    baseline = _days_before(days, period)
    broken = _is_break(state, owner, period, baseline)
    return instance_aggregate(period, _days_in(days, period), baseline, is_break=broken)


def _living(state: State, instance_id: int | None) -> list[int]:
    """The instance asked for, else all that are followed."""
    if instance_id is not None:
        return [instance_id]
    return [
        each.id for each in state.instances.values() if each.is_active and each.deleted_at is None
    ]


def _series(state: State, instance_id: int | None) -> list[tuple[int, str]]:
    owners = set(_living(state, instance_id))
    return [key for key in state.sizes if key[0] in owners]


def _sizes_in(rows: Mapping[date, SizeRow], period: Period) -> list[SizeRow]:
    return [
        row
        for day, row in sorted(rows.items())
        if period.start <= day <= period.end and row.size_bytes is not None
    ]


def _before(rows: Mapping[date, SizeRow], period: Period) -> list[SizeRow]:
    if period.type is not PeriodType.DAILY:
        return _sizes_in(rows, period.previous)
    last = latest_size(rows, period.start)
    return [] if last is None else [last]


def _days_in(days: Mapping[date, InstanceDay], period: Period) -> list[InstanceDay]:
    return [row for day, row in sorted(days.items()) if period.start <= day <= period.end]


def _days_before(days: Mapping[date, InstanceDay], period: Period) -> list[InstanceDay]:
    if period.type is not PeriodType.DAILY:
        return _days_in(days, period.previous)
    earlier = [day for day in days if day < period.start]
    return [days[max(earlier)]] if earlier else []


def _is_break(state: State, owner: int, period: Period, baseline: list[InstanceDay]) -> bool:
    if period.type is PeriodType.DAILY:
        return bool(baseline) and _is_daily_break(
            state, owner, period.start, baseline[0].collected_date
        )
    span = Period(period.type, period.previous.start, period.end)
    return _has_broken_day(state, owner, span) or any(
        changed_method(_sizes_in(rows, span))
        for (of, _), rows in state.sizes.items()
        if of == owner and _sizes_in(rows, period)
    )


def _has_broken_day(state: State, instance_id: int, span: Period) -> bool:
    """Say whether a day compares with another of the span and cannot, as when one was carried."""
    return any(
        row.is_break and row.baseline_date is not None and row.baseline_date >= span.start
        for (owner, day), row in state.instance_aggregates.items()
        if owner == instance_id and day.type is PeriodType.DAILY and day.start <= span.end
    )


def _is_daily_break(state: State, instance_id: int, day: date, baseline: date) -> bool:
    known = state.databases.get(instance_id, {})
    since = Period(PeriodType.DAILY, baseline + _ONE_DAY, day)
    for (owner, name), rows in state.sizes.items():
        found = _sizes_in(rows, since)
        if owner != instance_id or not found:
            continue
        before = latest_size(rows, baseline + _ONE_DAY)
        if before is not None:
            if changed_method([before, *found]):
                return True
        elif name in known and known[name].first_seen_date <= baseline:
            return True
    return False
