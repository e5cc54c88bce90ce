"""Runs and their items: claims, ends, and what becomes of workers that go silent."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from tests.builders import an_instance
from tests.stores import AnyStore, add_instance, running_of

from capacity_core.dispatch import Full, Wanted
from capacity_core.errors import ConflictError, NotFoundError, SyncInProgressError
from capacity_core.model import FileAddress, NetworkAddress, Reason
from capacity_core.reads import Paging
from capacity_core.runs import (
    Claim,
    ItemCounts,
    ItemEnd,
    ItemReason,
    ItemStatus,
    Run,
    RunItem,
    RunStatus,
    Selection,
    Trigger,
)

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
DONE = ItemEnd(
    status=ItemStatus.COMPLETED,
    database_count=2,
    unmeasured_count=1,
    size_bytes=2**62,
    duration_ms=7,
)
FAILED = ItemEnd(status=ItemStatus.FAILED, reason=Reason.TIMEOUT, duration_ms=9)
SOON = 0.05


@pytest.fixture
def instance_ids(store: AnyStore) -> list[int]:
    return [add_instance(store, name) for name in ("a", "b", "c")]


def start(
    store: AnyStore, instance_ids: list[int], selection: Selection | None = None
) -> tuple[Run, bool]:
    with store.begin() as work:
        started = work.runs.start(
            selection or Selection(),
            instance_ids,
            trigger=Trigger.MANUAL,
            requested_by="ann",
            now=NOW,
        )
        work.commit()
    return started


def claim(store: AnyStore, limit: int = 10, owner: str = "me", seconds: float = 60) -> list[Claim]:
    with store.begin() as work:
        waiting = work.runs.waiting(limit)
        claims = work.runs.claim([each.item_id for each in waiting], owner, seconds, NOW)
        work.commit()
    return list(claims)


def finish(store: AnyStore, *ends: tuple[Claim, ItemEnd]) -> list[Run]:
    with store.begin() as work:
        work.runs.finish(ends, LATER)
        closed = work.runs.close_finished(LATER)
        work.commit()
    return list(closed)


def cancel(store: AnyStore, run_id: int) -> Run:
    with store.begin() as work:
        run = work.runs.cancel(run_id, LATER)
        work.commit()
    return run


def reopen(store: AnyStore, run_id: int) -> Run:
    with store.begin() as work:
        run = work.runs.reopen(run_id, LATER)
        work.commit()
    return run


def test_a_run_has_an_item_for_each_instance_in_its_order(
    store: AnyStore, instance_ids: list[int]
) -> None:
    run, is_new = start(store, instance_ids[::-1])
    assert is_new
    assert run.counts == ItemCounts(pending=3)
    with store.begin() as work:
        rows = work.runs.items(run.id, Paging()).rows
        waiting = work.runs.waiting(2)
    assert [row.instance_id for row in rows] == instance_ids[::-1]
    assert [row.instance_name for row in rows] == ["c", "b", "a"]
    assert [each.instance_id for each in waiting] == instance_ids[::-1][:2]


def test_an_end_says_whether_a_run_may_have_ended_with_it(
    store: AnyStore, instance_ids: list[int]
) -> None:
    run, _ = start(store, instance_ids)
    one, two, three = claim(store)
    with store.begin() as work:
        assert not work.runs.finish([(one, DONE)], LATER)
        assert not work.runs.finish([(one, FAILED)], LATER)  # it has ended already
        work.commit()
    with store.begin() as work:
        assert work.runs.finish([(two, DONE), (three, FAILED)], LATER)
    cancel(store, run.id)
    with store.begin() as work:
        assert work.runs.finish([(two, DONE)], LATER)
        assert work.runs.close_finished(LATER) == []
        assert work.runs.finish([(three, FAILED)], LATER)
        assert [each.id for each in work.runs.close_finished(LATER)] == [run.id]


def test_the_same_selection_has_one_running_run(store: AnyStore, instance_ids: list[int]) -> None:
    first, _ = start(store, instance_ids)
    second, is_new = start(store, instance_ids[:1])
    assert (second, is_new) == (first, False)
    other, is_new = start(store, instance_ids, Selection(tags=("prod",)))
    assert is_new
    assert other.id != first.id


def test_claimed_items_end_and_the_last_one_ends_the_run(
    store: AnyStore, instance_ids: list[int]
) -> None:
    run, _ = start(store, instance_ids)
    one, two, three = claim(store)
    assert claim(store) == []
    assert finish(store, (one, DONE), (two, DONE)) == []
    [closed] = finish(store, (three, FAILED))
    assert closed.status is RunStatus.COMPLETED_WITH_ERRORS
    assert closed.size_bytes == 2**63
    with store.begin() as work:
        assert work.runs.get(run.id) == closed
        assert work.runs.reasons(run.id)[ItemStatus.FAILED, Reason.TIMEOUT] == 1
        [failed] = work.runs.items(run.id, Paging(), ItemStatus.FAILED).rows
    assert (failed.reason, failed.duration_ms, failed.finished_at) == (Reason.TIMEOUT, 9, LATER)


def test_a_silent_worker_loses_its_items_and_its_late_word_counts_nothing(
    store: AnyStore, instance_ids: list[int]
) -> None:
    start(store, instance_ids[:1])
    [late] = claim(store, owner="dead", seconds=SOON)
    time.sleep(2 * SOON)
    with store.begin() as work:
        assert work.runs.requeue_expired(NOW, 5) == 1
        work.commit()
    [again] = claim(store, owner="alive")
    assert again.attempt == 2
    finish(store, (late, DONE))
    with store.begin() as work:
        [item] = work.runs.items(again.run_id, Paging()).rows
    assert item.status is ItemStatus.RUNNING


def test_the_late_word_of_an_earlier_attempt_counts_nothing(
    store: AnyStore, instance_ids: list[int]
) -> None:
    start(store, instance_ids[:1])
    [first] = claim(store)
    finish(store, (first, ItemEnd(status=ItemStatus.PENDING, reason=Reason.REFUSED)))
    [second] = claim(store)
    assert (second.owner, second.attempt) == (first.owner, 2)
    with store.begin() as work:
        work.runs.finish([(first, FAILED)], LATER)
        assert work.runs.close_finished(LATER) == []
        work.runs.finish([(second, DONE), (second, DONE)], LATER)
        work.runs.finish([(second, FAILED)], LATER)
        [closed] = work.runs.close_finished(LATER)
    assert closed.counts == ItemCounts(completed=1)


def test_what_is_unknown_running_or_not_due_is_not_claimed(
    store: AnyStore, instance_ids: list[int]
) -> None:
    start(store, instance_ids)
    with store.begin() as work:
        ids = [each.item_id for each in work.runs.waiting(10)]
    [mine] = claim(store, limit=1)
    back = ItemEnd(status=ItemStatus.PENDING, reason=Reason.REFUSED, retry_seconds=60)
    finish(store, (mine, back))
    with store.begin() as work:
        assert work.runs.claim([], "me", 60, NOW) == []
        [second, third] = work.runs.claim([*ids[::-1], 999_999], "me", 60, NOW)
        assert work.runs.claim(ids, "other", 60, NOW) == []
        [first] = work.runs.items(mine.run_id, Paging(), ItemStatus.PENDING).rows
    assert [first.id, second.item_id, third.item_id] == ids
    assert first.reason is Reason.REFUSED


def test_a_claim_that_was_not_committed_is_undone(store: AnyStore, instance_ids: list[int]) -> None:
    run, _ = start(store, instance_ids)
    with store.begin() as work:
        ids = [each.item_id for each in work.runs.waiting(10)]
        assert len(work.runs.claim(ids, "me", 60, NOW)) == 3
    with store.begin() as work:
        assert work.runs.get(run.id) == run
        assert len(work.runs.waiting(10)) == 3


def test_an_item_tells_how_it_ended(store: AnyStore, instance_ids: list[int]) -> None:
    run, _ = start(store, instance_ids[:1])
    [mine] = claim(store)
    finish(store, (mine, DONE))
    with store.begin() as work:
        [item] = work.runs.items(run.id, Paging()).rows
    assert item == RunItem(
        id=mine.item_id,
        run_id=run.id,
        instance_id=instance_ids[0],
        instance_name="a",
        db_type="postgresql",
        status=ItemStatus.COMPLETED,
        attempts=1,
        database_count=2,
        unmeasured_count=1,
        size_bytes=2**62,
        duration_ms=7,
        started_at=NOW,
        finished_at=LATER,
    )


def test_waiting_items_are_chosen_by_run_and_zone(store: AnyStore, instance_ids: list[int]) -> None:
    with store.begin() as work:
        there = work.instances.get(instance_ids[1])
        work.instances.save(evolve(there, zone="dmz", address=NetworkAddress("DB.example", 1)))
        work.commit()
    first, _ = start(store, instance_ids)
    second, _ = start(store, instance_ids[1:], Selection(tags=("prod",)))
    with store.begin() as work:

        def chosen(run_id: int | None = None, *zones: str) -> list[tuple[int, int]]:
            found = work.runs.waiting(10, Wanted(run_id, zones))
            return [(each.run_id, each.instance_id) for each in found]

        one, two, three = instance_ids
        assert chosen() == [(first.id, each) for each in instance_ids] + [
            (second.id, two),
            (second.id, three),
        ]
        assert chosen(second.id) == [(second.id, two), (second.id, three)]
        assert chosen(None, "dmz", "none") == [(first.id, two), (second.id, two)]
        assert chosen(second.id, "default") == [(second.id, three)]
        assert chosen(first.id, "none") == []
        [found] = work.runs.waiting(1, Wanted(first.id, ("dmz",)))
        assert (found.host, found.zone, found.db_type) == ("db.example", "dmz", "postgresql")
        assert one not in {each.instance_id for each in work.runs.waiting(9, Wanted(second.id))}


def test_items_and_runs_come_in_pages(store: AnyStore, instance_ids: list[int]) -> None:
    first, _ = start(store, instance_ids)
    second, _ = start(store, instance_ids[:1], Selection(tags=("prod",)))
    with store.begin() as work:
        newest = work.runs.page(Paging(limit=1))
        assert (newest.total, newest.rows) == (2, (second,))
        assert work.runs.page(Paging(page=2, limit=1)).rows == (first,)
        assert list(running_of(work.runs.page)) == [first, second]
        page = work.runs.items(first.id, Paging(page=2, limit=2))
        assert (page.total, [each.instance_id for each in page.rows]) == (3, instance_ids[2:])
        assert work.runs.items(first.id, Paging(), ItemStatus.FAILED).total == 0


def test_a_cancelled_run_is_taken_up_whole_and_not_cancelled_again(
    store: AnyStore, instance_ids: list[int]
) -> None:
    run, _ = start(store, instance_ids)
    cancel(store, run.id)
    assert reopen(store, run.id) == evolve(run, active_at=LATER)
    with store.begin() as work:
        assert work.runs.close_finished(LATER) == []
        assert work.runs.get(run.id).counts == ItemCounts(pending=3)


def test_a_worker_lost_too_often_fails_its_item(store: AnyStore, instance_ids: list[int]) -> None:
    run, _ = start(store, instance_ids[:1])
    claim(store, seconds=SOON)
    time.sleep(2 * SOON)
    with store.begin() as work:
        assert work.runs.requeue_expired(NOW, 1) == 1
        [closed] = work.runs.close_finished(LATER)
        work.commit()
    assert closed.status is RunStatus.FAILED
    with store.begin() as work:
        [item] = work.runs.items(run.id, Paging()).rows
    assert item.reason is ItemReason.WORKER_LOST


def test_a_renewed_claim_lasts(store: AnyStore, instance_ids: list[int]) -> None:
    start(store, instance_ids)
    claim(store, seconds=SOON)
    with store.begin() as work:
        work.runs.renew(["me", "other"], 60)
        work.commit()
    time.sleep(2 * SOON)
    with store.begin() as work:
        assert work.runs.requeue_expired(NOW, 5) == 0


def test_what_is_given_back_waits_for_its_time(store: AnyStore, instance_ids: list[int]) -> None:
    start(store, instance_ids[:1])
    [mine] = claim(store)
    back = ItemEnd(status=ItemStatus.PENDING, reason=Reason.REFUSED, retry_seconds=60)
    assert finish(store, (mine, back)) == []
    assert claim(store) == []


def test_an_attempt_that_asked_nobody_does_not_count(
    store: AnyStore, instance_ids: list[int]
) -> None:
    start(store, instance_ids[:1])
    busy = ItemEnd(status=ItemStatus.PENDING, reason=ItemReason.SYNC_IN_PROGRESS)
    for end in (ItemEnd(status=ItemStatus.PENDING), busy):
        [mine] = claim(store)
        assert mine.attempt == 1
        finish(store, (mine, end))
    [mine] = claim(store)
    finish(store, (mine, ItemEnd(status=ItemStatus.PENDING, reason=Reason.REFUSED)))
    [mine] = claim(store)
    assert mine.attempt == 2
    finish(store, (mine, FAILED))
    with store.begin() as work:
        [item] = work.runs.items(mine.run_id, Paging()).rows
    assert item.attempts == 2


def test_no_queue_is_told_of_an_instance_that_somebody_syncs(
    store: AnyStore, instance_ids: list[int]
) -> None:
    start(store, instance_ids)
    lease = store.leases.acquire(instance_ids[1], 60)
    with store.begin() as work:
        queued = [each.instance_id for each in work.runs.take_unqueued(9, 60)]
        assert queued == [instance_ids[0], instance_ids[2]]
        work.commit()
    store.leases.release(lease)
    with store.begin() as work:
        assert [each.instance_id for each in work.runs.take_unqueued(9, 60)] == instance_ids[1:2]


def test_old_runs_go_one_by_one_with_their_items(store: AnyStore, instance_ids: list[int]) -> None:
    runs = []
    for number in range(3):
        run, _ = start(store, instance_ids[number:], Selection(instance_ids=(number + 1,)))
        runs.append(run.id)
    for run_id in runs[:2]:
        with store.begin() as work:
            work.runs.cancel(run_id, LATER)
            work.commit()
    with store.begin() as work:
        assert work.runs.ended_before(LATER) == 0
        assert not work.runs.delete_oldest(LATER)
    cut = LATER + timedelta(seconds=1)
    with store.begin() as work:
        assert work.runs.ended_before(cut) == 2
        assert work.runs.delete_oldest(cut)
        work.commit()
    with store.begin() as work:
        with pytest.raises(NotFoundError):
            work.runs.get(runs[0])
        assert work.runs.items(runs[1], Paging()).total == 2
        assert work.runs.delete_oldest(cut)
        assert not work.runs.delete_oldest(cut)  # the third is running
        work.commit()
    with store.begin() as work:
        assert [run.id for run in work.runs.page(Paging()).rows] == runs[2:]
        assert [each.instance_id for each in work.runs.waiting(9)] == instance_ids[2:]


def test_a_selection_of_very_many_ids_has_one_running_run(
    store: AnyStore, instance_ids: list[int]
) -> None:
    many = Selection(instance_ids=tuple(range(1, 100_000, 7)))
    first, is_new = start(store, instance_ids, many)
    assert is_new
    assert start(store, instance_ids, many) == (first, False)
    with store.begin() as work:
        assert work.runs.get(first.id).selection == many


def test_an_instance_that_somebody_syncs_is_not_waiting(
    store: AnyStore, instance_ids: list[int]
) -> None:
    start(store, instance_ids)
    store.leases.acquire(instance_ids[1], 60)
    with store.begin() as work:
        waiting = [each.instance_id for each in work.runs.waiting(10)]
    assert waiting == [instance_ids[0], instance_ids[2]]


def test_cancelling_lets_running_items_finish(store: AnyStore, instance_ids: list[int]) -> None:
    run, _ = start(store, instance_ids)
    [mine, other] = claim(store, limit=2)
    cancelled = cancel(store, run.id)
    assert cancelled.status is RunStatus.RUNNING
    assert cancelled.cancel_requested_at == LATER
    assert cancelled.counts == ItemCounts(running=2, cancelled=1)
    back = ItemEnd(status=ItemStatus.PENDING, reason=Reason.REFUSED)
    [closed] = finish(store, (mine, DONE), (other, back))
    assert closed.status is RunStatus.CANCELLED
    assert closed.counts == ItemCounts(completed=1, cancelled=2)
    with pytest.raises(ConflictError):
        cancel(store, run.id)


def test_a_retry_takes_up_all_but_what_completed(store: AnyStore, instance_ids: list[int]) -> None:
    run, _ = start(store, instance_ids)
    [one, two, three] = claim(store)
    finish(store, (one, DONE), (two, FAILED), (three, FAILED))
    again = reopen(store, run.id)
    assert again.status is RunStatus.RUNNING
    assert again.counts == ItemCounts(completed=1, pending=2)
    assert reopen(store, run.id) == again
    assert {each.attempt for each in claim(store)} == {1}


def test_a_retry_is_refused_where_it_would_be_a_second_run_or_has_nothing_to_do(
    store: AnyStore, instance_ids: list[int]
) -> None:
    run, _ = start(store, instance_ids[:1])
    [mine] = claim(store)
    finish(store, (mine, FAILED))
    other, _ = start(store, instance_ids[:1])
    with pytest.raises(ConflictError):
        reopen(store, run.id)
    [mine] = claim(store)
    finish(store, (mine, DONE))
    with pytest.raises(ConflictError):
        reopen(store, other.id)
    with store.begin() as work:
        assert work.runs.get(run.id).counts == ItemCounts(failed=1)


def test_unqueued_items_are_taken_once(store: AnyStore, instance_ids: list[int]) -> None:
    start(store, instance_ids)

    def take(seconds: float) -> list[int]:
        with store.begin() as work:
            taken = work.runs.take_unqueued(2, seconds)
            work.commit()
        return [each.instance_id for each in taken]

    assert take(60) == instance_ids[:2]
    assert take(SOON) == instance_ids[2:]
    assert take(60) == []
    time.sleep(2 * SOON)
    assert take(60) == instance_ids[2:]


def test_a_due_time_is_met_once(store: AnyStore) -> None:
    def fire(due: datetime) -> bool:
        with store.begin() as work:
            met = work.runs.fire("nightly", due)
            work.commit()
        return met

    assert fire(NOW)
    assert not fire(NOW)
    assert fire(LATER)
    assert not fire(NOW)
    with store.begin() as work:
        assert work.runs.fired_at("nightly") == LATER
        assert work.runs.fired_at("other") is None


def test_a_refused_credential_is_remembered(store: AnyStore, instance_ids: list[int]) -> None:
    with store.begin() as work:
        work.runs.refuse_credential(instance_ids[0], "one")
        work.runs.refuse_credential(instance_ids[0], "two")
        work.commit()
    start(store, instance_ids)
    marks = {claim.instance_id: claim.refused_mark for claim in claim(store)}
    assert marks == dict.fromkeys(instance_ids) | {instance_ids[0]: "two"}


@pytest.mark.parametrize("missing", [0, 999_999, 10**30])
def test_a_missing_run_is_not_found(store: AnyStore, missing: int) -> None:
    with store.begin() as work:
        with pytest.raises(NotFoundError):
            work.runs.get(missing)
        with pytest.raises(NotFoundError):
            work.runs.items(missing, Paging())
        with pytest.raises(NotFoundError):
            work.runs.cancel(missing, NOW)
        with pytest.raises(NotFoundError):
            work.runs.reopen(missing, NOW)


def test_candidates_are_the_active_instances(store: AnyStore, instance_ids: list[int]) -> None:
    start(store, instance_ids)
    mine, *_ = claim(store)
    finish(store, (mine, DONE))
    with store.begin() as work:
        found = {each.instance_id: each.duration_ms for each in work.runs.candidates()}
    assert found == {instance_ids[0]: 7, instance_ids[1]: None, instance_ids[2]: None}


def test_a_renewal_revives_an_expired_lease_only_if_nobody_took_it(
    store: AnyStore, instance_ids: list[int]
) -> None:
    expired, taken, released = (store.leases.acquire(each, SOON) for each in instance_ids)
    time.sleep(2 * SOON)
    new = store.leases.acquire(taken.instance_id, 60)
    store.leases.release(released)
    store.leases.renew([expired, taken, released], 60)
    with pytest.raises(SyncInProgressError):
        store.leases.acquire(expired.instance_id, 60)
    again = store.leases.acquire(released.instance_id, 60)
    assert again.fencing > released.fencing
    store.leases.renew([taken], -60)
    with pytest.raises(SyncInProgressError):
        store.leases.acquire(taken.instance_id, 60)
    store.leases.renew([evolve(new, owner="somebody")], -60)
    store.leases.renew([], -60)
    with pytest.raises(SyncInProgressError):
        store.leases.acquire(taken.instance_id, 60)
    store.leases.renew([new], -60)
    assert store.leases.acquire(taken.instance_id, 60).fencing == new.fencing + 1


def test_a_renewed_lease_lasts(store: AnyStore, instance_ids: list[int]) -> None:
    lease = store.leases.acquire(instance_ids[0], SOON)
    store.leases.renew([lease], 60)
    time.sleep(2 * SOON)
    with store.begin() as work:
        work.runs.start(
            Selection(), instance_ids[:1], trigger=Trigger.MANUAL, requested_by=None, now=NOW
        )
        assert work.runs.waiting(10) == []


def test_what_waits_is_narrowed_by_zone_and_by_what_is_full(store: AnyStore) -> None:
    places = [("A.example", "mysql", "dmz"), ("b", "mysql", "dmz"), ("b", "oracle", "office")]
    ids = []
    for number, (host, db_type, zone) in enumerate(places):
        with store.begin() as work:
            address = NetworkAddress(host, 1000 + number)
            each = evolve(an_instance(host + db_type), address=address, db_type=db_type, zone=zone)
            ids.append(work.instances.add(each).id)
            work.commit()
    path = FileAddress("/srv/shop.db")
    with store.begin() as work:
        shop = evolve(an_instance("file"), address=path, db_type="sqlite")
        ids.append(work.instances.add(shop).id)
        work.commit()
    run, _ = start(store, ids)

    def waiting(
        run_id: int | None = None,
        zones: tuple[str, ...] = (),
        hosts: Iterable[str] = (),
        db_types: Iterable[str] = (),
    ) -> list[int]:
        wanted = Wanted(run_id, zones, Full(frozenset(hosts), frozenset(db_types)))
        with store.begin() as work:
            return [ids.index(each.instance_id) for each in work.runs.waiting(9, wanted)]

    assert waiting() == waiting(run.id) == [0, 1, 2, 3]
    assert waiting(run.id + 1) == []
    assert waiting(zones=("dmz",)) == [0, 1]
    assert waiting(hosts=["a.example"]) == [1, 2, 3]
    assert waiting(run.id, db_types=["mysql"]) == [2, 3]
    assert waiting(hosts=["a.example"], db_types=["oracle"]) == [1, 3]
    assert waiting(zones=("dmz", "office"), hosts=["b"]) == [0]
    assert waiting(zones=("b",), hosts=["mysql"], db_types=["dmz"]) == []
