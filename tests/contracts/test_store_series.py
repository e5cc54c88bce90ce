"""What forecasts read: known sizes oldest first, ceilings, and the limits that users set."""

from itertools import pairwise

import pytest
from attrs import evolve
from tests.builders import NOON
from tests.stores import AnyStore, Found, add_instance, instance_in, on_day, sync

from capacity_core.errors import NotFoundError
from capacity_core.growth_reads import SeriesDay
from capacity_core.model import MAX_BYTES, DatabaseSize, Outcome

START = NOON.date()


def test_a_series_has_the_known_sizes_of_active_databases(
    store: AnyStore, instance_id: int
) -> None:
    days: list[Found] = [
        {"a": 1, "b": 7, "gone": 3},
        {"a": Outcome.DENIED, "b": DatabaseSize("b", 8, "m", identity="9"), "gone": 3},
        {"a": 2, "b": 0, "denied": Outcome.DENIED},
    ]
    for number, found in enumerate(days):
        sync(store, instance_id, found, on_day(number))
    sync(store, add_instance(store, "other"), {"a": 99}, on_day(0))
    first, second, third = (on_day(number).day for number in range(3))
    method = "pg.database_size"
    a = [SeriesDay(first, 1, method), SeriesDay(third, 2, method)]
    b = [SeriesDay(first, 7, method), SeriesDay(second, 8, "m", "9"), SeriesDay(third, 0, method)]
    with store.begin() as work:
        series = work.series
        assert series.database_series(instance_id, START, ["b", "a"]) == {"a": a, "b": b}
        assert series.database_series(instance_id, second, ["a", "b"]) == {"a": a[1:], "b": b[1:]}
        strange = ["gone", "denied", "A", "", "\0", "\ud800"]
        assert series.database_series(instance_id, START, [*strange, "a"]) == {"a": a}
        assert series.database_series(instance_id, START, strange) == {}
        assert series.database_series(instance_id, START, []) == {}
        assert series.database_series(7**30, START, ["a"]) == {}


def test_totals_are_measured_and_carried_and_tell_where_they_broke(
    store: AnyStore, instance_id: int
) -> None:
    days: list[Found] = [
        {"a": 1, "b": 10},
        {"a": 2, "b": Outcome.DENIED},
        {"a": DatabaseSize("a", 3, "other"), "b": 20},
        {"a": DatabaseSize("a", 4, "other"), "b": 20},
    ]
    for number, found in enumerate(days):
        sync(store, instance_id, found, on_day(number))
    with store.begin() as work:
        series = work.series.instance_series(instance_id, START)
        later = work.series.instance_series(instance_id, on_day(3).day)
        assert work.series.instance_series(7**30, START) == []
    assert [(row.day, row.size_bytes) for row in series] == [
        (on_day(number).day, size) for number, size in enumerate((11, 12, 23, 24))
    ]
    assert series[0].method == series[1].method != series[2].method == series[3].method
    assert [row.size_bytes for row in later] == [24]


def test_totals_tell_where_databases_came_went_or_were_made_anew(
    store: AnyStore, instance_id: int
) -> None:
    def made(size: int, identity: str) -> DatabaseSize:
        return DatabaseSize("a", size, "m", identity=identity)

    days: list[Found] = [
        {"a": made(90, "1"), "b": 5},
        {"a": made(90, "1"), "b": Outcome.DENIED},
        {"a": made(7, "2"), "b": 5},
        {"a": made(7, "2"), "b": 5},
        {"a": made(7, "2")},
        {"a": made(7, "2"), "c": 1},
        {"a": made(7, "2"), "d": 1},
    ]
    for number, found in enumerate(days):
        sync(store, instance_id, found, on_day(number))
    with store.begin() as work:
        series = work.series.instance_series(instance_id, START)
    assert len({row.method for row in series}) == 1
    assert [row.identity != before.identity for before, row in pairwise(series)] == [
        False, True, False, True, True, True,
    ]  # fmt: skip


def test_ceilings_are_those_of_the_latest_known_size(store: AnyStore, instance_id: int) -> None:
    def ceiling(name: str, size: int | None) -> DatabaseSize:
        return DatabaseSize(name, 1, "m", ceiling_bytes=size)

    first: Found = {name: ceiling(name, 100) for name in ("kept", "raised", "lifted", "gone")}
    sync(store, instance_id, first, on_day(0))
    second: Found = {
        "kept": Outcome.DENIED,
        "raised": ceiling("raised", MAX_BYTES),
        "lifted": ceiling("lifted", None),
        "never": Outcome.DENIED,
    }
    sync(store, instance_id, second, on_day(1))
    with store.begin() as work:
        assert work.series.engine_ceilings(instance_id) == {"kept": 100, "raised": MAX_BYTES}
        assert work.series.engine_ceilings(7**30) == {}


def test_limits_are_set_replaced_and_removed(store: AnyStore, instance_id: int) -> None:
    other = add_instance(store, "other")
    with store.begin() as work:
        work.limits.set(other, "a", 1)
        work.limits.set(instance_id, "a", 5)
        work.limits.set(instance_id, None, MAX_BYTES)
        work.limits.set(instance_id, "a", 6)
        work.commit()
    with store.begin() as work:
        work.limits.set(instance_id, "b", 7)
    with store.begin() as work:
        assert work.limits.all(instance_id) == {None: MAX_BYTES, "a": 6}
        assert work.limits.all(7**30) == {}
        work.limits.remove(instance_id, None)
        work.commit()
    with store.begin() as work:
        assert (work.limits.all(instance_id), work.limits.all(other)) == ({"a": 6}, {"a": 1})


@pytest.mark.parametrize("name", [None, "A", "\0", "\ud800"])
def test_a_limit_that_is_not_set_cannot_be_removed(
    store: AnyStore, instance_id: int, name: str | None
) -> None:
    with store.begin() as work:
        work.limits.set(instance_id, "a", 5)
        for owner in (instance_id, 7**30):
            with pytest.raises(NotFoundError):
                work.limits.remove(owner, name)
        assert work.limits.all(instance_id) == {"a": 5}


def test_limits_of_a_removed_instance_harm_nobody(store: AnyStore, instance_id: int) -> None:
    with store.begin() as work:
        work.limits.set(instance_id, None, 5)
        work.instances.save(evolve(instance_in(store, instance_id), deleted_at=NOON))
        work.commit()
    again = add_instance(store)
    with store.begin() as work:
        assert work.limits.all(again) == {}
