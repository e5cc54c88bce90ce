"""The formulas of every aggregate: what a period says of a database and of an instance.

Bytes throughout. An average is kept as sum and count; a change is the difference of two unrounded
averages, and unknown (None), never 0, where one of them is not known or a series broke.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum, auto
from typing import Final

from attrs import field, frozen

from capacity_core.model import MOST_SUM_BYTES
from capacity_core.periods import Period, PeriodType
from capacity_core.reads import InstanceDay, SizeRow

GROWING_PERCENT: Final = 5.0


class Trend(StrEnum):
    """Above +5 % is growing, below -5 % shrinking."""

    GROWING = auto()
    SHRINKING = auto()
    STABLE = auto()
    UNKNOWN = auto()


@frozen(kw_only=True)
class DatabaseAggregate:
    """One database over one period.

    `data_count` are the days with a known size, `baseline_date` is the last known day before a
    day, else the first day of the previous period if a size of it is known. `is_break`: within
    the two, the size came to be found out in another way, or the database was dropped and made
    anew. `growth_rate` is the percentage of the change.
    """

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
    first_size_bytes: int
    last_size_bytes: int
    trend_direction: Trend = field(converter=Trend)


@frozen(kw_only=True)
class InstanceAggregate:
    """One instance over one period; its size is what was measured plus what was carried.

    `partial_days` are those on which not every active database was measured. `is_break`: the
    size of one of its databases came to be found out in another way, or known late: totals do not
    compare; a database made anew breaks no total.
    """

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
    trend_direction: Trend = field(converter=Trend)
    is_break: bool
    first_total_size_bytes: int
    last_total_size_bytes: int
    partial_days: int


def database_aggregate(
    period: Period, days: Sequence[SizeRow], baseline: Sequence[SizeRow]
) -> DatabaseAggregate | None:
    """Aggregate the rows of the period that have a size, oldest first; None if there are none.

    None, too, if days add up to more than 64 bits hold. `baseline` are those of the previous
    period, or the last known day before a day.
    """
    sizes = _known(row.size_bytes for row in days)
    if not sizes:
        return None
    data, log = (
        _known(row.data_size_bytes for row in days),
        _known(row.log_size_bytes for row in days),
    )
    if not _fit(period, sizes, data, log):
        return None
    broken = is_break([*baseline, *days])
    before: Sequence[SizeRow] = () if broken else baseline
    change, percent = change_of(sizes, _known(row.size_bytes for row in before))
    data_change, data_percent = change_of(data, _known(row.data_size_bytes for row in before))
    log_change, log_percent = change_of(log, _known(row.log_size_bytes for row in before))
    return DatabaseAggregate(
        data_count=len(sizes),
        size_sum_bytes=sum(sizes),
        max_size_bytes=max(sizes),
        min_size_bytes=min(sizes),
        data_size_count=len(data),
        data_size_sum_bytes=sum(data) if data else None,
        max_data_size_bytes=max(data, default=None),
        min_data_size_bytes=min(data, default=None),
        log_size_count=len(log),
        log_size_sum_bytes=sum(log) if log else None,
        max_log_size_bytes=max(log, default=None),
        min_log_size_bytes=min(log, default=None),
        baseline_date=_baseline_date(period, [row.collected_date for row in baseline]),
        size_change_bytes=change,
        data_size_change_bytes=data_change,
        log_size_change_bytes=log_change,
        size_change_percent=percent,
        data_size_change_percent=data_percent,
        log_size_change_percent=log_percent,
        growth_rate=percent,
        is_break=broken,
        first_size_bytes=sizes[0],
        last_size_bytes=sizes[-1],
        trend_direction=trend_of(percent),
    )


def instance_aggregate(
    period: Period, days: Sequence[InstanceDay], baseline: Sequence[InstanceDay], *, is_break: bool
) -> InstanceAggregate | None:
    """Aggregate the instance's days, oldest first; None if there are none or none that fit."""
    totals = [_total(day) for day in days]
    if not days or not _fit(period, totals):
        return None
    active = [day.active_count for day in days]
    before = [] if is_break else [_total(day) for day in baseline]
    change, percent = change_of(totals, before)
    count_change, count_percent = change_of(active, [day.active_count for day in baseline])
    return InstanceAggregate(
        data_count=len(days),
        total_size_sum_bytes=sum(totals),
        max_total_size_bytes=max(totals),
        min_total_size_bytes=min(totals),
        measured_count_sum=sum(day.measured_count for day in days),
        active_count_sum=sum(active),
        max_active_count=max(active),
        min_active_count=min(active),
        baseline_date=_baseline_date(period, [day.collected_date for day in baseline]),
        total_size_change_bytes=change,
        total_size_change_percent=percent,
        active_count_change=count_change,
        active_count_change_percent=count_percent,
        growth_rate=percent,
        trend_direction=trend_of(percent),
        is_break=is_break,
        first_total_size_bytes=totals[0],
        last_total_size_bytes=totals[-1],
        partial_days=sum(day.measured_count < day.active_count for day in days),
    )


def change_of(now: Sequence[int], before: Sequence[int]) -> tuple[int | None, float | None]:
    """Compare two averages: the difference in whole numbers, halves away from 0, and in percent.

    Both are None if one side is empty; growth from nothing has no percentage.
    """
    if not now or not before:
        return None, None
    if len(now) == len(before) == 1:
        exact = now[0] - before[0]
        return exact, float(exact) * 100.0 / float(before[0]) if before[0] else None
    average, previous = float(sum(now)) / len(now), float(sum(before)) / len(before)
    change = average - previous
    whole = int(change - 0.5) if change < 0 else int(change + 0.5)
    return whole, change * 100.0 / previous if previous else None


def whole_average(total: int, count: int) -> int:
    """Divide what is not negative, to the nearest whole number; halves go up."""
    return (2 * total + count) // (2 * count)


def trend_of(percent: float | None) -> Trend:
    if percent is None:
        return Trend.UNKNOWN
    if percent > GROWING_PERCENT:
        return Trend.GROWING
    return Trend.SHRINKING if percent < -GROWING_PERCENT else Trend.STABLE


def is_break(days: Sequence[SizeRow]) -> bool:
    """Say whether these sizes of one database are of more than one series.

    That is where its method changed, or the engine's own identity of it; unknown ones are no
    others.
    """
    return changed_method(days) or len({row.identity for row in days} - {None}) > 1


def changed_method(days: Sequence[SizeRow]) -> bool:
    return len({row.method for row in days} - {None}) > 1


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _fit(period: Period, *columns: Sequence[int]) -> bool:
    """Say whether the sums, and what is worked out from them, fit into 64 bits; a day's do."""
    return period.type is PeriodType.DAILY or max(map(sum, columns)) <= MOST_SUM_BYTES


def _total(day: InstanceDay) -> int:
    return day.total_size_bytes + day.carried_size_bytes


def _baseline_date(period: Period, days: Sequence[date]) -> date | None:
    if not days:
        return None
    return days[-1] if period.type is PeriodType.DAILY else period.previous.start
