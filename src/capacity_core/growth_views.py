"""What every face of the product shows of growth: bytes, averages to the nearest one."""

from datetime import date
from typing import Any, Final

from attrs import frozen

from capacity_core.growth_reads import DatabaseGrowth, InstanceGrowth, InstanceLabel
from capacity_core.periods import Period, PeriodType
from capacity_core.rollup import InstanceAggregate, Trend, whole_average

CHANGE_DECIMALS: Final = 4  # a quarter has 92 days: no smaller step is lost


@frozen(kw_only=True)
class GrowthView:
    """A series over one period, and its change against the one before; null is unknown.

    `data_count` days are known of the `elapsed_days`, those of the period until today; `coverage`
    is the one in the other, and `expected_count` the days of the whole period. `is_running`: more
    of them are to come. `partial`: that, or sizes of earlier days were carried on `partial_days`.
    `is_break`: what was before cannot be compared. `baseline_date` is the last known day before a
    day, else the first of the period before, if it is known. `growth_rate` is the percentage of
    the size's change.
    """

    instance: InstanceLabel
    period_type: PeriodType
    period_start: str
    period_end: str
    is_running: bool
    partial: bool
    data_count: int
    expected_count: int
    elapsed_days: int
    coverage: float
    baseline_date: str | None
    is_break: bool
    growth_rate: float | None
    trend_direction: Trend


@frozen(kw_only=True)
class DatabaseGrowthView(GrowthView):
    database_name: str
    avg_size_bytes: int
    max_size_bytes: int
    min_size_bytes: int
    first_size_bytes: int
    last_size_bytes: int
    size_change_bytes: int | None
    size_change_percent: float | None
    avg_data_size_bytes: int | None
    max_data_size_bytes: int | None
    min_data_size_bytes: int | None
    data_size_change_bytes: int | None
    data_size_change_percent: float | None
    avg_log_size_bytes: int | None
    max_log_size_bytes: int | None
    min_log_size_bytes: int | None
    log_size_change_bytes: int | None
    log_size_change_percent: float | None


@frozen(kw_only=True)
class InstanceGrowthView(GrowthView):
    """Sizes are what was measured and what was carried; counts are of active databases.

    Averages of counts and their change have decimals.
    """

    avg_total_size_bytes: int
    max_total_size_bytes: int
    min_total_size_bytes: int
    first_total_size_bytes: int
    last_total_size_bytes: int
    total_size_change_bytes: int | None
    total_size_change_percent: float | None
    partial_days: int
    avg_measured_count: float
    avg_active_count: float
    max_active_count: int
    min_active_count: int
    active_count_change: float | None
    active_count_change_percent: float | None


def database_growth_view(row: DatabaseGrowth, today: date) -> DatabaseGrowthView:
    said = row.aggregate
    return DatabaseGrowthView(
        instance=row.instance,
        database_name=row.database_name,
        **_period(row.period, said.data_count, today),
        is_running=row.is_running,
        partial=row.is_running,
        data_count=said.data_count,
        baseline_date=_iso(said.baseline_date),
        is_break=said.is_break,
        growth_rate=said.growth_rate,
        trend_direction=said.trend_direction,
        avg_size_bytes=whole_average(said.size_sum_bytes, said.data_count),
        max_size_bytes=said.max_size_bytes,
        min_size_bytes=said.min_size_bytes,
        first_size_bytes=said.first_size_bytes,
        last_size_bytes=said.last_size_bytes,
        size_change_bytes=said.size_change_bytes,
        size_change_percent=said.size_change_percent,
        avg_data_size_bytes=_average(said.data_size_sum_bytes, said.data_size_count),
        max_data_size_bytes=said.max_data_size_bytes,
        min_data_size_bytes=said.min_data_size_bytes,
        data_size_change_bytes=said.data_size_change_bytes,
        data_size_change_percent=said.data_size_change_percent,
        avg_log_size_bytes=_average(said.log_size_sum_bytes, said.log_size_count),
        max_log_size_bytes=said.max_log_size_bytes,
        min_log_size_bytes=said.min_log_size_bytes,
        log_size_change_bytes=said.log_size_change_bytes,
        log_size_change_percent=said.log_size_change_percent,
    )


def instance_growth_view(row: InstanceGrowth, today: date) -> InstanceGrowthView:
    said = row.aggregate
    return InstanceGrowthView(
        instance=row.instance,
        **_period(row.period, said.data_count, today),
        is_running=row.is_running,
        partial=row.is_running or said.partial_days > 0,
        data_count=said.data_count,
        baseline_date=_iso(said.baseline_date),
        is_break=said.is_break,
        growth_rate=said.growth_rate,
        trend_direction=said.trend_direction,
        avg_total_size_bytes=whole_average(said.total_size_sum_bytes, said.data_count),
        max_total_size_bytes=said.max_total_size_bytes,
        min_total_size_bytes=said.min_total_size_bytes,
        first_total_size_bytes=said.first_total_size_bytes,
        last_total_size_bytes=said.last_total_size_bytes,
        total_size_change_bytes=said.total_size_change_bytes,
        total_size_change_percent=said.total_size_change_percent,
        partial_days=said.partial_days,
        avg_measured_count=said.measured_count_sum / said.data_count,
        avg_active_count=said.active_count_sum / said.data_count,
        max_active_count=said.max_active_count,
        min_active_count=said.min_active_count,
        active_count_change=_active_change(said),
        active_count_change_percent=said.active_count_change_percent,
    )


def _period(period: Period, data_count: int, today: date) -> Any:
    until_today = (min(period.end, today) - period.start).days + 1
    elapsed = max(until_today, data_count)  # an instance's own day may be ahead of ours
    return {
        "period_type": period.type,
        "period_start": period.start.isoformat(),
        "period_end": period.end.isoformat(),
        "expected_count": period.days,
        "elapsed_days": elapsed,
        "coverage": data_count / elapsed,
    }


def _active_change(said: InstanceAggregate) -> float | None:
    """Find the change of the averages before it was rounded: their percentage was not."""
    percent, average = said.active_count_change_percent, said.active_count_sum / said.data_count
    if said.active_count_change is None or average == 0:
        return said.active_count_change
    # No percentage: there were none before.
    change = average if percent is None else average * percent / (100 + percent)
    return round(change, CHANGE_DECIMALS)


def _average(total: int | None, count: int) -> int | None:
    return None if total is None else whole_average(total, count)


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
