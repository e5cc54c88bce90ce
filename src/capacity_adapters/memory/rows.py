"""What the memory store keeps, and the formulas of its daily aggregates."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, Protocol

from attrs import define, field, frozen

from capacity_core.access import ApiToken
from capacity_core.errors import NotFoundError
from capacity_core.messages import text
from capacity_core.model import Address, Instance, Secret
from capacity_core.reads import InstanceDay, Page, Paging, Row, SizeRow

GROWING_PERCENT: Final = 5.0

Bound = tuple[str, Address]


@frozen
class KnownDatabase:
    """A row of the inventory."""

    is_active: bool
    is_system: bool
    first_seen_date: date
    last_seen_date: date
    deleted_at: datetime | None = None


@frozen
class HeldLease:
    """Who syncs an instance; nobody if `owner` is None. `expires` is in seconds of the clock."""

    owner: str | None
    fencing: int
    since: datetime
    expires: float


@frozen(kw_only=True)
class DatabaseAggregate:
    """One database over one period; averages are sums and counts, unknown is None."""

    period_start: date
    period_end: date
    data_count: int
    size_sum_bytes: int
    max_size_bytes: int
    min_size_bytes: int
    data_size_count: int
    data_size_sum_bytes: int | None
    max_data_size_bytes: int | None
    min_data_size_bytes: int | None
    log_size_count: int
    log_size_sum_bytes: int | None
    max_log_size_bytes: int | None
    min_log_size_bytes: int | None
    baseline_date: date | None
    size_change_bytes: int | None
    data_size_change_bytes: int | None
    log_size_change_bytes: int | None
    size_change_percent: float | None
    data_size_change_percent: float | None
    log_size_change_percent: float | None
    growth_rate: float | None
    is_break: bool


@frozen(kw_only=True)
class InstanceAggregate:
    """One instance over one period; its size is what was measured plus what was carried."""

    period_start: date
    period_end: date
    data_count: int
    total_size_sum_bytes: int
    max_total_size_bytes: int
    min_total_size_bytes: int
    measured_count_sum: int
    active_count_sum: int
    max_active_count: int
    min_active_count: int
    baseline_date: date | None
    total_size_change_bytes: int | None
    total_size_change_percent: float | None
    active_count_change: int | None
    active_count_change_percent: float | None
    growth_rate: float | None
    trend_direction: str
    is_break: bool


def bound_to(instance: Instance) -> Bound:
    """Say what a password is kept for."""
    return instance.db_type, instance.address


@define
class State:
    """All that is kept. A draft shares the values, which are frozen or replaced, never changed."""

    instances: dict[int, Instance] = field(factory=dict)
    passwords: dict[int, tuple[Bound, Secret]] = field(factory=dict)
    tokens: dict[str, ApiToken] = field(factory=dict)
    leases: dict[int, HeldLease] = field(factory=dict)
    databases: dict[int, Mapping[str, KnownDatabase]] = field(factory=dict)
    sizes: dict[tuple[int, str], Mapping[date, SizeRow]] = field(factory=dict)
    totals: dict[int, Mapping[date, InstanceDay]] = field(factory=dict)
    database_aggregates: dict[tuple[int, str, date], DatabaseAggregate] = field(factory=dict)
    instance_aggregates: dict[tuple[int, date], InstanceAggregate] = field(factory=dict)

    def draft(self) -> "State":
        return State(
            dict(self.instances),
            dict(self.passwords),
            dict(self.tokens),
            dict(self.leases),
            dict(self.databases),
            dict(self.sizes),
            dict(self.totals),
            dict(self.database_aggregates),
            dict(self.instance_aggregates),
        )


class Work(Protocol):
    """What the parts of a unit of work see of it."""

    def read(self) -> State: ...

    def write(self) -> State:
        """Begin the transaction if it has not begun."""
        ...


def living(state: State, instance_id: int) -> Instance:
    instance = state.instances.get(instance_id)
    if instance is None or instance.deleted_at is not None:
        raise NotFoundError(text("error.instance_missing"))
    return instance


def latest_size(days: Mapping[date, SizeRow], before: date = date.max) -> SizeRow | None:
    """The last row before that day that has a size."""
    known = [day for day, row in days.items() if day < before and row.size_bytes is not None]
    return days[max(known)] if known else None


def is_break(row: SizeRow, baseline: SizeRow | None) -> bool:
    """Say whether two sizes of a database were found out in different ways."""
    methods = (row.method, baseline.method if baseline else None)
    return None not in methods and methods[0] != methods[1]


def database_aggregate(row: SizeRow, baseline: SizeRow | None) -> DatabaseAggregate | None:
    """One day of one database against the last day that is known; None without a size.

    Across a change of method nothing compares, but the day it broke with is named.
    """
    size = row.size_bytes
    if size is None:
        return None
    broken = is_break(row, baseline)
    comparable = None if broken else baseline
    size_before = comparable.size_bytes if comparable else None
    data_before = comparable.data_size_bytes if comparable else None
    log_before = comparable.log_size_bytes if comparable else None
    size_change = _change(size, size_before)
    data_change = _change(row.data_size_bytes, data_before)
    log_change = _change(row.log_size_bytes, log_before)
    size_percent = _percent(size_change, size_before)
    return DatabaseAggregate(
        period_start=row.collected_date,
        period_end=row.collected_date,
        data_count=1,
        size_sum_bytes=size,
        max_size_bytes=size,
        min_size_bytes=size,
        data_size_count=int(row.data_size_bytes is not None),
        data_size_sum_bytes=row.data_size_bytes,
        max_data_size_bytes=row.data_size_bytes,
        min_data_size_bytes=row.data_size_bytes,
        log_size_count=int(row.log_size_bytes is not None),
        log_size_sum_bytes=row.log_size_bytes,
        max_log_size_bytes=row.log_size_bytes,
        min_log_size_bytes=row.log_size_bytes,
        baseline_date=baseline.collected_date if baseline else None,
        size_change_bytes=size_change,
        size_change_percent=size_percent,
        data_size_change_bytes=data_change,
        data_size_change_percent=_percent(data_change, data_before),
        log_size_change_bytes=log_change,
        log_size_change_percent=_percent(log_change, log_before),
        growth_rate=size_percent,
        is_break=broken,
    )


def instance_aggregate(
    day: InstanceDay, baseline: InstanceDay | None, *, is_break: bool
) -> InstanceAggregate:
    """One day of an instance against the last day that is known.

    `is_break`: the size of one of its databases was unknown, or found out in another way, then.
    """
    total = day.total_size_bytes + day.carried_size_bytes
    total_before = count_before = None
    if baseline is not None:
        total_before = baseline.total_size_bytes + baseline.carried_size_bytes
        count_before = baseline.active_count
    if is_break:
        total_before = None
    change = _change(total, total_before)
    count_change = _change(day.active_count, count_before)
    percent = _percent(change, total_before)
    return InstanceAggregate(
        period_start=day.collected_date,
        period_end=day.collected_date,
        data_count=1,
        total_size_sum_bytes=total,
        max_total_size_bytes=total,
        min_total_size_bytes=total,
        measured_count_sum=day.measured_count,
        active_count_sum=day.active_count,
        max_active_count=day.active_count,
        min_active_count=day.active_count,
        baseline_date=baseline.collected_date if baseline else None,
        total_size_change_bytes=change,
        total_size_change_percent=percent,
        active_count_change=count_change,
        active_count_change_percent=_percent(count_change, count_before),
        growth_rate=percent,
        trend_direction=_trend(percent),
        is_break=is_break,
    )


def _change(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before


def _percent(change: int | None, before: int | None) -> float | None:
    """Unknown against nothing: growth from zero has no percentage."""
    return None if change is None or not before else float(change) * 100.0 / float(before)


def _trend(percent: float | None) -> str:
    if percent is None:
        return "unknown"
    if percent > GROWING_PERCENT:
        return "growing"
    return "shrinking" if percent < -GROWING_PERCENT else "stable"


def page_of(rows: list[Row], paging: Paging) -> Page[Row]:
    return Page(tuple(rows[paging.offset : paging.offset + paging.limit]), len(rows), paging)
