"""What a sync leaves in the store."""

import pytest
from attrs import evolve
from tests.builders import NOON
from tests.stores import (
    AnyStore,
    Found,
    add_instance,
    aggregates_of,
    on_day,
    report_of,
    stage,
    sync,
)

from capacity_core.errors import NotFoundError, StoreError
from capacity_core.filters import FilterRules
from capacity_core.inventory import reconcile
from capacity_core.model import (
    MAX_BYTES,
    DatabaseSize,
    Freshness,
    Inventory,
    LastSync,
    Outcome,
    Reason,
    Scenario,
    SeenDatabase,
)
from capacity_core.reads import DatabaseRow, DateRange, InstanceDay, Paging, SizeRow

AWKWARD_NAMES = [
    " both ends ",
    "Shop",
    "shop",
    "quo\"te'd",
    "back\\slash \\u0000 %s :day {items}",
    "订单归档",
    "Ω café 🐘",
    "x" * 64,
    "",
    "tab\tnew\nline",
]


def latest(store: AnyStore, instance_id: int) -> dict[str, SizeRow]:
    with store.begin() as work:
        return {row.database_name: row for row in work.reads.sizes_on(instance_id, None)}


def inventory(store: AnyStore, instance_id: int) -> dict[str, DatabaseRow]:
    with store.begin() as work:
        page = work.reads.databases(instance_id, Paging(limit=200))
    assert page.total == len(page.rows)
    return {row.database_name: row for row in page.rows}


def day_of(store: AnyStore, instance_id: int, number: int) -> InstanceDay | None:
    with store.begin() as work:
        return work.reads.instance_day(instance_id, on_day(number).day)


def test_the_last_attempt_is_kept(store: AnyStore, instance_id: int) -> None:
    attempt = LastSync(NOON, Scenario.CONNECT_FAILED, Reason.TIMEOUT)
    with store.begin() as work:
        work.repository.save_last_sync(instance_id, attempt)
        work.commit()
    with store.begin() as work:
        assert work.repository.get_instance_and_databases(instance_id)[0].last_sync == attempt


@pytest.mark.parametrize("missing", [0, -5, 999_999, 2**63, 10**30])
def test_a_missing_instance_is_not_found(store: AnyStore, missing: int) -> None:
    with store.begin() as work:
        with pytest.raises(NotFoundError):
            work.repository.get_instance_and_databases(missing)
        assert work.repository.known_databases(missing) == {}
        assert work.reads.sizes_on(missing, None) == []
        assert work.reads.instance_day(missing, NOON.date()) is None
        assert work.reads.databases(missing, Paging()).total == 0
        assert work.reads.history(missing, "a", DateRange(), Paging()).total == 0


def test_sizes_come_back_as_they_were_measured(store: AnyStore, instance_id: int) -> None:
    size = DatabaseSize("a", 300, "mysql.tablespaces", data_size_bytes=200, log_size_bytes=100)
    sync(store, instance_id, {"a": size}, on_day(0))
    assert latest(store, instance_id) == {
        "a": SizeRow(
            database_name="a",
            collected_date=NOON.date(),
            size_bytes=300,
            data_size_bytes=200,
            log_size_bytes=100,
            method="mysql.tablespaces",
            collected_at=NOON,
            last_outcome=Outcome.MEASURED,
            last_attempt_at=NOON,
            freshness=Freshness.LIVE,
        )
    }


def test_the_number_of_sizes_written_is_returned(store: AnyStore, instance_id: int) -> None:
    report = report_of({"a": 1, "b": 2, "c": Outcome.DENIED})
    with store.begin() as work:
        assert work.repository.save_database_stats(instance_id, report, on_day(0)) == 2


def test_names_are_kept_verbatim_and_in_code_point_order(store: AnyStore, instance_id: int) -> None:
    sync(store, instance_id, dict.fromkeys(AWKWARD_NAMES, 5), on_day(0))
    with store.begin() as work:
        _, known = work.repository.get_instance_and_databases(instance_id)
        assert work.repository.known_databases(instance_id) == known
        sizes = work.reads.sizes_on(instance_id, None)
        page = work.reads.databases(instance_id, Paging())
        for name in AWKWARD_NAMES:
            history = work.reads.history(instance_id, name, DateRange(), Paging())
            assert [row.database_name for row in history.rows] == [name]
    assert known == dict.fromkeys(AWKWARD_NAMES, True)
    assert [row.database_name for row in sizes] == sorted(AWKWARD_NAMES)
    assert [row.database_name for row in page.rows] == sorted(AWKWARD_NAMES)


