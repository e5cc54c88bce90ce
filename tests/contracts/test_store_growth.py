"""Lists and summaries of growth: complete, ordered, paged, and the running period among them."""

from datetime import date
from itertools import islice, product
from typing import Any

import pytest
from attrs import evolve
from tests.stores import AnyStore, add_instance, on_day, sync

from capacity_adapters.memory import MemoryStore
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
        both = work.growth.database_summary(question), work.growth.instance_summary(question)
    # Of which periods they are is told apart.
    first, second = (evolve(each, oldest_start=None, newest_start=None) for each in both)
    return first, second


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
        GrowthSummary(2, 2, 24, 12, 4, 0),
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


def recompute(store: AnyStore, kind: PeriodType, *numbers: int) -> None:
    """Keep the periods of these days."""
    with store.begin() as work:
        for number in numbers:
            period = period_of(kind, on_day(number).day)
            work.aggregator.aggregate_databases(period)
            work.aggregator.aggregate_instances(period)
        work.commit()


# Days 0, 6, 13 are of three weeks that have ended, day 20 is the Monday of the running one.
WEEKS = evolve(DAYS, period_type=PeriodType.WEEKLY)


def weeks_of_a_shop(store: AnyStore, instance_id: int) -> int:
    """Three weeks of two databases and a running one of three, which another instance has, too."""
    other = add_instance(store, "other")
    for number, size in ((0, 100), (2, 103), (8, 110), (15, 90), (20, 120)):
        sync(store, instance_id, {"a": size}, on_day(number))
    sync(store, other, {"a": 10, "c": 7}, on_day(1))
    sync(store, other, {"a": 20, "c": Outcome.OFFLINE}, on_day(20))
    sync(store, instance_id, {"a": 120, "b": 2}, on_day(20, seconds=60))
    recompute(store, PeriodType.WEEKLY, 0, 8, 15)
    return other


def test_the_running_period_is_computed_and_comes_first(store: AnyStore, instance_id: int) -> None:
    other = weeks_of_a_shop(store, instance_id)
    page = databases(store, WEEKS)
    assert [
        (row.instance.id, row.database_name, row.aggregate.data_count, row.is_running)
        for row in page.rows
    ] == [
        (instance_id, "a", 1, True), (instance_id, "b", 1, True), (other, "a", 1, True),
        (instance_id, "a", 1, False), (instance_id, "a", 1, False),
        (instance_id, "a", 2, False), (other, "a", 1, False), (other, "c", 1, False),
    ]  # fmt: skip
    first = page.rows[0]
    assert first.period == period_of(PeriodType.WEEKLY, TODAY)
    assert (first.aggregate.size_change_bytes, first.aggregate.size_change_percent) == (
        30, 30 * 100.0 / 90,
    )  # fmt: skip
    assert first.aggregate.baseline_date == on_day(13).day
    assert page.total == 8
    assert [row.is_running for row in instances(store, WEEKS).rows] == [True, True, *[False] * 4]


