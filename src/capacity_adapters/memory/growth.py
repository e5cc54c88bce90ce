"""The questions about the history, answered from memory."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from attrs import frozen

from capacity_adapters.memory.aggregator import database_over, instance_over
from capacity_adapters.memory.rows import State, Work
from capacity_core.growth_reads import (
    AggregateQuestion,
    DatabaseGrowth,
    GrowthSummary,
    InstanceGrowth,
    InstanceLabel,
    Order,
    Slice,
)
from capacity_core.periods import Period
from capacity_core.rollup import DatabaseAggregate, InstanceAggregate, whole_average

Growth = TypeVar("Growth", DatabaseGrowth, InstanceGrowth)


@frozen
class _Figures:
    """What both levels are ordered by and added up from."""

    size_sum: int
    count: int
    largest: int
    change: int | None
    percent: float | None


@frozen
class MemoryGrowth:
    _work: Work

    def database_growth(self, question: AggregateQuestion) -> Slice[DatabaseGrowth]:
        return _slice(_databases(self._work.read(), question), question)

    def instance_growth(self, question: AggregateQuestion) -> Slice[InstanceGrowth]:
        return _slice(_instances(self._work.read(), question), question)

    def database_summary(self, question: AggregateQuestion) -> GrowthSummary:
        state = self._work.read()
        return _summary([row for row in _databases(state, question) if _is_active(state, row)])

    def instance_summary(self, question: AggregateQuestion) -> GrowthSummary:
        return _summary(_instances(self._work.read(), question))


def _databases(state: State, question: AggregateQuestion) -> list[DatabaseGrowth]:
    chosen, running = _labels(state, question), question.running
    found = {key: row for key, row in state.database_aggregates.items() if _kept(question, key[-1])}
    if running is not None and question.overlaps(running):
        for owner, name in state.sizes:
            computed = database_over(state, owner, name, running)
            if computed is not None:
                found[owner, name, running] = computed
    return [
        DatabaseGrowth(chosen[owner], name, period, row, period.is_running(question.today))
        for (owner, name, period), row in found.items()
        if owner in chosen and question.database_name in {None, name}
    ]


def _instances(state: State, question: AggregateQuestion) -> list[InstanceGrowth]:
    chosen, running = _labels(state, question), question.running
    found = {key: row for key, row in state.instance_aggregates.items() if _kept(question, key[-1])}
    if running is not None and question.overlaps(running):
        for owner in state.totals:
            computed = instance_over(state, owner, running)
            if computed is not None:
                found[owner, running] = computed
    return [
        InstanceGrowth(chosen[owner], period, row, period.is_running(question.today))
        for (owner, period), row in found.items()
        if owner in chosen
    ]


def _labels(state: State, question: AggregateQuestion) -> Mapping[int, InstanceLabel]:
    return {
        each.id: InstanceLabel(each.id, each.name, each.db_type)
        for each in state.instances.values()
        if each.deleted_at is None
        and (not question.instance_ids or each.id in question.instance_ids)
        and (not question.db_types or each.db_type in question.db_types)
    }


def _kept(question: AggregateQuestion, period: Period) -> bool:
    """Say whether a kept row answers: one of a period that still runs never does."""
    running = question.running
    ended = running is None or period.start < running.start
    return period.type is question.period_type and question.overlaps(period) and ended


def _slice(rows: list[Growth], question: AggregateQuestion) -> Slice[Growth]:
    paging = question.paging
    ordered = sorted(rows, key=partial(_place, order=question.order))
    end = paging.offset + paging.limit
    total = len(rows) if question.count else None
    return Slice(tuple(ordered[paging.offset : end]), len(rows) > end, total, paging)


def _place(row: DatabaseGrowth | InstanceGrowth, order: Order) -> tuple[object, ...]:
    name = row.database_name if isinstance(row, DatabaseGrowth) else ""
    newest, by_name = -row.period.start.toordinal(), (row.instance.id, name)
    if order is Order.NEWEST:
        return (newest, *by_name)
    value = _VALUES[order](_figures(row.aggregate))
    return (value is None, -(value or 0), *by_name, newest)


_VALUES: Final[Mapping[Order, Callable[[_Figures], float | None]]] = {
    Order.SIZE: lambda figures: float(figures.size_sum) / figures.count,
    Order.GROWTH: lambda figures: figures.change,
    Order.PERCENT: lambda figures: figures.percent,
}


def _summary(rows: Sequence[DatabaseGrowth | InstanceGrowth]) -> GrowthSummary:
    latest = {
        (row.instance.id, row.database_name if isinstance(row, DatabaseGrowth) else None): row
        for row in sorted(rows, key=lambda row: row.period.start)
    }
    figures = [_figures(row.aggregate) for row in latest.values()]
    changes = [each.change for each in figures if each.change is not None]
    starts = [row.period.start for row in latest.values()]
    return GrowthSummary(
        series_count=len(figures),
        instance_count=len({owner for owner, _ in latest}),
        total_size_bytes=sum(whole_average(each.size_sum, each.count) for each in figures),
        max_size_bytes=max((each.largest for each in figures), default=None),
        change_bytes=sum(changes) if changes else None,
        unknown_changes=len(figures) - len(changes),
        oldest_start=min(starts, default=None),
        newest_start=max(starts, default=None),
    )


def _is_active(state: State, row: DatabaseGrowth) -> bool:
    known = state.databases.get(row.instance.id, {}).get(row.database_name)
    return known is not None and known.is_active


def _figures(row: DatabaseAggregate | InstanceAggregate) -> _Figures:
    if isinstance(row, DatabaseAggregate):
        return _Figures(
            row.size_sum_bytes,
            row.data_count,
            row.max_size_bytes,
            row.size_change_bytes,
            row.size_change_percent,
        )
    return _Figures(
        row.total_size_sum_bytes,
        row.data_count,
        row.max_total_size_bytes,
        row.total_size_change_bytes,
        row.total_size_change_percent,
    )
