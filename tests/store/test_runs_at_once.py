"""Many workers at one run of a real store: each item once, each run closed once, no deadlock."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import methodcaller
from threading import Barrier
from typing import TypeVar
from urllib.parse import quote

import pytest
from tests.servers import Server
from tests.stores import add_instance, new_database, running_of

from capacity_adapters.store import Store, open_store
from capacity_core.errors import ConflictError
from capacity_core.model import Reason
from capacity_core.reads import Paging
from capacity_core.runs import (
    OPEN,
    Claim,
    ItemCounts,
    ItemEnd,
    ItemStatus,
    Run,
    RunStatus,
    Selection,
    Trigger,
    run_status,
)
from capacity_core.runs_port import Runs

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
DONE = ItemEnd(status=ItemStatus.COMPLETED, size_bytes=1, database_count=1)
BACK = ItemEnd(status=ItemStatus.PENDING, reason=Reason.REFUSED)
ROUNDS = 10
Answer = TypeVar("Answer")


def do(store: Store, act: Callable[[Runs], Answer]) -> Answer:
    with store.begin() as work:
        answer = act(work.runs)
        work.commit()
    return answer


def at_once(store: Store, *acts: Callable[[Runs], Answer]) -> list[Answer]:
    """Let each begin when all are ready; whatever one of them raises is raised here."""
    ready = Barrier(len(acts))

    def run(act: Callable[[Runs], Answer]) -> Answer:
        ready.wait()
        return do(store, act)

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.mark.live
def test_no_more_is_taken_than_was_asked_for_whatever_the_plan(
    postgres: Server, postgres_template: str
) -> None:
    forbidden = ("hashjoin", "hashagg", "sort", "material")
    plan = quote(" ".join(f"-c enable_{name}=off" for name in forbidden))
    store = open_store(f"{new_database(postgres, postgres_template)}?options={plan}")
    ids = [add_instance(store, name) for name in "abcdefgh"]
    with store.begin() as work:
        work.runs.start(Selection(), ids, trigger=Trigger.MANUAL, requested_by=None, now=NOW)
        work.commit()
    assert len(do(store, lambda runs: runs.take_unqueued(2, 60))) == 2
    store.close()


@pytest.fixture
def instance_ids(real_store: Store) -> list[int]:
    return [add_instance(real_store, name) for name in ("a", "b", "c", "d")]


def start(runs: Runs, instance_ids: Sequence[int], tag: str = "") -> tuple[Run, bool]:
    selection = Selection(tags=(tag,) if tag else ())
    return runs.start(selection, instance_ids, trigger=Trigger.MANUAL, requested_by=None, now=NOW)


def claim(runs: Runs, owner: str = "me", most: int = 10, seconds: float = 60) -> list[Claim]:
    waiting = runs.waiting(most)
    return list(runs.claim([each.item_id for each in waiting], owner, seconds, NOW))


def finish(runs: Runs, ends: Sequence[tuple[Claim, ItemEnd]]) -> list[Run]:
    runs.finish(ends, NOW)
    return list(runs.close_finished(NOW))


def finishing(*claims: Claim, end: ItemEnd = DONE) -> Callable[[Runs], list[Run]]:
    return partial(finish, ends=[(each, end) for each in claims])


def ids_of(*closed: Sequence[Run]) -> list[int]:
    return sorted(run.id for found in closed for run in found)


def tidy(runs: Runs, most_attempts: int = 5) -> list[Run]:
    runs.requeue_expired(NOW, most_attempts)
    return list(runs.close_finished(NOW))


def cancelled(runs: Runs, run_id: int) -> list[Run]:
    try:
        run = runs.cancel(run_id, NOW)
    except ConflictError:
        return []
    return [run] if run.status is not RunStatus.RUNNING else []


def checked(store: Store, run_id: int) -> Run:
    """Read the run; what it counts is what its items are."""
    with store.begin() as work:
        run = work.runs.get(run_id)
        statuses = [each.status for each in work.runs.items(run_id, Paging()).rows]
    assert run.counts == ItemCounts.of({each: statuses.count(each) for each in set(statuses)})
    assert run.status is run_status(run.counts)
    assert not OPEN.intersection(statuses) or run.status is RunStatus.RUNNING
    return run


def test_the_last_two_ends_at_once_close_the_run_once(
    real_store: Store, instance_ids: list[int]
) -> None:
    for _ in range(ROUNDS):
        run, _new = do(real_store, partial(start, instance_ids=instance_ids[:2]))
        claims = do(real_store, claim)
        assert ids_of(*at_once(real_store, *map(finishing, claims))) == [run.id]
        assert checked(real_store, run.id).status is RunStatus.COMPLETED


def test_one_selection_started_at_once_is_one_run(
    real_store: Store, instance_ids: list[int]
) -> None:
    for number in range(ROUNDS):
        begin = partial(start, instance_ids=instance_ids, tag=f"t{number}")
        started = at_once(real_store, *[begin] * 4)
        assert sorted(is_new for _, is_new in started) == [False, False, False, True]
        assert len({run.id for run, _ in started}) == 1
        assert checked(real_store, started[0][0].id).counts == ItemCounts(pending=4)


def test_a_run_started_while_the_one_before_ends_is_new_or_the_old_one(
    real_store: Store, instance_ids: list[int]
) -> None:
    def started(runs: Runs) -> list[Run]:
        return [start(runs, instance_ids[:1])[0]]

    for _ in range(ROUNDS):
        [old] = do(real_store, started)
        [mine] = do(real_store, claim)
        [found], closed = at_once(real_store, started, finishing(mine))
        assert ids_of(closed) == [old.id]
        assert checked(real_store, old.id).status is RunStatus.COMPLETED
        assert checked(real_store, found.id).counts.total == 1
        if found.id != old.id:
            do(real_store, partial(cancelled, run_id=found.id))


def test_racing_claims_take_each_item_once(real_store: Store, instance_ids: list[int]) -> None:
    for _ in range(ROUNDS):
        run, _new = do(real_store, partial(start, instance_ids=instance_ids))
        taken = at_once(real_store, *(partial(claim, owner=owner) for owner in "wxyz"))
        taken.append(do(real_store, partial(claim, owner="last")))
        claims = [each for found in taken for each in found]
        assert len({each.item_id for each in claims}) == len(claims) == 4
        assert ids_of(do(real_store, finishing(*claims))) == [run.id]


@pytest.mark.parametrize("end", [DONE, BACK])
def test_a_cancel_beside_ends_and_claims_leaves_nothing_open(
    real_store: Store, instance_ids: list[int], end: ItemEnd
) -> None:
    late: list[Claim] = []

    def claim_late(runs: Runs) -> list[Run]:
        late.extend(claim(runs, "other", 1))
        return []

    for _ in range(ROUNDS):
        late.clear()
        run, _new = do(real_store, partial(start, instance_ids=instance_ids))
        mine, other = do(real_store, partial(claim, most=2))
        closed = at_once(
            real_store,
            partial(cancelled, run_id=run.id),
            finishing(mine),
            finishing(other, end=end),
            claim_late,
        )
        closed.append(do(real_store, finishing(*late)))
        assert ids_of(*closed) == [run.id]
        kept = checked(real_store, run.id)
        assert kept.status is RunStatus.CANCELLED
        assert kept.counts.completed == 1 + len(late) + (end is DONE)


@pytest.mark.parametrize("most_attempts", [1, 2])
def test_a_requeue_beside_ends_counts_one_of_both(
    real_store: Store, instance_ids: list[int], most_attempts: int
) -> None:
    def renew(runs: Runs) -> list[Run]:
        runs.renew("me", 0.0)
        return []

    for _ in range(ROUNDS):
        run, _new = do(real_store, partial(start, instance_ids=instance_ids))
        claims = do(real_store, partial(claim, seconds=0.0))
        late = partial(tidy, most_attempts=most_attempts)
        closed = at_once(real_store, late, *map(finishing, claims), renew)
        closed.append(do(real_store, late))
        again = do(real_store, partial(claim, owner="again"))
        assert {each.attempt for each in again} <= ({2} if most_attempts > 1 else set())
        closed.append(do(real_store, finishing(*again)))
        assert ids_of(*closed) == [run.id]
        assert not checked(real_store, run.id).counts.open


def test_a_retry_beside_a_new_run_of_the_selection_is_one_run(
    real_store: Store, instance_ids: list[int]
) -> None:
    def reopened(runs: Runs, run_id: int) -> list[Run]:
        try:
            return [runs.reopen(run_id, NOW)]
        except ConflictError:
            return []

    def started(runs: Runs) -> list[Run]:
        return [start(runs, instance_ids[:1])[0]]

    for _ in range(ROUNDS):
        [old] = do(real_store, started)
        do(real_store, partial(cancelled, run_id=old.id))
        reopens, [new] = at_once(real_store, partial(reopened, run_id=old.id), started)
        with real_store.begin() as work:
            assert ids_of(running_of(work.runs.page)) == [new.id]
        assert ids_of(reopens) in ([], [new.id])
        for run_id in {old.id, new.id}:
            checked(real_store, run_id)
        do(real_store, partial(cancelled, run_id=new.id))


def test_workers_of_several_runs_finish_them_all(
    real_store: Store, instance_ids: list[int]
) -> None:
    """Claims, ends in any order, renewals and tidying, all at once, without a deadlock."""
    started = [
        do(real_store, partial(start, instance_ids=instance_ids, tag=tag))[0] for tag in "xyz"
    ]

    def work(owner: str) -> list[Run]:
        closed: list[Run] = []
        for turn in range(200):
            claims = do(real_store, partial(claim, owner=owner, most=3))
            if not claims and not do(real_store, lambda runs: running_of(runs.page)):
                break
            do(real_store, lambda runs: runs.renew(owner, 60))
            if turn % 3 == 0:
                closed += do(real_store, tidy)
            ends = [(each, BACK if each.attempt == 1 else DONE) for each in claims[::-1]]
            closed += do(real_store, partial(finish, ends=ends))
        return closed

    with ThreadPoolExecutor(6) as pool:
        closed = list(pool.map(work, "uvwxyz"))
    assert ids_of(*closed) == ids_of(started)
    for run in started:
        assert checked(real_store, run.id).counts == ItemCounts(completed=4)


def test_a_due_time_is_met_by_one(real_store: Store) -> None:
    for number in range(ROUNDS):
        due = NOW + timedelta(minutes=number)
        fire: Callable[[Runs], bool] = methodcaller("fire", "nightly", due)
        assert sorted(at_once(real_store, *[fire] * 4)) == [False, False, False, True]
