"""What is shown of growth: averages to the nearest byte, unknown as null."""

from datetime import date

import pytest
from attrs import evolve
from tests.builders import NOON

from capacity_core.growth_reads import DatabaseGrowth, InstanceGrowth, InstanceLabel
from capacity_core.growth_views import database_growth_view, instance_growth_view
from capacity_core.model import Outcome
from capacity_core.periods import PeriodType, period_of
from capacity_core.reads import InstanceDay, SizeRow
from capacity_core.rollup import database_aggregate, instance_aggregate

pytestmark = pytest.mark.unit
LABEL = InstanceLabel(1, "shop", "postgresql")
TODAY = date(2026, 3, 6)
MARCH = period_of(PeriodType.MONTHLY, date(2026, 3, 10))


def size(day: int, size_bytes: int, data: int | None = None) -> SizeRow:
    return SizeRow(
        "a", date(2026, 3, day), size_bytes, data, None, "m", NOON, Outcome.MEASURED, NOON
    )


def total(day: int, total_bytes: int, carried: int, measured: int, active: int) -> InstanceDay:
    return InstanceDay(date(2026, 3, day), total_bytes, carried, measured, active, NOON)


def test_a_databases_average_is_to_the_nearest_byte_and_unknown_is_null() -> None:
    days = [size(1, 10, 3), size(2, 11), size(5, 11, 4)]
    aggregate = database_aggregate(MARCH, days, [])
    assert aggregate is not None
    view = database_growth_view(
        DatabaseGrowth(LABEL, "a", MARCH, aggregate, is_running=True), TODAY
    )
    assert (view.avg_size_bytes, view.avg_data_size_bytes) == (11, 4)  # 10.67 and 3.5
    assert (view.avg_log_size_bytes, view.size_change_bytes, view.baseline_date) == (None,) * 3
    assert (view.data_count, view.expected_count) == (3, 31)
    assert (view.elapsed_days, view.coverage) == (6, 0.5)
    assert (view.period_start, view.period_end) == ("2026-03-01", "2026-03-31")
    assert (view.is_running, view.partial) == (True, True)


def test_an_instance_is_partial_while_it_runs_or_where_sizes_were_carried() -> None:
    days = [total(1, 10, 0, 2, 2), total(2, 5, 6, 1, 2)]
    aggregate = instance_aggregate(MARCH, days, [total(1, 10, 0, 2, 2)], is_break=False)
    assert aggregate is not None
    view = instance_growth_view(InstanceGrowth(LABEL, MARCH, aggregate), TODAY)
    assert (view.avg_total_size_bytes, view.avg_measured_count, view.avg_active_count) == (
        11,
        1.5,
        2.0,
    )
    assert (view.is_running, view.partial, view.partial_days) == (False, True, 1)
    assert view.baseline_date == "2026-02-01"
    whole = evolve(aggregate, partial_days=0)
    assert not instance_growth_view(InstanceGrowth(LABEL, MARCH, whole), TODAY).partial
    assert instance_growth_view(InstanceGrowth(LABEL, MARCH, whole, is_running=True), TODAY).partial


@pytest.mark.parametrize(
    ("before", "now", "change", "percent"),
    [
        ([5], [5] * 20 + [4] * 11, -0.3548, -7.096774193548387),
        ([5], [5], 0.0, 0.0),
        ([3, 4], [4, 5], 1.0, 100 / 3.5),
        ([0], [2, 3], 2.5, None),
        ([2], [0], -2.0, -100.0),
    ],
)
def test_the_change_of_a_count_agrees_with_its_percentage(
    before: list[int], now: list[int], change: float, percent: float | None
) -> None:
    def days(counts: list[int]) -> list[InstanceDay]:
        return [total(day, 1, 0, count, count) for day, count in enumerate(counts, 1)]

    aggregate = instance_aggregate(MARCH, days(now), days(before), is_break=False)
    assert aggregate is not None
    view = instance_growth_view(InstanceGrowth(LABEL, MARCH, aggregate), TODAY)
    assert view.active_count_change == change
    assert view.active_count_change_percent == pytest.approx(percent)
