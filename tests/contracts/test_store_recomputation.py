"""What comes late, or is corrected, arrives in every aggregate that it touches."""

from datetime import date

from tests.builders import NOON
from tests.stores import AnyStore, add_instance, aggregates_of, on_day, sync

from capacity_core.growth import CapacityGrowth
from capacity_core.model import Outcome
from capacity_core.periods import PeriodType

DAILY = [PeriodType.DAILY]


def growth_of(store: AnyStore) -> CapacityGrowth:
    return CapacityGrowth(store.begin, lambda: NOON, "UTC")


def days_against(store: AnyStore, number: int, instance_id: int | None = None) -> list[date]:
    with store.begin() as work:
        return list(work.aggregator.days_against(on_day(number).day, instance_id))


def test_a_day_s_change_follows_the_day_it_compares_with_across_a_gap(
    store: AnyStore, instance_id: int
) -> None:
    for number, size in ((-20, 10), (-9, 30), (-8, 30)):
        sync(store, instance_id, {"a": size}, on_day(number))
    sync(store, instance_id, {"a": 20}, on_day(-15))  # late
    sync(store, instance_id, {"a": 11}, on_day(-20, seconds=1))  # corrected
    databases, _ = aggregates_of(store, instance_id)
    assert databases["a", on_day(-9).day][14:16] == (on_day(-20).day, 20)
    growth_of(store).aggregate(on_day(-20).day, on_day(-15).day, DAILY)
    databases, days = aggregates_of(store, instance_id)
    assert [databases["a", on_day(number).day][14:16] for number in (-20, -15, -9, -8)] == [
        (None, None),
        (on_day(-20).day, 9),
        (on_day(-15).day, 10),
        (on_day(-9).day, 0),
    ]
    assert [day[10:12] for day in days] == [
        (None, None),
        (on_day(-20).day, 9),
        (on_day(-15).day, 10),
        (on_day(-9).day, 0),
    ]


def test_a_first_day_that_comes_late_is_what_the_next_compares_with(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": 30}, on_day(-3))
    sync(store, instance_id, {"a": 10}, on_day(-9))
    growth_of(store).aggregate(on_day(-9).day, on_day(-9).day, DAILY, instance_id)
    databases, days = aggregates_of(store, instance_id)
    assert databases["a", on_day(-3).day][14:16] == (on_day(-9).day, 20)
    assert days[-1][10:12] == (on_day(-9).day, 20)


def test_only_days_that_compare_with_it_or_with_nothing_are_found(
    store: AnyStore, instance_id: int
) -> None:
    for number in range(-9, -4):
        sync(
            store, instance_id, {"a": 1, "b": 1 if number == -5 else Outcome.DENIED}, on_day(number)
        )
    other = add_instance(store, "other", port=7000)
    sync(store, other, {"a": 1}, on_day(-2))
    assert days_against(store, -9, instance_id) == [on_day(-8).day, on_day(-5).day]
    assert days_against(store, -7) == [on_day(number).day for number in (-6, -5, -2)]
    assert days_against(store, -2) == []