def test_pages_go_from_running_rows_to_kept_ones(store: AnyStore, instance_id: int) -> None:
    weeks_of_a_shop(store, instance_id)
    for ask in (databases, instances):
        everything = ask(store, WEEKS).rows
        for order in Order:
            ordered = ask(store, evolve(WEEKS, order=order)).rows
            assert {(r.instance, r.period) for r in ordered} == {
                (r.instance, r.period) for r in everything
            }
            for limit in range(1, len(ordered) + 2):
                for page in range(1, len(ordered) // limit + 3):
                    question = evolve(WEEKS, order=order, paging=Paging(page, limit), count=False)
                    found = ask(store, question)
                    assert found.rows == ordered[(page - 1) * limit : page * limit]
                    assert found.has_next == (page * limit < len(ordered))


def test_a_kept_row_of_a_period_that_still_runs_is_no_answer(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": 10, "gone": 1}, on_day(20))
    recompute(store, PeriodType.WEEKLY, 20)
    sync(store, instance_id, {"a": 30}, on_day(21))
    for order in Order:
        page = databases(store, evolve(WEEKS, order=order))
        assert sorted((row.database_name, row.aggregate.size_sum_bytes) for row in page.rows) == [
            ("a", 40), ("gone", 1),
        ]  # fmt: skip
        assert page.total == 2
    assert [row.aggregate.data_count for row in instances(store, WEEKS).rows] == [2]
    assert summaries(store, WEEKS) == (
        GrowthSummary(1, 1, 20, 30, None, 1),
        GrowthSummary(1, 1, 21, 30, None, 1),
    )


def test_a_summary_takes_the_running_period_where_there_is_one(
    store: AnyStore, instance_id: int
) -> None:
    other = weeks_of_a_shop(store, instance_id)
    # 120, 2 and 20 of this week and 7 of a week that ended; only the 120 has a week before it.
    assert summaries(store, WEEKS) == (
        GrowthSummary(4, 2, 149, 120, 30, 3),
        GrowthSummary(2, 2, 122 + 27, 122, 32, 1),
    )
    ended = evolve(WEEKS, days=DateRange(None, on_day(19).day))
    assert summaries(store, ended)[0] == GrowthSummary(3, 2, 107, 90, -20, 2)
    assert summaries(store, evolve(ended, instance_ids=(other,)))[0].series_count == 2


@pytest.mark.parametrize("kind", PeriodType)
def test_a_summary_leaves_out_what_was_dropped_and_says_of_which_periods_it_is(
    store: AnyStore, instance_id: int, kind: PeriodType
) -> None:
    other = add_instance(store, "other")
    sync(store, other, {"a": 1000}, on_day(-21))
    sync(store, instance_id, {"a": 10, "dropped": 100}, on_day(19))
    sync(store, instance_id, {"a": 10}, on_day(20))
    recompute(store, kind, -21, 19)
    question = evolve(DAYS, period_type=kind)
    found = summaries(store, question)
    assert (found[0].series_count, found[0].total_size_bytes) == (2, 1010)
    with store.begin() as work:
        told = [work.growth.database_summary(question), work.growth.instance_summary(question)]
    ends = [period_of(kind, on_day(number).day).start for number in (-21, 20)]
    assert [[each.oldest_start, each.newest_start] for each in told] == [ends, ends]


def test_averages_of_a_summary_are_rounded_each(store: AnyStore, instance_id: int) -> None:
    for number, size in ((0, 1), (1, 2), (2, 2)):
        sync(store, instance_id, {"a": size, "b": size, "half": size + number % 2}, on_day(number))
    # 5 / 3 and 5 / 3 and 6 / 3; then 3 / 2 and 3 / 2 and 4 / 2.
    recompute(store, PeriodType.WEEKLY, 0)
    assert summaries(store, WEEKS)[0].total_size_bytes == 6
    sync(store, instance_id, {"x": 1}, on_day(20))
    sync(store, instance_id, {"x": 2}, on_day(21))
    assert summaries(store, evolve(WEEKS, database_name="x"))[0].total_size_bytes == 2


def history(store: AnyStore) -> None:
    """Four instances of two engines, one of them removed, another disabled, over seven weeks."""
    owners = [add_instance(store, name) for name in ("one", "two", "three", "gone")]
    with store.begin() as work:
        work.instances.save(evolve(work.instances.get(owners[1]), db_type="mysql"))
        work.commit()
    for number in (-28, -27, -14, -6, 0, 1, 9, 13, 14, 19, 20):
        for owner in owners:
            found: dict[str, int | DatabaseSize | Outcome] = {
                "a": 100 + number * owner,
                "B": DatabaseSize("B", 50, "m", log_size_bytes=9 - number % 3),
                "moved": DatabaseSize("moved", 70, "old" if number < 10 else "new"),
            }
            if number % 2:
                found["odd"] = 40
            if owner == owners[2] and number > 15:
                found["B"] = Outcome.DENIED
            sync(store, owner, found, on_day(number))
    for kind, numbers in (
        (PeriodType.WEEKLY, (-28, -14, -7, 0, 7, 14, 20)),
        (PeriodType.MONTHLY, (-28, 0)),
        (PeriodType.QUARTERLY, (0,)),
    ):
        recompute(store, kind, *numbers)
    with store.begin() as work:
        work.instances.save(evolve(work.instances.get(owners[0]), is_active=False))
        work.commit()
    remove(store, owners[3])


def test_any_filters_together_are_answered_as_by_memory(store: AnyStore) -> None:
    memory = MemoryStore()
    for each in (memory, store):
        history(each)
    asked = 0
    every = product(
        PeriodType,
        Order,
        ((), (4, 3, 2, 2**63)),
        ((), ("mysql", "oracle")),
        (None, "moved"),
        (
            DateRange(),
            DateRange(on_day(0).day, on_day(10).day),
            DateRange(on_day(18).day),
            DateRange(None, on_day(13).day),
        ),
    )
    for kind, order, ids, types, name, days in islice(every, None, None, 3):  # any three still meet
        question = AggregateQuestion(
            period_type=kind,
            today=TODAY,
            days=days,
            instance_ids=ids,
            db_types=types,
            database_name=name,
            order=order,
            paging=Paging(asked % 3 + 1, (7, 200, 2)[asked % 3]),
            count=asked % 2 == 0,
        )
        asked += 1
        assert databases(store, question) == databases(memory, question), question
        assert instances(store, question) == instances(memory, question), question
        if order is Order.NEWEST:
            assert summaries(store, question) == summaries(memory, question), question
    assert asked == 171
