"""The formulas of the aggregates, held against exact fractions."""

import math
from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import NOON

from capacity_core.model import MAX_BYTES, MOST_SUM_BYTES, Outcome
from capacity_core.periods import Period, PeriodType, period_of
from capacity_core.reads import InstanceDay, SizeRow
from capacity_core.rollup import (
    DatabaseAggregate,
    Trend,
    change_of,
    database_aggregate,
    instance_aggregate,
    trend_of,
    whole_average,
)

pytestmark = pytest.mark.unit

MONDAY = date(2026, 3, 9)
WEEK = period_of(PeriodType.WEEKLY, MONDAY)
TODAY = period_of(PeriodType.DAILY, MONDAY)
SIZES = st.lists(st.integers(0, 1000) | st.integers(0, MAX_BYTES), min_size=1, max_size=7)
FITTING = st.lists(st.integers(0, MOST_SUM_BYTES // 7), min_size=1, max_size=7)


def rows(
    period: Period, *sizes: int | None, method: str = "m", identity: str | None = None, **parts: Any
) -> list[SizeRow]:
    """Rows of the days from the period's first one on."""
    return [
        evolve(
            SizeRow(
                "a",
                period.start + timedelta(days=number),
                size,
                None,
                None,
                method,
                NOON,
                Outcome.MEASURED,
                NOON,
                identity=identity,
            ),
            **{name: values[number] for name, values in parts.items()},
        )
        for number, size in enumerate(sizes)
    ]


def days(
    period: Period, *totals: int, carried: int = 0, measured: int = 2, active: int = 2
) -> list[InstanceDay]:
    return [
        InstanceDay(period.start + timedelta(days=number), total, carried, measured, active, NOON)
        for number, total in enumerate(totals)
    ]


def of_database(
    period: Period, now: Sequence[SizeRow], before: Sequence[SizeRow] = ()
) -> DatabaseAggregate:
    found = database_aggregate(period, now, before)
    assert found is not None
    return found


def test_a_week_is_counted_summed_and_bounded_and_its_ends_are_named() -> None:
    week = of_database(WEEK, rows(WEEK, 5, 9, 2))
    assert (week.data_count, week.size_sum_bytes) == (3, 16)
    assert (week.max_size_bytes, week.min_size_bytes) == (9, 2)
    assert (week.first_size_bytes, week.last_size_bytes) == (5, 2)


def test_a_first_period_has_no_change_and_an_unknown_trend() -> None:
    week = of_database(WEEK, rows(WEEK, 5))
    assert (week.baseline_date, week.size_change_bytes, week.size_change_percent) == (None,) * 3
    assert (week.growth_rate, week.trend_direction, week.is_break) == (None, Trend.UNKNOWN, False)


def test_a_period_without_a_known_day_has_no_aggregate() -> None:
    assert database_aggregate(WEEK, [], rows(WEEK.previous, 5)) is None
    assert database_aggregate(WEEK, rows(WEEK, None), rows(WEEK.previous, 5)) is None
    assert instance_aggregate(WEEK, [], days(WEEK.previous, 5), is_break=False) is None


@pytest.mark.parametrize("part", [None, "data_size_bytes", "log_size_bytes"])
def test_what_does_not_fit_into_64_bits_is_not_told_but_of_a_day(part: str | None) -> None:
    def told(period: Period, *sizes: int) -> DatabaseAggregate | None:
        if part is None:
            return database_aggregate(period, rows(period, *sizes), [])
        parts: dict[str, Any] = {part: sizes}
        return database_aggregate(period, rows(period, *[1] * len(sizes), **parts), [])

    assert told(WEEK, MOST_SUM_BYTES - 1, 1) is not None
    assert told(WEEK, MOST_SUM_BYTES, 1) is None
    assert told(TODAY, MAX_BYTES) is not None


def test_a_total_that_does_not_fit_into_64_bits_is_not_told_but_of_a_day() -> None:
    def told(period: Period, *totals: int) -> bool:
        return instance_aggregate(period, days(period, *totals), [], is_break=False) is not None

    assert told(WEEK, MOST_SUM_BYTES - 1, 1)
    assert not told(WEEK, MOST_SUM_BYTES, 1)
    assert told(TODAY, MAX_BYTES)


def test_the_baseline_is_the_period_before_or_of_a_day_the_last_known_one() -> None:
    assert of_database(WEEK, rows(WEEK, 5), rows(WEEK.previous, 1, 2)).baseline_date == date(
        2026, 3, 2
    )
    earlier = period_of(PeriodType.DAILY, date(2026, 2, 11))
    day = of_database(TODAY, rows(TODAY, 5), rows(earlier, 1))
    assert (day.baseline_date, day.size_change_bytes) == (date(2026, 2, 11), 4)
    total = instance_aggregate(TODAY, days(TODAY, 5), days(earlier, 1), is_break=False)
    assert total is not None
    assert (total.baseline_date, total.total_size_change_bytes) == (date(2026, 2, 11), 4)


def test_data_and_log_are_known_on_days_of_their_own() -> None:
    now = rows(WEEK, 10, 20, data_size_bytes=[None, 7], log_size_bytes=[None, None])
    before = rows(WEEK.previous, 10, data_size_bytes=[None], log_size_bytes=[3])
    week = of_database(WEEK, now, before)
    assert (week.data_size_count, week.data_size_sum_bytes) == (1, 7)
    assert (week.max_data_size_bytes, week.min_data_size_bytes) == (7, 7)
    assert (week.log_size_count, week.log_size_sum_bytes) == (0, None)
    assert (week.max_log_size_bytes, week.min_log_size_bytes) == (None, None)
    assert week.size_change_bytes == 5
    assert (week.data_size_change_bytes, week.data_size_change_percent) == (None, None)
    assert (week.log_size_change_bytes, week.log_size_change_percent) == (None, None)
    both = of_database(WEEK, now, rows(WEEK.previous, 10, data_size_bytes=[14], log_size_bytes=[3]))
    assert (both.data_size_change_bytes, both.data_size_change_percent) == (-7, -50.0)


@pytest.mark.parametrize(
    ("before", "now", "is_break"),
    [
        ({"method": "m"}, {"method": "n"}, True),
        ({"method": "m"}, {"method": "m"}, False),
        ({"identity": "1"}, {"identity": "2"}, True),
        ({"identity": "1"}, {"identity": "1"}, False),
        ({"identity": None}, {"identity": "2"}, False),
        ({"identity": "1"}, {"identity": None}, False),
    ],
)
def test_no_change_is_computed_across_a_break(
    before: dict[str, Any], now: dict[str, Any], *, is_break: bool
) -> None:
    parts: dict[str, Any] = {"data_size_bytes": [1], "log_size_bytes": [1]}
    week = of_database(
        WEEK, rows(WEEK, 9, **parts, **now), rows(WEEK.previous, 3, **parts, **before)
    )
    assert week.is_break is is_break
    assert (week.size_change_bytes is None) is is_break
    assert (week.data_size_change_bytes is None) is is_break
    assert (week.log_size_change_bytes is None) is is_break
    assert week.baseline_date == WEEK.previous.start
    assert (week.trend_direction is Trend.UNKNOWN) is is_break


def test_a_break_in_the_middle_of_either_period_counts() -> None:
    same = rows(WEEK, 1, 1, 1)
    for number in range(3):
        odd = [*same[:number], evolve(same[number], identity="new"), *same[number + 1 :]]
        old = [evolve(row, identity="old") for row in rows(WEEK.previous, 1)]
        assert of_database(WEEK, odd, old).is_break
        assert not of_database(WEEK, odd).is_break


def test_an_instance_counts_what_was_carried_and_says_on_how_many_days() -> None:
    now = [*days(WEEK, 10, 10), *days(WEEK, 4, carried=6, measured=1)]
    week = instance_aggregate(WEEK, now, days(WEEK.previous, 10), is_break=False)
    assert week is not None
    assert (week.total_size_sum_bytes, week.data_count, week.partial_days) == (30, 3, 1)
    assert (week.total_size_change_bytes, week.trend_direction) == (0, Trend.STABLE)
    assert (week.first_total_size_bytes, week.last_total_size_bytes) == (10, 10)
    assert (week.measured_count_sum, week.active_count_sum) == (5, 6)
    assert (week.max_active_count, week.min_active_count) == (2, 2)


def test_an_instances_break_leaves_its_count_of_databases_comparable() -> None:
    week = instance_aggregate(WEEK, days(WEEK, 9, active=4), days(WEEK.previous, 3), is_break=True)
    assert week is not None
    assert (week.total_size_change_bytes, week.growth_rate) == (None, None)
    assert (week.trend_direction, week.baseline_date) == (Trend.UNKNOWN, WEEK.previous.start)
    assert (week.active_count_change, week.active_count_change_percent) == (2, 100.0)


@pytest.mark.parametrize(
    ("now", "before", "change", "percent"),
    [
        ([], [], None, None),
        ([1], [], None, None),
        ([], [1], None, None),
        ([0], [0], 0, None),  # nothing has no percentage
        ([5], [0], 5, None),
        ([5, 6], [0, 0], 6, None),
        ([0], [5], -5, -100.0),
        ([7], [7], 0, 0.0),
        ([10, 11], [10], 1, 5.0),  # half a byte up is one
        ([10, 10], [11, 10], -1, -100 / 21),  # and half a byte down
        ([10, 10, 11], [10], 0, 10 / 3),  # the percentage is not of the rounded change
        ([MAX_BYTES], [0], MAX_BYTES, None),
        ([0], [MAX_BYTES], -MAX_BYTES, -100.0),
        ([MAX_BYTES], [MAX_BYTES - 1], 1, 100 / (MAX_BYTES - 1)),  # exact where days compare
    ],
)
def test_a_change(
    now: list[int], before: list[int], change: int | None, percent: float | None
) -> None:
    assert change_of(now, before) == (change, pytest.approx(percent) if percent else percent)


@given(SIZES, SIZES)
def test_a_change_is_that_of_the_exact_averages(now: list[int], before: list[int]) -> None:
    average, previous = Fraction(sum(now), len(now)), Fraction(sum(before), len(before))
    exact = average - previous
    change, percent = change_of(now, before)
    slack = 1e-15 * float(max(average, previous))
    assert change is not None
    assert abs(change - exact) <= Fraction(1, 2) + Fraction(slack)
    if len(now) == len(before) == 1:
        assert change == exact
    if previous == 0:
        assert percent is None
    else:
        assert percent == pytest.approx(
            float(exact * 100 / previous), rel=1e-9, abs=slack * 100 / float(previous) + 1e-12
        )


@given(SIZES)
def test_two_alike_periods_have_no_change_at_all_not_even_its_sign(sizes: list[int]) -> None:
    change, percent = change_of(sizes, sizes)
    assert change == 0
    assert percent is None if sum(sizes) == 0 else percent == 0
    if percent is not None:
        assert math.copysign(1, percent) == 1, "-0.0 would be shown as -0.00 %"


@given(SIZES, SIZES)
def test_no_percentage_is_minus_nothing(now: list[int], before: list[int]) -> None:
    _, percent = change_of(now, before)
    assert percent is None or percent != 0 or math.copysign(1, percent) == 1


@given(FITTING, st.lists(st.integers(0, MAX_BYTES), max_size=7))
def test_the_bounds_hold_the_average(sizes: list[int], before: list[int]) -> None:
    week = of_database(WEEK, rows(WEEK, *sizes), rows(WEEK.previous, *before))
    low, high = week.min_size_bytes, week.max_size_bytes
    assert low * week.data_count <= week.size_sum_bytes <= high * week.data_count
    assert low <= week.first_size_bytes <= high
    assert low <= week.last_size_bytes <= high
    assert (week.baseline_date is None) is (not before)
    assert week.growth_rate == week.size_change_percent
    assert week.trend_direction is trend_of(week.size_change_percent)


@pytest.mark.parametrize(
    ("percent", "trend"),
    [
        (None, Trend.UNKNOWN),
        (0.0, Trend.STABLE),
        (-0.0, Trend.STABLE),
        (5.0, Trend.STABLE),
        (math.nextafter(5, 6), Trend.GROWING),
        (-5.0, Trend.STABLE),
        (math.nextafter(-5, -6), Trend.SHRINKING),
        (float("inf"), Trend.GROWING),
        (-100.0, Trend.SHRINKING),
    ],
)
def test_a_trend_begins_above_five_percent(percent: float | None, trend: Trend) -> None:
    assert trend_of(percent) is trend


@given(st.integers(0, MAX_BYTES), st.integers(1, 366))
def test_an_average_is_shown_to_the_nearest_whole_number(total: int, count: int) -> None:
    distance = Fraction(total, count) - whole_average(total, count)
    assert Fraction(-1, 2) <= distance < Fraction(1, 2)
