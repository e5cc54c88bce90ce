"""The lease: one sync an instance, whatever became of the one before."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from tests.builders import NOON
from tests.stores import AnyStore, add_instance, on_day, stage, sync

from capacity_core.errors import NotFoundError, SyncInProgressError
from capacity_core.messages import Language, render

SOON = 0.05


def test_a_second_acquire_says_since_when_it_is_busy(store: AnyStore, instance_id: int) -> None:
    store.leases.acquire(instance_id, 60)
    with pytest.raises(SyncInProgressError) as busy:
        store.leases.acquire(instance_id, 60)
    assert abs(datetime.now(UTC) - busy.value.since) < timedelta(seconds=30)
    assert busy.value.since.utcoffset() == timedelta(0)
    assert "shop" in render(busy.value.message, Language.EN)


def test_instances_have_leases_of_their_own(store: AnyStore, instance_id: int) -> None:
    other = add_instance(store, "other")
    store.leases.acquire(instance_id, 60)
    store.leases.acquire(other, 60)


@pytest.mark.parametrize("missing", [0, -1, 999_999, 2**63, 10**30])
def test_a_missing_instance_has_no_lease(store: AnyStore, missing: int) -> None:
    with pytest.raises(NotFoundError):
        store.leases.acquire(missing, 60)


def test_a_removed_instance_has_no_lease(store: AnyStore, instance_id: int) -> None:
    with store.begin() as work:
        work.instances.save(evolve(work.instances.get(instance_id), deleted_at=NOON))
        work.commit()
    with pytest.raises(NotFoundError):
        store.leases.acquire(instance_id, 60)


def test_a_released_lease_is_free_at_once(store: AnyStore, instance_id: int) -> None:
    first = store.leases.acquire(instance_id, 60)
    store.leases.release(first)
    second = store.leases.acquire(instance_id, 60)
    assert second.fencing > first.fencing


def test_an_expired_lease_can_be_taken_over(store: AnyStore, instance_id: int) -> None:
    store.leases.acquire(instance_id, SOON)
    time.sleep(2 * SOON)
    store.leases.acquire(instance_id, 60)


def test_releasing_a_lease_that_was_taken_over_is_harmless(
    store: AnyStore, instance_id: int
) -> None:
    late = store.leases.acquire(instance_id, SOON)
    time.sleep(2 * SOON)
    store.leases.acquire(instance_id, 60)
    store.leases.release(late)
    with pytest.raises(SyncInProgressError):
        store.leases.acquire(instance_id, 60)


def test_releasing_twice_is_harmless(store: AnyStore, instance_id: int) -> None:
    lease = store.leases.acquire(instance_id, 60)
    store.leases.release(lease)
    store.leases.release(lease)


def test_a_commit_gives_the_lease_back(store: AnyStore, instance_id: int) -> None:
    sync(store, instance_id, {"a": 1}, on_day(0), lease=store.leases.acquire(instance_id, 60))
    store.leases.acquire(instance_id, 60)


def test_a_rollback_keeps_the_lease(store: AnyStore, instance_id: int) -> None:
    lease = store.leases.acquire(instance_id, 60)
    with store.begin(lease) as work:
        stage(work, instance_id, {"a": 1}, on_day(0))
    with pytest.raises(SyncInProgressError):
        store.leases.acquire(instance_id, 60)
    sync(store, instance_id, {"a": 1}, on_day(0), lease=lease)


def test_a_unit_of_work_without_writes_leaves_the_lease_alone(
    store: AnyStore, instance_id: int
) -> None:
    lease = store.leases.acquire(instance_id, 60)
    with store.begin(lease) as work:
        work.repository.known_databases(instance_id)
        work.commit()
    with pytest.raises(SyncInProgressError):
        store.leases.acquire(instance_id, 60)


def test_whoever_lost_the_lease_writes_nothing(store: AnyStore, instance_id: int) -> None:
    late = store.leases.acquire(instance_id, SOON)
    time.sleep(2 * SOON)
    sync(store, instance_id, {"new": 2}, on_day(0), lease=store.leases.acquire(instance_id, 60))
    with pytest.raises(SyncInProgressError):
        sync(store, instance_id, {"late": 1}, on_day(0), lease=late)
    with store.begin() as work:
        assert work.repository.known_databases(instance_id) == {"new": True}


def test_whoever_lost_the_lease_cannot_go_on_after_the_refusal(
    store: AnyStore, instance_id: int
) -> None:
    late = store.leases.acquire(instance_id, 60)
    store.leases.release(late)
    with store.begin(late) as work:
        for _ in range(2):
            with pytest.raises(SyncInProgressError):
                stage(work, instance_id, {"late": 1}, on_day(0))
        work.commit()
    with store.begin() as work:
        assert work.repository.known_databases(instance_id) == {}


def test_a_lease_that_expired_but_was_not_taken_still_writes(
    store: AnyStore, instance_id: int
) -> None:
    lease = store.leases.acquire(instance_id, SOON)
    time.sleep(2 * SOON)
    sync(store, instance_id, {"a": 1}, on_day(0), lease=lease)
