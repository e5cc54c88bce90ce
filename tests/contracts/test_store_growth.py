"""Lists and summaries of growth: complete, ordered, paged, and the running period among them."""

from datetime import date
from typing import Any

import pytest
from attrs import evolve
from tests.stores import AnyStore, add_instance, on_day, sync

from capacity_core.growth_reads import (
    AggregateQuestion,
    DatabaseGrowth,
    GrowthSummary,
    InstanceGrowth,
    InstanceLabel,
    Order,
    Slice,
)
from capacity_core.model import DatabaseSize, Outcome
from capacity_core.periods import PeriodType, period_of
from capacity_core.reads import DateRange, Paging
from capacity_core.rollup import Trend

TODAY = on_day(20).day  # a Monday, 30 March 2026
DAYS = AggregateQuestion(period_type=PeriodType.DAILY, today=TODAY)
Key = tuple[int, str, int]


def databases(store: AnyStore, question: AggregateQuestion) -> Slice[DatabaseGrowth]:
    with store.begin() as work:
        return work.growth.database_growth(question)


def instances(store: AnyStore, question: AggregateQuestion) -> Slice[InstanceGrowth]:
    with store.begin() as work:
        return work.growth.instance_growth(question)


def summaries(store: AnyStore, question: AggregateQuestion) -> tuple[GrowthSummary, GrowthSummary]:
    with store.begin() as work:
        return work.growth.database_summary(question), work.growth.instance_summary(question)


def told(store: AnyStore, question: AggregateQuestion) -> list[Key]:
    """Whose rows they are, of which day (a number), in order."""
    first = on_day(0).day
    return [
        (row.instance.id, row.database_name, (row.period.start - first).days)
        for row in databases(store, question).rows
    ]


def remove(store: AnyStore, instance_id: int) -> None:
    with store.begin() as work:
        instance = work.instances.get(instance_id)
        work.instances.save(evolve(instance, is_active=False, deleted_at=on_day(9).at))
        work.commit()


