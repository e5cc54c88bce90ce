"""Many instances: what runs select, how each item ends, and who is not asked again."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product

import pytest
from attrs import define, evolve, field
from tests.builders import ENGINES, MOMENT, NOON, a_conversation, an_instance
from tests.stores import add_instance, running_of

from capacity_adapters.memory import MemoryStore
from capacity_core.application import CapacityApplication
from capacity_core.attempts import BUSY_SECONDS, MOST_ATTEMPTS, RETRIES, end_of
from capacity_core.decisions import DECISIONS
from capacity_core.dispatch import Wanted
from capacity_core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    StoreError,
)
from capacity_core.fleet import CapacityFleet
from capacity_core.messages import text
from capacity_core.model import (
    MAX_BYTES,
    CapacityReport,
    DatabaseSize,
    Failure,
    Instance,
    Outcome,
    Reason,
    Scenario,
    Secret,
    Unmeasured,
)
from capacity_core.ports import CapacityExaminer
from capacity_core.reads import Paging
from capacity_core.result import InstanceCapacitySyncActionResult
from capacity_core.runs import (
    Claim,
    ItemCounts,
    ItemEnd,
    ItemReason,
    ItemStatus,
    RunStatus,
    Selection,
    Trigger,
)

pytestmark = pytest.mark.unit


@define
class World:
    """What stands behind every instance, what time it is, and with which credential we come."""

    coordinator: CapacityExaminer = field(factory=a_conversation)
    meanwhile: Callable[[], object] = lambda: None
    mark: str | None = "old"
    moment: datetime = NOON
    asked: int = 0

    def converse(
        self, _: Instance, /, *, deadline: float, password: Secret | None = None
    ) -> CapacityExaminer:
        assert password is None
        self.asked += 1
        self.moment += timedelta(milliseconds=deadline)
        self.meanwhile()
        return self.coordinator


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def application(store: MemoryStore, world: World) -> CapacityApplication:
    return CapacityApplication(
        begin=store.begin,
        leases=store.leases,
        coordinator_for=world.converse,
        now=lambda: world.moment,
        engines=ENGINES,
        credential_mark=lambda instance: world.mark and f"{world.mark} {instance.updated_at}",
    )


@pytest.fixture
def fleet(application: CapacityApplication) -> CapacityFleet:
    return application.fleet


def claimed(fleet: CapacityFleet, selection: Selection | None = None) -> Claim:
    """Start a run, and take its first item."""
    run, _ = fleet.start(selection or Selection())
    first = fleet.waiting(1, Wanted(run.id))
    [claim] = fleet.claim([each.item_id for each in first], "me", 60)
    return claim


def refused(world: World, reason: Reason = Reason.AUTH_FAILED) -> None:
    world.coordinator = a_conversation(connects=Failure.of(reason))


def result_of(
    scenario: Scenario, failure: Failure | None = None, report: CapacityReport | None = None
) -> InstanceCapacitySyncActionResult:
    return InstanceCapacitySyncActionResult(
        instance=an_instance(),
        scenario=scenario,
        decision=DECISIONS[scenario],
        moment=MOMENT,
        failure=failure,
        report=report or CapacityReport(),
    )


@pytest.mark.parametrize("scenario", Scenario)
def test_every_end_of_a_sync_is_the_end_of_an_attempt(scenario: Scenario) -> None:
    for reason, attempt in product([None, *Reason], range(1, MOST_ATTEMPTS + 1)):
        end = end_of(result_of(scenario, Failure.of(reason) if reason else None), attempt)
        if DECISIONS[scenario].success:
            assert end == ItemEnd(
                status=ItemStatus.COMPLETED, database_count=0, unmeasured_count=0, size_bytes=0
            )
        elif scenario is Scenario.IN_PROGRESS:
            assert (end.status, end.reason) == (ItemStatus.PENDING, ItemReason.SYNC_IN_PROGRESS)
            assert end.retry_seconds == BUSY_SECONDS
        else:
            delays = dict(enumerate(RETRIES.get(reason or Reason.OTHER, ()), start=1))
            again = attempt in delays
            assert end.status is (ItemStatus.PENDING if again else ItemStatus.FAILED)
            assert end.reason is (reason or Reason.OTHER)
            assert end.retry_seconds == delays.get(attempt, 0.0)


def test_only_what_may_pass_by_itself_is_tried_again_and_ever_later() -> None:
    assert set(RETRIES) == {
        Reason.REFUSED,
        Reason.UNREACHABLE,
        Reason.NAME_RESOLUTION,
        Reason.CONNECTION_LOST,
        Reason.TOO_MANY_CONNECTIONS,
    }
    assert Reason.AUTH_FAILED not in RETRIES
    for delays in RETRIES.values():
        assert list(delays) == sorted(delays)
        assert len(delays) < MOST_ATTEMPTS


def test_a_success_tells_what_it_measured() -> None:
    report = CapacityReport(
        (DatabaseSize("a", 10, "m"), DatabaseSize("b", 5, "m")),
        (Unmeasured.of("c", Outcome.DENIED),),
    )
    end = end_of(result_of(Scenario.COMPLETE, report=report), 1)
    assert (end.database_count, end.unmeasured_count, end.size_bytes) == (2, 1, 15)


def test_a_total_beyond_64_bits_is_not_told() -> None:
    report = CapacityReport((DatabaseSize("a", MAX_BYTES, "m"), DatabaseSize("b", 1, "m")))
    end = end_of(result_of(Scenario.COMPLETE, report=report), 1)
    assert (end.status, end.database_count, end.size_bytes) == (ItemStatus.COMPLETED, 2, None)


def test_a_run_takes_the_selected_active_instances(
    fleet: CapacityFleet, application: CapacityApplication, store: MemoryStore
) -> None:
    prod, off, _ = (add_instance(store, name) for name in ("prod", "off", "other"))
    application.edit_instance(prod, {"tags": ("prod",)})
    application.edit_instance(off, {"tags": ("prod",), "is_active": False})
    selection = Selection(db_types=("pg",), tags=("prod",))
    run, is_new = fleet.start(selection, trigger=Trigger.SCHEDULE, requested_by="ann")
    assert is_new
    assert (run.trigger, run.requested_by, run.started_at) == (Trigger.SCHEDULE, "ann", NOON)
    assert run.selection == Selection(db_types=("postgresql",), tags=("prod",))
    assert [item.instance_id for item in fleet.items(run.id, Paging()).rows] == [prod]
    assert fleet.start(selection) == (run, False)
    assert fleet.run(run.id) == run
    assert list(running_of(fleet.runs)) == list(fleet.runs(Paging()).rows) == [run]


def test_a_run_of_nothing_is_a_conflict(fleet: CapacityFleet) -> None:
    with pytest.raises(ConflictError):
        fleet.start(Selection())
    assert fleet.runs(Paging()).total == 0


@pytest.mark.parametrize(
    "selection",
    [
        Selection(db_types=("no such engine",)),
        Selection(tags=("no tag!",)),
        Selection(instance_ids=(0,)),
        Selection(instance_ids=(-1, 1)),
    ],
)
def test_a_selection_that_cannot_be_is_refused(fleet: CapacityFleet, selection: Selection) -> None:
    with pytest.raises(InvalidInputError):
        fleet.start(selection)


def test_a_run_from_its_start_to_its_end(fleet: CapacityFleet, store: MemoryStore) -> None:
    add_instance(store)
    claim = claimed(fleet)
    fleet.renew(["me"], 60)
    end = fleet.collect(claim)
    assert end == ItemEnd(
        status=ItemStatus.COMPLETED,
        database_count=1,
        unmeasured_count=0,
        size_bytes=10,
        duration_ms=300,
    )
    [run] = fleet.finish([(claim, end)])
    assert (run.status, run.finished_at) == (RunStatus.COMPLETED, NOON + timedelta(seconds=0.3))
    assert fleet.reasons(run.id) == {(ItemStatus.COMPLETED, None): 1}
    with pytest.raises(ConflictError):
        fleet.cancel(run.id)
    with pytest.raises(ConflictError):
        fleet.retry(run.id)


def test_a_cancelled_run_is_tried_again(fleet: CapacityFleet, store: MemoryStore) -> None:
    add_instance(store)
    run, _ = fleet.start(Selection())
    cancelled = fleet.cancel(run.id)
    assert (cancelled.status, cancelled.counts) == (RunStatus.CANCELLED, ItemCounts(cancelled=1))
    assert fleet.retry(run.id) == run
    assert fleet.run(run.id) == run


@pytest.mark.parametrize("again", [False, True])
def test_a_run_cancelled_behind_a_silent_worker_is_in_nobodys_way(
    fleet: CapacityFleet, store: MemoryStore, *, again: bool
) -> None:
    add_instance(store)
    run, _ = fleet.start(Selection())
    fleet.claim([each.item_id for each in fleet.waiting(9)], "dead", 0.05)
    assert fleet.cancel(run.id).status is RunStatus.RUNNING
    with pytest.raises(ConflictError):
        fleet.start(Selection())
    time.sleep(0.1)
    if again:
        assert fleet.retry(run.id).cancel_requested_at is None
    else:
        assert fleet.start(Selection())[1]
        assert fleet.run(run.id).status is RunStatus.CANCELLED


def test_what_a_silent_worker_left_is_taken_up_even_where_nothing_is_to_be_retried(
    fleet: CapacityFleet, store: MemoryStore
) -> None:
    add_instance(store)
    run, _ = fleet.start(Selection())
    [waiting] = fleet.waiting(9)
    fleet.claim([waiting.item_id], "dead", 0.0)
    with pytest.raises(NotFoundError):
        fleet.retry(run.id + 1)
    assert fleet.waiting(9) == [waiting]


def test_items_of_a_silent_worker_are_taken_up(
    fleet: CapacityFleet, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    add_instance(store)
    run, _ = fleet.start(Selection())
    for attempt in range(1, MOST_ATTEMPTS + 1):
        assert fleet.tidy() == []
        [claim] = fleet.claim([each.item_id for each in fleet.waiting(9)], "dead", 0.0)
        assert claim.attempt == attempt
    [closed] = fleet.tidy()
    assert (closed.id, closed.status) == (run.id, RunStatus.FAILED)
    assert fleet.reasons(run.id) == {(ItemStatus.FAILED, ItemReason.WORKER_LOST): 1}
    assert len(caplog.records) == MOST_ATTEMPTS
    assert fleet.tidy() == []


def end_of_a_run(fleet: CapacityFleet) -> ItemEnd:
    claim = claimed(fleet)
    end = fleet.collect(claim)
    fleet.finish([(claim, end)])
    return end


def test_a_locked_account_is_tried_the_next_time(
    fleet: CapacityFleet, store: MemoryStore, world: World
) -> None:
    add_instance(store)
    refused(world, Reason.ACCOUNT_LOCKED)
    assert [end_of_a_run(fleet).status for _ in range(2)] == [ItemStatus.FAILED] * 2
    assert world.asked == 2


def test_a_refused_credential_is_not_tried_again_until_it_changes(
    fleet: CapacityFleet, store: MemoryStore, world: World
) -> None:
    add_instance(store)
    refused(world)
    assert end_of_a_run(fleet).status is ItemStatus.FAILED
    for _ in range(2):
        again = end_of_a_run(fleet)
        assert (again.status, again.reason) == (ItemStatus.SKIPPED, Reason.AUTH_FAILED)
    assert world.asked == 1
    world.mark = "new"
    assert end_of_a_run(fleet).status is ItemStatus.FAILED
    assert world.asked == 2
    assert end_of_a_run(fleet).status is ItemStatus.SKIPPED
    world.mark = "newest"
    world.coordinator = a_conversation()
    assert end_of_a_run(fleet).status is ItemStatus.COMPLETED
    world.mark = "new"
    assert end_of_a_run(fleet).status is ItemStatus.COMPLETED


def test_a_credential_that_is_changed_while_the_old_one_is_refused_is_tried(
    fleet: CapacityFleet, application: CapacityApplication, store: MemoryStore, world: World
) -> None:
    instance_id = add_instance(store)
    refused(world)

    world.meanwhile = lambda: application.edit_instance(instance_id, {})
    assert end_of_a_run(fleet).status is ItemStatus.FAILED
    world.meanwhile = lambda: None
    world.coordinator = a_conversation()
    assert end_of_a_run(fleet).status is ItemStatus.COMPLETED


def test_a_refused_credential_is_not_tried_again_because_the_server_was_away_meanwhile(
    fleet: CapacityFleet, application: CapacityApplication, store: MemoryStore, world: World
) -> None:
    instance_id = add_instance(store)
    refused(world)
    end_of_a_run(fleet)
    refused(world, Reason.REFUSED)
    application.sync(instance_id)
    assert end_of_a_run(fleet).reason is Reason.AUTH_FAILED
    assert world.asked == 2
    world.coordinator = a_conversation()
    application.sync(instance_id)  # by hand: the server was mended
    refused(world, Reason.TIMEOUT)
    assert end_of_a_run(fleet).reason is Reason.TIMEOUT


def test_unknown_instances_are_not_passed_over(fleet: CapacityFleet, store: MemoryStore) -> None:
    known = add_instance(store)
    with pytest.raises(InvalidInputError) as caught:
        fleet.start(Selection(instance_ids=(known, 7, 9)))
    assert caught.value.field == "instance_ids"
    assert dict(caught.value.message.params) == {"ids": "7, 9"}


def test_a_refusal_that_cannot_be_noted_is_not_tried_again_in_its_run(
    fleet: CapacityFleet, store: MemoryStore, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    add_instance(store)
    refused(world)

    def unmarkable(_instance: Instance) -> None:
        raise StoreError(text("store.failed", where="x"))

    end = evolve(fleet, credential_mark=unmarkable).collect(claimed(fleet))
    assert (end.status, end.reason) == (ItemStatus.FAILED, Reason.AUTH_FAILED)
    assert "was not noted" in caplog.text


def test_a_credential_without_a_mark_is_tried_again(
    fleet: CapacityFleet, store: MemoryStore, world: World
) -> None:
    add_instance(store)
    refused(world)
    world.mark = None
    assert [end_of_a_run(fleet).status for _ in range(2)] == [ItemStatus.FAILED] * 2
    assert world.asked == 2


def test_another_failure_does_not_forbid_the_next_attempt(
    fleet: CapacityFleet, store: MemoryStore, world: World
) -> None:
    add_instance(store)
    refused(world, Reason.TIMEOUT)
    assert [end_of_a_run(fleet).reason for _ in range(2)] == [Reason.TIMEOUT] * 2
    assert world.asked == 2


def test_an_instance_that_was_removed_is_skipped(
    fleet: CapacityFleet, application: CapacityApplication, store: MemoryStore, world: World
) -> None:
    removed = add_instance(store)
    claim = claimed(fleet)
    world.meanwhile = lambda: application.remove_instance(removed)
    for _ in range(2):  # removed while it is asked, and before
        end = fleet.collect(claim)
        assert (end.status, end.reason) == (ItemStatus.SKIPPED, ItemReason.INSTANCE_MISSING)
    assert world.asked == 1


def test_an_instance_that_somebody_syncs_is_tried_later(
    fleet: CapacityFleet, store: MemoryStore
) -> None:
    claim = claimed(fleet, Selection(instance_ids=(add_instance(store),)))
    store.leases.acquire(claim.instance_id, 60)
    end = fleet.collect(evolve(claim, attempt=MOST_ATTEMPTS + 1))
    assert (end.status, end.reason) == (ItemStatus.PENDING, ItemReason.SYNC_IN_PROGRESS)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConflictError(text("error.unauthenticated")), ItemReason.INSTANCE_MOVED),
        (StoreError(text("store.failed", where="x")), ItemReason.INTERNAL_ERROR),
        (NotFoundError(text("error.instance_missing")), None),
    ],
)
def test_what_goes_wrong_on_our_side_is_tried_again_so_often(
    fleet: CapacityFleet, store: MemoryStore, error: Exception, reason: ItemReason | None
) -> None:
    add_instance(store)
    claim = claimed(fleet)

    def fails(*_: object, **__: object) -> InstanceCapacitySyncActionResult:
        raise error

    failing = evolve(fleet, sync=fails)
    ends = [
        failing.collect(evolve(claim, attempt=attempt)) for attempt in range(1, MOST_ATTEMPTS + 1)
    ]
    if reason is None:
        assert {end.status for end in ends} == {ItemStatus.SKIPPED}
    else:
        tried = [ItemStatus.PENDING] * (MOST_ATTEMPTS - 1)
        assert [end.status for end in ends] == [*tried, ItemStatus.FAILED]
        assert {end.reason for end in ends} == {reason}
        assert ends[0].retry_seconds == BUSY_SECONDS


def test_a_clock_that_is_set_back_makes_no_negative_duration(
    fleet: CapacityFleet, store: MemoryStore, world: World
) -> None:
    add_instance(store)
    claim = claimed(fleet)

    def set_back() -> None:
        world.moment = NOON - timedelta(days=1)

    world.meanwhile = set_back
    assert fleet.collect(claim).duration_ms == 0


def test_what_does_not_exist_is_not_found(fleet: CapacityFleet) -> None:
    for ask in (fleet.run, fleet.cancel, fleet.retry):
        with pytest.raises(NotFoundError):
            ask(7)
    with pytest.raises(NotFoundError):
        fleet.items(7, Paging())
