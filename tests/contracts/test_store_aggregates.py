"""The daily aggregates: unrounded, against the last known day, unknown where nothing is known."""

import pytest
from tests.stores import AnyStore, aggregates_of, on_day, report_of, sync

from capacity_core.model import DatabaseSize, Outcome

Found = dict[str, int | DatabaseSize | Outcome]


def test_a_first_day_has_nothing_to_compare_with(store: AnyStore, instance_id: int) -> None:
    sync(store, instance_id, {"a": DatabaseSize("a", 10, "m", 7, 3), "b": 20}, on_day(0))
    day = on_day(0).day
    databases, days = aggregates_of(store, instance_id)
    unknown = (*(None,) * 8, False)
    assert databases == {
        ("a", day): (day, day, 1, 10, 10, 10, 1, 7, 7, 7, 1, 3, 3, 3, *unknown),
        ("b", day): (day, day, 1, 20, 20, 20, 0, None, None, None, 0, None, None, None, *unknown),
    }
    assert days == [(day, day, 1, 30, 30, 30, 2, 2, 2, 2, *(None,) * 6, "unknown", False)]


def test_a_change_is_against_the_last_known_day_which_is_named(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": DatabaseSize("a", 3, "m", 2, 1), "b": 1}, on_day(0))
    sync(store, instance_id, {"a": Outcome.DENIED, "b": 1}, on_day(4))
    sync(store, instance_id, {"a": DatabaseSize("a", 4, "m", 1), "b": 1, "c": 1}, on_day(9))
    databases, days = aggregates_of(store, instance_id)
    third = 1 * 100.0 / 3
    assert databases["a", on_day(9).day][14:] == (
        on_day(0).day, 1, -1, None, third, -50.0, None, third, False,
    )  # fmt: skip
    assert ("a", on_day(4).day) not in databases
    assert databases["b", on_day(9).day][14:16] == (on_day(4).day, 0)
    assert [day[10] for day in days] == [None, on_day(0).day, on_day(4).day]
    # 3 + 1, then 1 measured and 3 carried, then 4 + 1 + 1; two, two, three databases.
    assert [day[11:13] for day in days] == [(None, None), (0, 0.0), (2, 50.0)]
    assert [day[13:15] for day in days] == [(None, None), (0, 0.0), (1, 50.0)]


@pytest.mark.parametrize(
    ("before", "after", "trend"),
    [
        (100, 105, "stable"),
        (100, 106, "growing"),
        (100, 95, "stable"),
        (100, 94, "shrinking"),
        (0, 5, "unknown"),
        (5, 0, "shrinking"),
    ],
)
def test_the_trend_follows_the_unrounded_percentage(
    store: AnyStore, instance_id: int, before: int, after: int, trend: str
) -> None:
    sync(store, instance_id, {"a": before}, on_day(0))
    sync(store, instance_id, {"a": after}, on_day(1))
    assert aggregates_of(store, instance_id)[1][-1][-2] == trend


def test_a_change_of_method_is_a_break_with_a_day_but_without_a_change(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": DatabaseSize("a", 3, "old", 2, 1), "b": 1}, on_day(0))
    sync(store, instance_id, {"a": Outcome.DENIED, "b": 1}, on_day(1))
    sync(store, instance_id, {"a": DatabaseSize("a", 9, "new", 7, 2), "b": 2}, on_day(2))
    sync(store, instance_id, {"a": DatabaseSize("a", 12, "new", 7, 5), "b": 2}, on_day(3))
    databases, days = aggregates_of(store, instance_id)
    assert databases["a", on_day(2).day][14:] == (on_day(0).day, *(None,) * 7, True)
    assert databases["a", on_day(3).day][14:18] == (on_day(2).day, 3, 0, 3)
    assert databases["b", on_day(2).day][15] == 1
    assert [row[-1] for (name, _), row in sorted(databases.items()) if name == "a"] == [
        False, True, False,
    ]  # fmt: skip
    assert [day[10] for day in days] == [None, *(on_day(number).day for number in range(3))]
    assert [day[11] for day in days] == [None, 0, None, 3]
    assert [day[12:] for day in days[2:]] == [
        (None, 0, 0.0, None, "unknown", True),
        (3 * 100.0 / 11, 0, 0.0, 3 * 100.0 / 11, "growing", False),
    ]


def test_a_break_that_a_later_sync_of_the_day_takes_back_compares_again(
    store: AnyStore, instance_id: int
) -> None:
    for method, day in (("old", on_day(0)), ("new", on_day(1)), ("old", on_day(1, seconds=60))):
        sync(store, instance_id, {"a": DatabaseSize("a", 3 + day.at.second, method)}, day)
        databases, days = aggregates_of(store, instance_id)
        row = databases["a", day.day]
        assert (row[-1], days[-1][-1]) == (method == "new",) * 2
    assert row[15] == days[-1][11] == 0


def test_a_break_stays_though_the_database_is_dropped_later(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": DatabaseSize("a", 1000, "old"), "b": 10}, on_day(0))
    sync(store, instance_id, {"a": DatabaseSize("a", 100, "new"), "b": 10}, on_day(1))
    sync(store, instance_id, {"b": 10}, on_day(2))
    written = aggregates_of(store, instance_id)[1]
    with store.begin() as work:
        for number in range(3):
            work.aggregator.calculate_daily_aggregations_for_instance(
                instance_id, on_day(number).day
            )
        work.commit()
    assert aggregates_of(store, instance_id)[1] == written
    assert [(day[11], day[-1]) for day in written] == [(None, False), (None, True), (-100, False)]


def test_a_size_that_became_known_is_a_break_though_the_database_is_dropped_later(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": Outcome.DENIED, "b": 1}, on_day(0))
    sync(store, instance_id, {"a": 900, "b": 1}, on_day(1))
    sync(store, instance_id, {"b": 1}, on_day(2))
    with store.begin() as work:
        work.aggregator.calculate_daily_aggregations_for_instance(instance_id, on_day(1).day)
        work.commit()
    day = aggregates_of(store, instance_id)[1][1]
    assert (day[11], day[-1]) == (None, True)


def test_a_carried_size_breaks_the_instances_series_once(store: AnyStore, instance_id: int) -> None:
    sync(store, instance_id, {"a": DatabaseSize("a", 3, "old"), "b": 1}, on_day(0))
    sync(store, instance_id, {"a": DatabaseSize("a", 9, "new"), "b": 1}, on_day(1))
    sync(store, instance_id, {"a": Outcome.DENIED, "b": 1}, on_day(2))
    sync(store, instance_id, {"a": DatabaseSize("a", 9, "new"), "b": 1}, on_day(3))
    days = aggregates_of(store, instance_id)[1]
    assert [(day[11], day[-1]) for day in days] == [
        (None, False), (None, True), (0, False), (0, False),
    ]  # fmt: skip


def test_a_size_of_a_day_without_a_total_breaks_the_next_days_total(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": DatabaseSize("a", 3, "old"), "b": 1}, on_day(0))
    with store.begin() as work:
        offline = report_of({"a": DatabaseSize("a", 9, "new")})
        work.repository.save_database_stats(instance_id, offline, on_day(1))
        work.commit()
    sync(store, instance_id, {"a": Outcome.DENIED, "b": 1}, on_day(2))
    sync(store, instance_id, {"a": DatabaseSize("a", 9, "new"), "b": 1}, on_day(3))
    days = aggregates_of(store, instance_id)[1]
    assert [(day[10], day[11], day[-1]) for day in days[1:]] == [
        (on_day(0).day, None, True), (on_day(2).day, 0, False),
    ]  # fmt: skip


def test_an_instances_break_needs_no_aggregates_of_its_databases(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": DatabaseSize("a", 3, "old")}, on_day(0))
    with store.begin() as work:
        moment = on_day(1)
        work.repository.save_database_stats(
            instance_id, report_of({"a": DatabaseSize("a", 9, "new")}), moment
        )
        assert work.repository.update_instance_total_size(instance_id, moment)
        work.aggregator.calculate_daily_aggregations_for_instance(instance_id, moment.day)
        work.commit()
    databases, days = aggregates_of(store, instance_id)
    assert ("a", on_day(1).day) not in databases
    assert (days[1][11], days[1][-1]) == (None, True)


@pytest.mark.parametrize("later", [1_000_000, Outcome.DENIED])
def test_a_size_that_was_unknown_is_no_growth_of_the_instance(
    store: AnyStore, instance_id: int, later: int | Outcome
) -> None:
    sync(store, instance_id, {"a": 130, "c": Outcome.DENIED}, on_day(0))
    sync(store, instance_id, {"a": 130, "c": Outcome.DENIED}, on_day(1))
    with store.begin() as work:
        granted = report_of({"c": 1_000_000})
        work.repository.save_database_stats(instance_id, granted, on_day(2))
        work.commit()
    for day in (3, 4):
        sync(store, instance_id, {"a": 130, "c": later}, on_day(day))
    days = aggregates_of(store, instance_id)[1]
    assert [(day[10], *day[11:13], *day[-2:]) for day in days[1:]] == [
        (on_day(0).day, 0, 0.0, "stable", False),
        (on_day(1).day, None, None, "unknown", True),
        (on_day(3).day, 0, 0.0, "stable", False),
    ]


def test_a_database_that_is_new_is_growth_though_its_first_attempt_failed(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": 100}, on_day(0))
    sync(store, instance_id, {"a": 100, "c": Outcome.DENIED}, on_day(1))
    sync(store, instance_id, {"a": 100, "c": 900}, on_day(1, seconds=60))
    day = aggregates_of(store, instance_id)[1][-1]
    assert (day[11], day[-2:]) == (900, ("growing", False))


def test_growth_from_nothing_is_a_change_without_a_percentage(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": 0}, on_day(0))
    sync(store, instance_id, {"a": 5}, on_day(1))
    row = aggregates_of(store, instance_id)[0]["a", on_day(1).day]
    assert (row[15], row[18], row[21]) == (5, None, None)


def test_an_aggregate_follows_a_newer_size_of_the_day(store: AnyStore, instance_id: int) -> None:
    sync(store, instance_id, {"a": 5}, on_day(0))
    sync(store, instance_id, {"a": 8}, on_day(0, seconds=60))
    databases, days = aggregates_of(store, instance_id)
    assert databases["a", on_day(0).day][3] == 8
    assert days[0][3] == 8


def test_a_day_without_sizes_has_no_aggregates(store: AnyStore, instance_id: int) -> None:
    with store.begin() as work:
        aggregator = work.aggregator
        aggregator.calculate_daily_database_aggregations_for_instance(instance_id, on_day(0).day)
        aggregator.calculate_daily_aggregations_for_instance(instance_id, on_day(0).day)
        work.commit()
    assert aggregates_of(store, instance_id) == ({}, [])


def test_totals_of_an_instance_without_databases_compare(store: AnyStore, instance_id: int) -> None:
    for moment in (on_day(0), on_day(1)):
        with store.begin() as work:
            work.repository.update_instance_total_size(instance_id, moment)
            work.aggregator.calculate_daily_aggregations_for_instance(instance_id, moment.day)
            work.commit()
    assert [(day[11], day[-1]) for day in aggregates_of(store, instance_id)[1]] == [
        (None, False), (0, False),
    ]  # fmt: skip


def test_huge_sizes_compare_exactly(store: AnyStore, instance_id: int) -> None:
    huge = 2**62 + 1
    sync(store, instance_id, {"a": huge}, on_day(0))
    sync(store, instance_id, {"a": 3}, on_day(1))
    row = aggregates_of(store, instance_id)[0]["a", on_day(1).day]
    assert row[15] == 3 - huge
    assert row[18] == float(3 - huge) * 100.0 / float(huge)