def test_a_row_says_whose_it_is_which_period_and_everything_about_it(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": DatabaseSize("a", 100, "m", 90)}, on_day(0))
    sync(store, instance_id, {"a": DatabaseSize("a", 110, "m", 81)}, on_day(20))
    [newest, _] = databases(store, DAYS).rows
    assert newest.instance == InstanceLabel(instance_id, "shop", "postgresql")
    assert (newest.database_name, newest.is_running) == ("a", True)
    assert newest.period == period_of(PeriodType.DAILY, TODAY)
    aggregate = newest.aggregate
    assert (aggregate.size_sum_bytes, aggregate.data_size_change_bytes) == (110, -9)
    assert (aggregate.size_change_percent, aggregate.baseline_date) == (10.0, on_day(0).day)
    assert (aggregate.log_size_sum_bytes, aggregate.trend_direction) == (None, Trend.GROWING)
    [newest_day, oldest_day] = instances(store, DAYS).rows
    assert newest_day.aggregate.total_size_change_bytes == 10
    assert (newest_day.is_running, oldest_day.is_running) == (True, False)
    assert oldest_day.instance == newest.instance


def test_the_newest_come_first_then_by_instance_and_name(store: AnyStore, instance_id: int) -> None:
    other = add_instance(store, "another")
    for number in (0, 1):
        sync(store, other, {"a": 1, "B": 1}, on_day(number))
        sync(store, instance_id, {"é": 1, "b": 1, "a": Outcome.DENIED}, on_day(number))
    day_of_all = [(instance_id, "b"), (instance_id, "é"), (other, "B"), (other, "a")]
    assert told(store, DAYS) == [(*key, number) for number in (1, 0) for key in day_of_all]
    assert [(row.instance.id, row.period.start) for row in instances(store, DAYS).rows] == [
        (owner, on_day(number).day) for number in (1, 0) for owner in (instance_id, other)
    ]


def test_the_largest_come_first_and_unknown_ones_last(store: AnyStore, instance_id: int) -> None:
    sync(store, instance_id, {"slow": 100, "fast": 10, "less": 50, "same": 7}, on_day(0))
    later = {"slow": 120, "fast": 20, "less": 40, "same": 7, "new": 10**15}
    sync(store, instance_id, later, on_day(1))
    day = evolve(DAYS, days=DateRange(on_day(1).day))

    def names(order: Order) -> list[str]:
        return [row[1] for row in told(store, evolve(day, order=order))]

    assert names(Order.SIZE) == ["new", "slow", "less", "fast", "same"]
    assert names(Order.GROWTH) == ["slow", "fast", "same", "less", "new"]
    assert names(Order.PERCENT) == ["fast", "slow", "same", "less", "new"]
    assert told(store, evolve(DAYS, order=Order.SIZE, paging=Paging(2, 4)))[2:] == [
        (instance_id, "fast", 0), (instance_id, "same", 1),
    ]  # fmt: skip


def test_pages_follow_one_another_and_tell_whether_one_more_comes(
    store: AnyStore, instance_id: int
) -> None:
    for number in range(5):
        sync(store, instance_id, dict.fromkeys("abcde", number), on_day(number))
    everything = told(store, evolve(DAYS, paging=Paging(1, 200)))
    assert len(everything) == 25
    for order in Order:
        pages = [
            databases(store, evolve(DAYS, order=order, paging=Paging(page, 10)))
            for page in (1, 2, 3, 4, 1_000_000)
        ]
        assert [len(page.rows) for page in pages] == [10, 10, 5, 0, 0]
        assert [page.has_next for page in pages] == [True, True, False, False, False]
        assert {page.total for page in pages} == {25}
        seen = {(row.database_name, row.period.start) for page in pages for row in page.rows}
        assert len(seen) == 25
    exactly = databases(store, evolve(DAYS, paging=Paging(5, 5), count=False))
    assert (len(exactly.rows), exactly.has_next, exactly.total) == (5, False, None)


def test_rows_stay_of_what_is_disabled_or_gone_but_not_of_what_is_removed(
    store: AnyStore, instance_id: int
) -> None:
    disabled, removed = add_instance(store, "disabled"), add_instance(store, "removed")
    for owner in (instance_id, disabled, removed):
        sync(store, owner, {"a": 10, "gone": 5}, on_day(0))
        sync(store, owner, {"a": 12}, on_day(1))
    with store.begin() as work:
        work.instances.save(evolve(work.instances.get(disabled), is_active=False))
        work.commit()
    remove(store, removed)
    assert {(row[0], row[1]) for row in told(store, DAYS)} == {
        (owner, name) for owner in (instance_id, disabled) for name in ("a", "gone")
    }
    assert {row.instance.id for row in instances(store, DAYS).rows} == {instance_id, disabled}
    assert databases(store, evolve(DAYS, instance_ids=(removed,))).rows == ()
    assert summaries(store, DAYS) == (
        GrowthSummary(4, 2, 34, 12, 4, 2),
        GrowthSummary(2, 2, 24, 12, -6, 0),
    )


def test_a_summary_adds_up_the_latest_of_every_series(store: AnyStore, instance_id: int) -> None:
    other = add_instance(store, "other")
    sync(store, instance_id, {"a": 10, "b": 100}, on_day(0))
    sync(store, instance_id, {"a": 7, "b": 150}, on_day(1))
    sync(store, other, {"a": 2**62}, on_day(0))
    sync(store, other, {"a": 2**62 - 5, "c": 2**62}, on_day(2))
    total = 157 + 2**63 - 5
    assert summaries(store, DAYS) == (
        GrowthSummary(4, 2, total, 2**62, 50 - 3 - 5, 1),
        GrowthSummary(2, 2, total, 2**63 - 5, 47 + 2**62 - 5, 0),
    )
    until = evolve(DAYS, days=DateRange(None, on_day(0).day))
    assert summaries(store, until)[0] == GrowthSummary(3, 2, 110 + 2**62, 2**62, None, 3)
    named = evolve(DAYS, database_name="a", instance_ids=(instance_id,))
    assert summaries(store, named)[0] == GrowthSummary(1, 1, 7, 7, -3, 0)
    nothing = evolve(DAYS, db_types=("oracle",))
    assert summaries(store, nothing) == (GrowthSummary(0, 0, 0, None, None, 0),) * 2


HOSTILE = [
    "a' OR '1'='1",
    '"; DROP TABLE instances; --',
    "%",
    "_",
    "\\",
    ":day",
    "{items}",
    "é\u0301",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_just_a_name(store: AnyStore, instance_id: int, name: str) -> None:
    sync(store, instance_id, {"a": 1, "x": 1, name: 5}, on_day(0))
    for order in Order:
        question = evolve(DAYS, database_name=name, order=order)
        assert told(store, question) == [(instance_id, name, 0)]
        assert summaries(store, question)[0] == GrowthSummary(1, 1, 5, 5, None, 1)
    assert told(store, evolve(DAYS, db_types=(name,))) == []


NOBODY: list[dict[str, Any]] = [
    {"instance_ids": (2**63,)},
    {"instance_ids": (2**64 + 1, 10**30)},
    {"instance_ids": (0, -1)},
    {"database_name": "A"},
    {"database_name": "nul\0"},
    {"database_name": "\ud800"},
    {"database_name": ""},
    {"db_types": ("oracle",)},
    {"days": DateRange(on_day(400).day)},
    {"days": DateRange(None, on_day(-400).day)},
    {"days": DateRange(on_day(400).day, on_day(-400).day)},
    {"days": DateRange(date.max)},
    {"days": DateRange(None, date.min)},
]


@pytest.mark.parametrize("kind", PeriodType)
def test_what_nothing_fits_is_an_empty_answer(
    store: AnyStore, instance_id: int, kind: PeriodType
) -> None:
    sync(store, instance_id, {"a": 1}, on_day(0))
    for change in NOBODY:
        question = evolve(DAYS, **change, period_type=kind)
        empty: Slice[DatabaseGrowth] = Slice((), has_next=False, total=0, paging=Paging())
        assert databases(store, question) == empty
        assert databases(store, evolve(question, count=False)) == evolve(empty, total=None)
        assert summaries(store, question)[0] == GrowthSummary(0, 0, 0, None, None, 0)


def test_ids_beyond_64_bits_hide_no_others(store: AnyStore, instance_id: int) -> None:
    sync(store, instance_id, {"a": 1}, on_day(0))
    assert len(told(store, evolve(DAYS, instance_ids=(2**63, instance_id, 10**30)))) == 1