@pytest.mark.parametrize("name", ["nul\0byte", "half \udcff"])
def test_a_name_that_no_store_can_hold_is_refused(
    store: AnyStore, instance_id: int, name: str
) -> None:
    with store.begin() as work:
        with pytest.raises(StoreError):
            stage(work, instance_id, {name: 1}, on_day(0))
        with pytest.raises(StoreError):
            work.repository.save_database_stats(
                instance_id, report_of({name: Outcome.ERROR}), on_day(0)
            )
        assert work.reads.history(instance_id, name, DateRange(), Paging()).rows == ()


def test_the_same_sync_twice_leaves_one_row_a_database(store: AnyStore, instance_id: int) -> None:
    found: Found = {"a": 5, "b": Outcome.DENIED}
    sync(store, instance_id, found, on_day(0))
    before = latest(store, instance_id), aggregates_of(store, instance_id)
    sync(store, instance_id, found, on_day(0))
    assert (latest(store, instance_id), aggregates_of(store, instance_id)) == before
    with store.begin() as work:
        assert work.reads.history(instance_id, "a", DateRange(), Paging()).total == 1


def test_a_database_that_is_offline_keeps_bytes_and_outcome(
    store: AnyStore, instance_id: int
) -> None:
    size = DatabaseSize("a", 5, "files", outcome=Outcome.OFFLINE)
    sync(store, instance_id, {"a": size, "b": 2}, on_day(0))
    row = latest(store, instance_id)["a"]
    assert (row.size_bytes, row.last_outcome, row.method) == (5, Outcome.OFFLINE, "files")
    with store.begin() as work:
        day = work.reads.instance_day(instance_id, on_day(0).day)
    assert day is not None
    assert (day.total_size_bytes, day.measured_count) == (7, 2)


def test_a_newer_size_of_the_day_replaces_the_older(store: AnyStore, instance_id: int) -> None:
    sync(store, instance_id, {"a": DatabaseSize("a", 5, "one", 4, 1)}, on_day(0))
    sync(store, instance_id, {"a": DatabaseSize("a", 7, "two")}, on_day(0, seconds=60))
    row = latest(store, instance_id)["a"]
    assert (row.size_bytes, row.data_size_bytes, row.log_size_bytes) == (7, None, None)
    assert (row.method, row.collected_at) == ("two", on_day(0, seconds=60).at)


def test_a_later_failed_attempt_never_erases_a_size(store: AnyStore, instance_id: int) -> None:
    sync(store, instance_id, {"a": DatabaseSize("a", 5, "one", 4, 1)}, on_day(0))
    measured = latest(store, instance_id)["a"]
    later = on_day(0, seconds=60)
    sync(store, instance_id, {"a": Outcome.TIMED_OUT}, later)
    assert latest(store, instance_id)["a"] == evolve(
        measured, last_outcome=Outcome.TIMED_OUT, last_attempt_at=later.at
    )


def test_unknown_is_not_zero(store: AnyStore, instance_id: int) -> None:
    sync(store, instance_id, {"a": Outcome.DENIED, "b": 0}, on_day(0))
    rows = latest(store, instance_id)
    assert (rows["a"].size_bytes, rows["a"].method, rows["a"].collected_at) == (None, None, None)
    assert rows["b"].size_bytes == 0
    assert list(rows) == ["b", "a"]  # without a size: last
    assert set(aggregates_of(store, instance_id)[0]) == {("b", NOON.date())}


