"""Many at once: no row lost, no error, one sync an instance."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from tests.stores import AnyStore, add_instance, on_day, stage

from capacity_core.errors import ConflictError, SyncInProgressError
from capacity_core.model import Secret
from capacity_core.reads import Paging

THREADS = 10
ROUNDS = 3


def at_once(work: Callable[[int], object]) -> list[object]:
    start = Barrier(THREADS)

    def run(number: int) -> object:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def sync_under_lease(store: AnyStore, instance_id: int, name: str, day: int) -> None:
    lease = store.leases.acquire(instance_id, 60)
    with store.begin(lease) as work:
        stage(work, instance_id, {"always": 1, name: 2}, on_day(day))
        work.commit()


def test_ten_instances_at_once_lose_nothing(store: AnyStore) -> None:
    ids = [add_instance(store, f"i{number}") for number in range(THREADS)]

    def syncs(number: int) -> None:
        for day in range(ROUNDS):
            sync_under_lease(store, ids[number], f"own {number}", day)

    at_once(syncs)
    for number, instance_id in enumerate(ids):
        with store.begin() as work:
            assert work.repository.known_databases(instance_id) == {
                "always": True,
                f"own {number}": True,
            }
            for day in range(ROUNDS):
                kept = work.reads.instance_day(instance_id, on_day(day).day)
                assert kept is not None
                assert (kept.total_size_bytes, kept.measured_count) == (3, 2)


def test_ten_syncs_of_one_instance_at_once_are_one_after_the_other(
    store: AnyStore, instance_id: int
) -> None:
    def syncs(number: int) -> str:
        try:
            sync_under_lease(store, instance_id, f"own {number}", 0)
        except SyncInProgressError:
            return "busy"
        return f"own {number}"

    said = at_once(syncs)
    synced = [name for name in said if name != "busy"]
    assert synced
    with store.begin() as work:
        known = work.repository.known_databases(instance_id)
        assert set(known) == {"always", *synced}
        assert sum(known.values()) == 2  # the last one's
        assert work.reads.databases(instance_id, Paging()).total == 1 + len(synced)


def test_ten_writers_at_once_lose_nothing(store: AnyStore) -> None:
    def writes(number: int) -> None:
        for turn in range(ROUNDS):
            instance_id = add_instance(store, f"i{number}-{turn}")
            with store.begin() as work:
                work.credentials.seal(work.instances.get(instance_id), Secret("x"))
                work.commit()

    at_once(writes)
    with store.begin() as work:
        assert work.instances.page(Paging()).total == THREADS * ROUNDS


@pytest.mark.parametrize("attempt", range(3))
def test_of_ten_that_register_the_same_name_one_succeeds(store: AnyStore, attempt: int) -> None:
    def register(_number: int) -> bool:
        try:
            add_instance(store, f"same{attempt}")
        except ConflictError:
            return False
        return True

    assert at_once(register).count(True) == 1


def test_of_ten_that_ask_for_the_lease_one_gets_it(store: AnyStore, instance_id: int) -> None:
    def acquire(_number: int) -> bool:
        try:
            store.leases.acquire(instance_id, 60)
        except SyncInProgressError:
            return False
        return True

    assert at_once(acquire).count(True) == 1
