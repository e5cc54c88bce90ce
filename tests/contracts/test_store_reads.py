"""Lists and pages: complete, in a fixed order, paged by the store."""

from itertools import pairwise

from tests.builders import NOON
from tests.stores import AnyStore, Found, add_instance, on_day, sync

from capacity_core.filters import FilterRules
from capacity_core.inventory import reconcile
from capacity_core.model import DatabaseSize, Freshness, Inventory, Outcome, SeenDatabase
from capacity_core.reads import DateRange, Paging


def test_databases_show_their_latest_size_and_their_latest_attempt(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": 1, "b": 2, "gone": 3}, on_day(0))
    sync(store, instance_id, {"a": 5, "b": Outcome.DENIED, "new": Outcome.OFFLINE}, on_day(2))
    with store.begin() as work:
        rows = work.reads.databases(instance_id, Paging()).rows
    told = [
        (
            row.database_name,
            row.is_active,
            row.size and (row.size.collected_date, row.size.size_bytes),
            row.latest and (row.latest.collected_date, row.latest.last_outcome),
        )
        for row in rows
    ]
    first, last = on_day(0).day, on_day(2).day
    assert told == [
        ("a", True, (last, 5), (last, Outcome.MEASURED)),
        ("b", True, (first, 2), (last, Outcome.DENIED)),
        ("new", True, None, (last, Outcome.OFFLINE)),
        ("gone", False, (first, 3), (first, Outcome.MEASURED)),
    ]


def test_a_known_database_without_any_attempt_has_neither(
    store: AnyStore, instance_id: int
) -> None:
    with store.begin() as work:
        change = reconcile({}, Inventory((SeenDatabase("a"),)), FilterRules())
        work.repository.save_inventory(instance_id, change, on_day(0))
        work.commit()
        row = work.reads.databases(instance_id, Paging()).rows[0]
    assert (row.size, row.latest) == (None, None)


def test_databases_are_paged_active_ones_first(store: AnyStore, instance_id: int) -> None:
    names = [f"db{number:02}" for number in range(25)]
    sync(store, instance_id, dict.fromkeys(names, 1), on_day(0))
    sync(store, instance_id, dict.fromkeys(names[::2], 1), on_day(1))
    with store.begin() as work:
        pages = [work.reads.databases(instance_id, Paging(number, 10)) for number in (1, 2, 3, 4)]
    seen = [row.database_name for page in pages for row in page.rows]
    assert seen == names[::2] + names[1::2]
    assert {page.total for page in pages} == {25}


def test_history_is_newest_first_within_the_range(store: AnyStore, instance_id: int) -> None:
    for number in range(6):
        sync(store, instance_id, {"a": number, "b": 100}, on_day(number))
    days = DateRange(on_day(1).day, on_day(4).day)
    with store.begin() as work:
        everything = work.reads.history(instance_id, "a", DateRange(), Paging())
        some = work.reads.history(instance_id, "a", days, Paging(2, 3))
        open_start = work.reads.history(instance_id, "a", DateRange(None, on_day(1).day), Paging())
        open_end = work.reads.history(instance_id, "a", DateRange(on_day(4).day), Paging())
        nothing = work.reads.history(instance_id, "A", DateRange(), Paging())
    assert [row.size_bytes for row in everything.rows] == [5, 4, 3, 2, 1, 0]
    assert ([row.size_bytes for row in some.rows], some.total) == ([1], 4)
    assert [row.size_bytes for row in open_start.rows] == [1, 0]
    assert [row.size_bytes for row in open_end.rows] == [5, 4]
    assert (nothing.rows, nothing.total) == ((), 0)


def test_a_day_with_another_method_than_the_last_known_is_marked(
    store: AnyStore, instance_id: int
) -> None:
    days: list[DatabaseSize | Outcome] = [
        Outcome.DENIED,
        DatabaseSize("a", 1, "old"),
        Outcome.TIMED_OUT,
        DatabaseSize("a", 2, "new"),
        DatabaseSize("a", 3, "new"),
        Outcome.TIMED_OUT,
        DatabaseSize("a", 3, "old"),
    ]
    marked = [False, False, False, True, False, False, True]
    for number, fate in enumerate(days):
        found: Found = {"a": fate, "b": 1}
        sync(store, instance_id, found, on_day(number))
        with store.begin() as work:
            database = work.reads.databases(instance_id, Paging()).rows[0]
        assert database.latest is not None
        assert database.latest.method_changed == marked[number]
        if database.size is not None:
            assert database.size.method_changed == marked[number - (number in {2, 5})]
    with store.begin() as work:
        history = work.reads.history(instance_id, "a", DateRange(), Paging())
        page = work.reads.history(instance_id, "a", DateRange(on_day(3).day), Paging(4, 1))
        on_days = [work.reads.sizes_on(instance_id, on_day(number).day) for number in range(7)]
        other = work.reads.history(instance_id, "b", DateRange(), Paging())
    assert [row.method_changed for row in history.rows] == marked[::-1]
    assert [row.method_changed for row in page.rows] == [True]
    assert [[r.method_changed for r in rows if r.database_name == "a"] for rows in on_days] == [
        [mark] for mark in marked
    ]
    assert not any(row.method_changed for row in other.rows)


def test_what_comes_with_a_size_is_that_of_the_days_latest_measurement(
    store: AnyStore, instance_id: int
) -> None:
    full = DatabaseSize(
        "a",
        9,
        "m",
        used_size_bytes=7,
        ceiling_bytes=2**63 - 1,
        freshness=Freshness.ESTIMATE,
        duration_ms=12,
    )
    told = []
    founds: list[Found] = [{"a": full}, {"a": Outcome.DENIED}, {"a": 8}]
    for number, found in enumerate(founds):
        sync(store, instance_id, found, on_day(0, number))
        with store.begin() as work:
            [row] = work.reads.sizes_on(instance_id, None)
            [database] = work.reads.databases(instance_id, Paging()).rows
        assert database.size == database.latest == row
        told.append((row.used_size_bytes, row.ceiling_bytes, row.freshness, row.duration_ms))
    kept = (7, 2**63 - 1, Freshness.ESTIMATE, 12)
    assert told == [kept, kept, (None, None, Freshness.LIVE, None)]


def test_sizes_of_a_day_are_largest_first_then_by_name(store: AnyStore, instance_id: int) -> None:
    found: Found = {
        "b": 5,
        "a": 5,
        "z": Outcome.DENIED,
        "y": Outcome.ERROR,
        "B": 5,
        "big": 9,
        "zero": 0,
    }
    sync(store, instance_id, {"older": 1}, on_day(0))
    sync(store, instance_id, found, on_day(1))
    with store.begin() as work:
        rows = work.reads.sizes_on(instance_id, None)
        assert rows == work.reads.sizes_on(instance_id, on_day(1).day)
        assert [row.database_name for row in work.reads.sizes_on(instance_id, NOON.date())] == [
            "older"
        ]
        assert work.reads.sizes_on(instance_id, on_day(2).day) == []
    assert [row.database_name for row in rows] == ["big", "B", "a", "b", "zero", "y", "z"]
    sizes = [row.size_bytes for row in rows if row.size_bytes is not None]
    assert all(left >= right for left, right in pairwise(sizes))


def test_days_of_an_instance_are_newest_first(store: AnyStore, instance_id: int) -> None:
    other = add_instance(store, "other")
    sync(store, other, {"a": 1}, on_day(9))
    for number in range(3):
        sync(store, instance_id, {"a": number, "b": Outcome.DENIED}, on_day(number))
    with store.begin() as work:
        page = work.reads.instance_days(instance_id, Paging())
        second = work.reads.instance_days(instance_id, Paging(2, 2))
        nothing = work.reads.instance_days(7**30, Paging())
        each = [work.reads.instance_day(instance_id, on_day(number).day) for number in (2, 1, 0)]
    assert list(page.rows) == each
    assert [(day.total_size_bytes, day.measured_count, day.active_count) for day in page.rows] == [
        (2, 1, 2),
        (1, 1, 2),
        (0, 1, 2),
    ]
    assert (second.rows, second.total) == (page.rows[2:], 3)
    assert (nothing.rows, nothing.total) == ((), 0)