def test_a_dropped_database_is_remembered_and_can_come_back(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": 1, "b": 2}, on_day(0))
    sync(store, instance_id, {"b": 2}, on_day(1))
    gone = inventory(store, instance_id)["a"]
    assert (gone.is_active, gone.deleted_at) == (False, on_day(1).at)
    assert (gone.first_seen_date, gone.last_seen_date) == (on_day(0).day, on_day(0).day)
    sync(store, instance_id, {"b": 2}, on_day(2))
    assert inventory(store, instance_id)["a"] == gone
    sync(store, instance_id, {"a": 1, "b": 2}, on_day(3))
    back = inventory(store, instance_id)["a"]
    assert (back.is_active, back.deleted_at) == (True, None)
    assert (back.first_seen_date, back.last_seen_date) == (on_day(0).day, on_day(3).day)


def test_a_database_that_vanished_is_inactive_and_keeps_its_outcome(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": Outcome.VANISHED, "b": 2}, on_day(0))
    row = inventory(store, instance_id)["a"]
    assert (row.is_active, row.deleted_at) == (False, NOON)
    assert latest(store, instance_id)["a"].last_outcome is Outcome.VANISHED
    assert day_of(store, instance_id, 0) == InstanceDay(NOON.date(), 2, 0, 1, 1, NOON)


def test_whether_a_database_is_the_engines_own_is_kept_up_to_date(
    store: AnyStore, instance_id: int
) -> None:
    for is_system in (True, False):
        with store.begin() as work:
            seen = Inventory((SeenDatabase("mysql", is_system=is_system),))
            rules = FilterRules(include=("mysql",))
            change = reconcile(work.repository.known_databases(instance_id), seen, rules)
            work.repository.save_inventory(instance_id, change, on_day(0))
            work.commit()
        assert inventory(store, instance_id)["mysql"].is_system is is_system


def test_the_total_carries_the_last_known_size_of_the_unmeasured(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": 10, "b": 20, "c": 40}, on_day(0))
    sync(store, instance_id, {"a": 11, "b": Outcome.DENIED, "c": 41}, on_day(1))
    sync(
        store,
        instance_id,
        {"a": Outcome.DENIED, "b": Outcome.DENIED, "n": Outcome.ERROR},
        on_day(2),
    )
    assert day_of(store, instance_id, 1) == InstanceDay(on_day(1).day, 52, 20, 2, 3, on_day(1).at)
    assert day_of(store, instance_id, 2) == InstanceDay(on_day(2).day, 0, 31, 0, 3, on_day(2).at)


def test_the_total_counts_what_was_measured_earlier_that_day(
    store: AnyStore, instance_id: int
) -> None:
    sync(store, instance_id, {"a": 10, "b": 20}, on_day(0))
    sync(store, instance_id, {"a": 12, "b": Outcome.TIMED_OUT}, on_day(0, seconds=9))
    day = day_of(store, instance_id, 0)
    assert day == InstanceDay(NOON.date(), 32, 0, 2, 2, on_day(0, seconds=9).at)


def test_an_instance_without_databases_is_zero(store: AnyStore, instance_id: int) -> None:
    assert sync(store, instance_id, {}, on_day(0))
    assert day_of(store, instance_id, 0) == InstanceDay(NOON.date(), 0, 0, 0, 0, NOON)


def test_the_largest_total_is_exact(store: AnyStore, instance_id: int) -> None:
    half = MAX_BYTES // 2
    assert sync(store, instance_id, {"a": half, "b": half, "c": 1}, on_day(0))
    day = day_of(store, instance_id, 0)
    assert day is not None
    assert day.total_size_bytes == MAX_BYTES


@pytest.mark.parametrize(
    "second_day",
    [
        {"a": MAX_BYTES, "b": 1},
        {"a": MAX_BYTES, "b": MAX_BYTES, "c": MAX_BYTES},
        {"a": 1, "b": Outcome.DENIED},
        {"a": Outcome.DENIED, "b": Outcome.DENIED, "c": Outcome.DENIED},
    ],
)
def test_a_total_beyond_64_bits_is_refused_and_nothing_written(
    store: AnyStore, instance_id: int, second_day: dict[str, int | Outcome]
) -> None:
    for name in ("a", "b", "c"):  # the last known sizes, one at a time
        with store.begin() as work:
            report = report_of({name: MAX_BYTES})
            work.repository.save_database_stats(instance_id, report, on_day(0))
            work.commit()
    assert not sync(store, instance_id, second_day, on_day(1))
    assert day_of(store, instance_id, 1) is None
    assert set(inventory(store, instance_id)) == set(second_day)


def test_a_refused_total_leaves_the_days_earlier_one(store: AnyStore, instance_id: int) -> None:
    sync(store, instance_id, {"a": 5}, on_day(0))
    before = day_of(store, instance_id, 0)
    assert not sync(store, instance_id, {"a": 5, "b": MAX_BYTES}, on_day(0, seconds=60))
    assert day_of(store, instance_id, 0) == before


def test_instances_do_not_mix(store: AnyStore, instance_id: int) -> None:
    other = add_instance(store, "other")
    sync(store, instance_id, {"a": 1, "b": 2}, on_day(0))
    sync(store, other, {"a": 100}, on_day(0))
    assert day_of(store, instance_id, 0) == InstanceDay(NOON.date(), 3, 0, 2, 2, NOON)
    assert set(latest(store, other)) == {"a"}
    assert set(aggregates_of(store, other)[0]) == {("a", NOON.date())}


def test_the_attempt_tells_where_the_instance_is_now(store: AnyStore, instance_id: int) -> None:
    attempt = LastSync(NOON, Scenario.COMPLETE)
    with store.begin() as work:
        place = work.repository.save_last_sync(instance_id, attempt)
        now = work.instances.get(instance_id)
        assert (place, attempt) == (now.place, now.last_sync)
    with store.begin() as work, pytest.raises(NotFoundError):
        work.repository.save_last_sync(999, attempt)
