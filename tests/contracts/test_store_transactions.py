"""A unit of work: all or nothing, and nothing held before its first write."""

import pytest
from tests.builders import an_instance
from tests.stores import AnyStore, aggregates_of, on_day, stage, sync

from capacity_core.errors import CapacityError, NotFoundError
from capacity_core.model import Secret
from capacity_core.reads import Paging

DAY = on_day(0)


def names(store: AnyStore) -> list[str]:
    with store.begin() as work:
        return [instance.name for instance in work.instances.page(Paging()).rows]


def test_what_was_not_committed_is_undone(store: AnyStore, instance_id: int) -> None:
    with store.begin() as work:
        stage(work, instance_id, {"a": 1}, DAY)
        work.instances.add(an_instance("second"))
        work.credentials.seal(work.instances.get(instance_id), Secret("x"))
    with store.begin() as work:
        assert work.repository.known_databases(instance_id) == {}
        assert work.reads.sizes_on(instance_id, None) == []
        assert work.reads.instance_day(instance_id, DAY.day) is None
        assert work.instances.get(instance_id).last_sync is None
    assert aggregates_of(store, instance_id) == ({}, [])
    assert names(store) == ["shop"]


def test_what_raises_is_undone(store: AnyStore, instance_id: int) -> None:
    with pytest.raises(ZeroDivisionError):
        _write_and_raise(store, instance_id)
    with store.begin() as work:
        assert work.repository.known_databases(instance_id) == {}


def _write_and_raise(store: AnyStore, instance_id: int) -> None:
    with store.begin() as work:
        stage(work, instance_id, {"a": 1}, DAY)
        raise ZeroDivisionError


def test_a_unit_of_work_reads_what_it_wrote(store: AnyStore, instance_id: int) -> None:
    with store.begin() as work:
        stage(work, instance_id, {"a": 1}, DAY)
        assert work.repository.known_databases(instance_id) == {"a": True}
        assert [row.size_bytes for row in work.reads.sizes_on(instance_id, DAY.day)] == [1]


def test_others_see_nothing_before_the_commit(store: AnyStore, instance_id: int) -> None:
    with store.begin() as work:
        stage(work, instance_id, {"a": 1}, DAY)
        with store.begin() as other:
            assert other.repository.known_databases(instance_id) == {}
        work.commit()
        with store.begin() as other:
            assert other.repository.known_databases(instance_id) == {"a": True}


def test_reading_holds_nothing_that_a_writer_would_wait_for(
    store: AnyStore, instance_id: int
) -> None:
    with store.begin() as reader:
        reader.repository.get_instance_and_databases(instance_id)
        reader.repository.known_databases(instance_id)
        sync(store, instance_id, {"a": 1}, DAY)
        assert reader.repository.known_databases(instance_id) == {"a": True}
        stage(reader, instance_id, {"a": 1, "b": 2}, DAY)
        reader.commit()
    with store.begin() as work:
        assert work.repository.known_databases(instance_id) == {"a": True, "b": True}


def test_two_commits_keep_both_halves(store: AnyStore, instance_id: int) -> None:
    with store.begin() as work:
        stage(work, instance_id, {"a": 1}, on_day(0))
        work.commit()
        stage(work, instance_id, {"a": 2}, on_day(1))
        work.commit()
    with store.begin() as work:
        assert [row.size_bytes for row in work.reads.sizes_on(instance_id, None)] == [2]


def test_an_error_of_ours_does_not_spoil_what_the_unit_of_work_wrote(
    store: AnyStore, instance_id: int
) -> None:
    with store.begin() as work:
        stage(work, instance_id, {"a": 1}, DAY)
        with pytest.raises(CapacityError):
            work.instances.add(an_instance("shop"))
        with pytest.raises(NotFoundError):
            work.instances.get(10**30)
        work.commit()
    with store.begin() as work:
        assert work.repository.known_databases(instance_id) == {"a": True}
