"""Workers inside a process: what they promise, whatever targets, stores and people do."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from attrs import evolve
from tests.fleet.crews import (
    PATIENCE,
    Outage,
    Targets,
    a_run,
    an_application,
    items_of,
    refused,
)
from tests.stores import AnyStore

from capacity_adapters.memory import MemoryStore
from capacity_adapters.queues import collecting, embedded
from capacity_adapters.queues.embedded import EmbeddedWorkers
from capacity_adapters.queues.heartbeat import Heartbeat
from capacity_core import attempts
from capacity_core.application import CapacityApplication
from capacity_core.dispatch import Limits
from capacity_core.errors import NotFoundError, StoreError, SyncInProgressError
from capacity_core.model import LastSync, Reason, Scenario
from capacity_core.runs import ItemCounts, ItemReason, ItemStatus, Run, RunStatus, Selection


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def targets() -> Targets:
    return Targets()


@pytest.fixture
def memory(targets: Targets) -> CapacityApplication:
    return an_application(MemoryStore(), targets)


def workers_of(application: CapacityApplication, limits: Limits | None = None) -> EmbeddedWorkers:
    return EmbeddedWorkers(application.fleet, application.leases, limits or Limits())


def wait_for(happened: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_every_item_ends_with_its_reason(
    store: AnyStore, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "RETRIES", {Reason.REFUSED: (0.01, 0.01)})
    targets.plays = {"i3": refused(1), "i5": refused(9)}
    application = an_application(store, targets)
    seen: list[Run] = []
    run = a_run(application, 30)
    ended = workers_of(application).drive(run.id, seen.append)
    assert ended.status is RunStatus.COMPLETED_WITH_ERRORS
    assert ended.counts == ItemCounts(completed=29, failed=1)
    assert ended == seen[-1] == application.fleet.run(run.id)
    items = items_of(application, run)
    assert (items["i3"].status, items["i3"].attempts) == (ItemStatus.COMPLETED, 2)
    assert (items["i5"].reason, items["i5"].attempts) == (Reason.REFUSED, 3)
    assert (items["i7"].size_bytes, items["i7"].database_count) == (4096, 1)
    assert targets.visits["i7"] == 1


def test_an_ended_run_is_returned_at_once_and_a_missing_one_is_not_found(
    memory: CapacityApplication, targets: Targets
) -> None:
    run = a_run(memory, 2)
    workers = workers_of(memory)
    ended = workers.drive(run.id)
    assert workers.drive(run.id) == ended
    assert targets.visits.total() == 2
    with pytest.raises(NotFoundError):
        workers.drive(99)


def test_no_more_run_at_once_than_the_limits_say(
    memory: CapacityApplication, targets: Targets
) -> None:
    run = a_run(memory, 60, hosts=4)
    targets.meanwhile = lambda _name: time.sleep(0.002)
    workers_of(memory, Limits(workers=6, per_host=2)).drive(run.id)
    assert max(targets.most_at_once[f"host h{number}"] for number in range(4)) == 2
    assert targets.most_at_once["all"] <= 6
    assert targets.visits.total() == 60


def test_a_target_that_hangs_holds_up_nobody_else(
    memory: CapacityApplication, targets: Targets
) -> None:
    run = a_run(memory, 40)
    let_go = threading.Event()

    def hang(name: str) -> None:
        if name == "i0":
            assert let_go.wait(PATIENCE)

    def look(seen: Run) -> None:
        if seen.counts.completed == 39:
            let_go.set()

    targets.meanwhile = hang
    ended = workers_of(memory, Limits(workers=2)).drive(run.id, look)
    assert ended.status is RunStatus.COMPLETED


def test_ends_that_nobody_waits_for_are_written_together(
    memory: CapacityApplication, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "BATCH_SECONDS", PATIENCE)
    run = a_run(memory, 3)
    targets.meanwhile = lambda name: time.sleep(0.2 * int(name[1:]))
    done: list[int] = []
    workers_of(memory).drive(run.id, lambda seen: done.append(seen.counts.completed))
    assert set(done) == {0, 3}


def test_those_that_were_dead_the_last_time_leave_workers_to_the_others(
    store: AnyStore, targets: Targets
) -> None:
    application = an_application(store, targets)
    run = a_run(application, 20)
    with application.begin() as work:
        for instance_id in range(1, 11):
            attempt = LastSync(datetime.now(UTC), Scenario.CONNECT_FAILED, Reason.TIMEOUT)
            work.repository.save_last_sync(instance_id, attempt)
        work.commit()
    let_go, alive = threading.Event(), {f"i{number}" for number in range(10, 20)}

    def hang(name: str) -> None:
        if name not in alive:
            assert let_go.wait(PATIENCE)

    def look(seen: Run) -> None:
        if seen.counts.completed == len(alive):
            let_go.set()

    targets.meanwhile = hang
    ended = workers_of(application, Limits(workers=4)).drive(run.id, look)
    assert ended.status is RunStatus.COMPLETED


def test_what_was_claimed_ahead_of_slow_syncs_is_left_to_others(
    store: AnyStore, targets: Targets
) -> None:
    application = an_application(store, targets)
    run = a_run(application, 8)
    let_go, slow = threading.Event(), {f"i{number}" for number in range(4)}

    def hang(name: str) -> None:
        if name in slow:
            assert let_go.wait(PATIENCE)

    targets.meanwhile = hang
    limits = Limits(workers=4)
    first = threading.Thread(target=workers_of(application, limits).drive, args=[run.id])
    first.start()
    wait_for(lambda: application.fleet.run(run.id).counts.running == 8)

    def look(seen: Run) -> None:
        if seen.counts.completed == 4:
            let_go.set()

    ended = workers_of(application, limits).drive(run.id, look)
    first.join()
    assert ended.counts == ItemCounts(completed=8)
    assert {item.attempts for item in items_of(application, run).values()} == {1}
    assert set(targets.visits.values()) == {1}


def test_three_at_the_same_run_share_it_and_sync_no_instance_twice(
    store: AnyStore, targets: Targets
) -> None:
    application = an_application(store, targets)
    run = a_run(application, 60)
    targets.meanwhile = lambda _name: time.sleep(0.1)
    limits = Limits(workers=4)
    drive = workers_of(application, limits).drive
    others = [threading.Thread(target=drive, args=[run.id])]
    others.append(threading.Thread(target=workers_of(application, limits).drive, args=[run.id]))
    for other in others:
        other.start()
    ended = workers_of(application, limits).drive(run.id)
    for other in others:
        other.join()
    assert ended.counts == ItemCounts(completed=60)
    assert set(targets.visits.values()) == {1}
    assert 9 <= targets.most_at_once["all"] <= 12


def test_after_stop_what_runs_is_let_finish_and_what_waits_stays(
    memory: CapacityApplication, targets: Targets
) -> None:
    run = a_run(memory, 300)
    begun, let_go = threading.Semaphore(0), threading.Event()

    def hold(_name: str) -> None:
        if targets.visits.total() > 100:  # by then, more are claimed than run
            begun.release()
            assert let_go.wait(PATIENCE)

    targets.meanwhile = hold
    workers = workers_of(memory, Limits(workers=4))

    def stop() -> None:
        for _ in range(4):
            assert begun.acquire(timeout=PATIENCE)
        workers.stop()
        wait_for(lambda: memory.fleet.run(run.id).counts.running == 4)
        let_go.set()

    stopping = threading.Thread(target=stop)
    stopping.start()
    stopped = workers.drive(run.id)
    stopping.join()
    assert stopped.status is RunStatus.RUNNING
    done = targets.visits.total()
    assert stopped.counts == ItemCounts(completed=done, pending=300 - done)
    assert workers.drive(run.id) == stopped  # it is for good
    ended = workers_of(memory).drive(run.id)
    assert ended.status is RunStatus.COMPLETED
    assert set(targets.visits.values()) == {1}


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_what_runs_finish(
    memory: CapacityApplication, targets: Targets, interrupt: signal.Signals
) -> None:
    run = a_run(memory, 50)
    workers = workers_of(memory, Limits(workers=2))
    others = signal.signal(signal.SIGTERM, lambda *_: workers.stop())

    def kill(name: str) -> None:
        if name == "i9":
            os.kill(os.getpid(), interrupt)
            time.sleep(0.05)

    targets.meanwhile = kill
    try:
        stopped = workers.drive(run.id)
    finally:
        signal.signal(signal.SIGTERM, others)
    assert stopped.counts.running == 0
    assert stopped.counts.completed == targets.visits.total() >= 10


def test_a_bug_in_one_sync_is_that_item_s_end(
    memory: CapacityApplication, targets: Targets, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_visit: int) -> bool:
        raise SystemExit(3)

    targets.plays = {"i1": lambda _visit: RuntimeError("a bug"), "i2": broken}
    run = a_run(memory, 20)
    ended = workers_of(memory, Limits(workers=2)).drive(run.id)
    assert ended.counts == ItemCounts(completed=18, failed=2)
    items = items_of(memory, run)
    assert {items[name].reason for name in ("i1", "i2")} == {ItemReason.INTERNAL_ERROR}
    [said] = [each for each in caplog.records if each.exc_info and "failed (" in each.message]
    assert said.exc_info is not None
    assert str(said.exc_info[1]) == "a bug"


def test_what_was_cancelled_and_what_finished_agree(store: AnyStore, targets: Targets) -> None:
    application = an_application(store, targets)
    run = a_run(application, 100)
    once = threading.Lock()

    def cancel(_name: str) -> None:
        if targets.visits.total() >= 10 and once.acquire(blocking=False):
            application.fleet.cancel(run.id)

    targets.meanwhile = cancel
    ended = workers_of(application, Limits(workers=4)).drive(run.id)
    assert ended.status is RunStatus.CANCELLED
    done = targets.visits.total()
    assert ended.counts == ItemCounts(completed=done, cancelled=100 - done)
    synced = {
        name
        for name, item in items_of(application, run).items()
        if item.finished_at and item.attempts
    }
    assert synced == set(targets.visits)


def test_in_the_background_every_run_is_collected(
    memory: CapacityApplication, targets: Targets
) -> None:
    workers = workers_of(memory)
    workers.start()
    first = a_run(memory, 10)
    workers.wake()
    wait_for(lambda: memory.fleet.run(first.id).status is RunStatus.COMPLETED)
    second, _ = memory.fleet.start(Selection(instance_ids=(3, 4)))
    wait_for(lambda: memory.fleet.run(second.id).status is RunStatus.COMPLETED)
    workers.stop()
    assert targets.visits.total() == 12


def test_workers_of_a_zone_leave_others_alone(
    memory: CapacityApplication, targets: Targets
) -> None:
    run = a_run(memory, 4, zone="dmz")
    with memory.begin() as work:
        work.instances.save(evolve(work.instances.get(1), zone="office"))
        work.commit()
    workers = EmbeddedWorkers(memory.fleet, memory.leases, Limits(), zones=("dmz",))
    workers.start()
    wait_for(lambda: memory.fleet.run(run.id).counts.completed == 3)
    workers.stop()
    assert set(targets.visits) == {"i1", "i2", "i3"}


def test_a_long_sync_keeps_its_claim_and_its_lease(
    memory: CapacityApplication, targets: Targets
) -> None:
    run = a_run(memory, 1)
    seconds = 0.3
    held: list[SyncInProgressError] = []

    def last(_name: str) -> None:
        time.sleep(3 * seconds)
        with pytest.raises(SyncInProgressError) as caught:
            memory.leases.acquire(1, 1.0)
        held.append(caught.value)
        memory.fleet.tidy()

    targets.meanwhile = last
    ended = EmbeddedWorkers(memory.fleet, memory.leases, Limits(), seconds).drive(run.id)
    assert held
    assert ended.counts == ItemCounts(completed=1)
    assert items_of(memory, run)["i0"].attempts == 1


def test_what_a_dead_worker_left_is_taken_up(memory: CapacityApplication, targets: Targets) -> None:
    run = a_run(memory, 3)
    left = [each.item_id for each in memory.fleet.waiting(2)]
    assert len(memory.fleet.claim(left, "dead", 0.0)) == 2
    ended = workers_of(memory).drive(run.id)
    assert ended.counts == ItemCounts(completed=3)
    assert set(targets.visits.values()) == {1}


def test_ends_outlast_a_store_that_is_down(
    memory: CapacityApplication,
    targets: Targets,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(collecting, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(embedded, "LOOK_SECONDS", 0.0)
    outage = Outage(memory.begin)
    application = evolve(memory, begin=outage.failing)
    run = a_run(application, 40)
    real_finish = threading.Event()

    def fail(_name: str) -> None:
        if targets.visits.total() == 10:
            outage.is_down.set()
            real_finish.set()

    def mend() -> None:
        assert real_finish.wait(PATIENCE)
        wait_for(lambda: "the run waits" in caplog.text)
        outage.is_down.clear()

    targets.meanwhile = fail
    monkeypatch.setattr(attempts, "BUSY_SECONDS", 0.01)
    mending = threading.Thread(target=mend)
    mending.start()
    with caplog.at_level(logging.WARNING):
        ended = workers_of(application, Limits(workers=4)).drive(run.id)
    mending.join()
    assert ended.counts == ItemCounts(completed=40)
    assert outage.failures < 50  # nobody spins
    assert "the run waits" in caplog.text


def test_a_store_that_stays_down_does_not_keep_us(
    memory: CapacityApplication,
    targets: Targets,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("FIRST_PAUSE", "LAST_PAUSE"):
        monkeypatch.setattr(collecting, name, 0.01)
    monkeypatch.setattr(embedded, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(embedded, "LAST_WORDS_SECONDS", 0.1)
    outage = Outage(memory.begin)
    application = evolve(memory, begin=outage.failing)
    run = a_run(application, 1)
    workers = workers_of(application)

    def fail(_name: str) -> None:
        outage.is_down.set()
        workers.stop()

    targets.meanwhile = fail
    with pytest.raises(StoreError):
        workers.drive(run.id)
    assert "could not be written" in caplog.text
    assert memory.fleet.run(run.id).counts == ItemCounts(running=1)


def test_a_heart_that_misses_a_beat_beats_again(
    memory: CapacityApplication, caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage(memory.begin)
    outage.is_down.set()
    flaky = evolve(memory, begin=outage.failing).fleet
    run = a_run(memory, 1)
    [waiting] = memory.fleet.waiting(1)
    memory.fleet.claim([waiting.item_id], "dead", 0.0)
    with Heartbeat(flaky, memory.leases, list, 0.03):
        wait_for(lambda: "not renewed" in caplog.text)
        outage.is_down.clear()
        wait_for(lambda: memory.fleet.run(run.id).counts.pending == 1)
