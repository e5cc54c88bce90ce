"""A due time is met once, its run and its note together; completed periods are stored."""

from datetime import UTC, date, datetime, timedelta

import pytest
from attrs import evolve
from tests.builders import ENGINES, NOON
from tests.stores import add_instance, on_day, running_of, sync

from capacity_adapters.memory import MemoryStore
from capacity_core.aggregation import AggregationStatus, Recomputation
from capacity_core.application import CapacityApplication
from capacity_core.errors import ConflictError
from capacity_core.growth import CapacityGrowth
from capacity_core.periods import PeriodType
from capacity_core.runs import (
    ABANDONED_AFTER,
    ItemEnd,
    ItemStatus,
    RunStatus,
    Selection,
    Trigger,
)

pytestmark = pytest.mark.unit

NIGHTLY = "0 3 * * *"


def application_on(store: MemoryStore, now: datetime = NOON) -> CapacityApplication:
    def no_target(*_: object, **__: object) -> None:
        raise AssertionError

    return CapacityApplication(
        begin=store.begin,
        leases=store.leases,
        coordinator_for=no_target,  # type: ignore[arg-type]  # nothing is synced here
        now=lambda: now,
        engines=ENGINES,
    )


def test_a_schedule_that_nobody_knew_is_met_now_without_a_run() -> None:
    store = MemoryStore()
    add_instance(store)
    assert application_on(store).fleet.last_fired(NIGHTLY) == NOON
    later = application_on(store, NOON + timedelta(hours=1)).fleet
    assert later.last_fired(NIGHTLY) == NOON
    assert not running_of(later.runs)


def test_a_due_time_is_met_once() -> None:
    store = MemoryStore()
    add_instance(store)
    fleet = application_on(store).fleet
    fleet.last_fired(NIGHTLY)
    due = NOON + timedelta(hours=15)
    started = fleet.fire(NIGHTLY, due)
    assert started is not None
    run, is_new = started
    assert (run.trigger, run.requested_by, run.selection) == (Trigger.SCHEDULE, None, Selection())
    assert is_new
    assert fleet.last_fired(NIGHTLY) == due
    assert fleet.fire(NIGHTLY, due) is None
    assert fleet.fire(NIGHTLY, due - timedelta(hours=1)) is None
    assert [each.id for each in running_of(fleet.runs)] == [run.id]


def test_a_run_that_is_running_is_joined() -> None:
    store = MemoryStore()
    add_instance(store)
    fleet = application_on(store).fleet
    manual, _ = fleet.start(Selection())
    assert fleet.fire(NIGHTLY, NOON) == (manual, False)


def test_while_a_run_is_being_cancelled_there_is_no_other_and_the_time_is_not_met() -> None:
    store = MemoryStore()
    for port, name in enumerate("ab", 5432):
        add_instance(store, name, port=port)
    fleet = application_on(store).fleet
    old, _ = fleet.start(Selection())
    claims = fleet.claim([fleet.waiting(1)[0].item_id], "me", 60)
    assert fleet.cancel(old.id).status is RunStatus.RUNNING
    assert fleet.fire(NIGHTLY, NOON) is None
    for again in (lambda: fleet.start(Selection()), lambda: fleet.retry(old.id)):
        with pytest.raises(ConflictError, match="is being cancelled"):
            again()
    fleet.finish([(claims[0], ItemEnd(status=ItemStatus.COMPLETED))])
    assert fleet.fire(NIGHTLY, NOON) is not None


def test_a_run_that_nobody_is_at_is_cancelled_for_the_next() -> None:
    store = MemoryStore()
    for port, name in enumerate(("served", "in a zone without workers"), 5432):
        add_instance(store, name, port=port)
    fleet = application_on(store).fleet
    old, _ = fleet.start(Selection())
    first = fleet.waiting(1)
    [claim] = fleet.claim([each.item_id for each in first], "me", 60)
    due = NOON + ABANDONED_AFTER
    later = application_on(store, due + timedelta(seconds=1)).fleet
    assert later.fire(NIGHTLY, due) == (fleet.run(old.id), False)  # somebody is at it
    fleet.finish([(claim, ItemEnd(status=ItemStatus.COMPLETED))])
    started = later.fire(NIGHTLY, due + timedelta(seconds=1))
    assert started is not None
    run, is_new = started
    assert (is_new, run.counts.pending) == (True, 2)
    ended = fleet.run(old.id)
    assert (ended.status, ended.counts.cancelled) == (RunStatus.CANCELLED, 1)


def test_without_an_active_instance_the_time_counts_as_met() -> None:
    fleet = application_on(MemoryStore()).fleet
    with pytest.raises(ConflictError):
        fleet.fire(NIGHTLY, NOON)
    assert fleet.last_fired(NIGHTLY) == NOON
    assert fleet.fire(NIGHTLY, NOON) is None


def test_a_firing_whose_run_cannot_be_made_is_not_noted() -> None:
    store = MemoryStore()
    add_instance(store)
    fleet = application_on(store).fleet
    fleet.last_fired(NIGHTLY)

    def broken_clock() -> datetime:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 -- the one raised above
        evolve(fleet, now=broken_clock).fire(NIGHTLY, NOON + timedelta(days=1))
    assert fleet.last_fired(NIGHTLY) == NOON
    assert not running_of(fleet.runs)


def test_an_item_is_told_to_a_queue_once() -> None:
    store = MemoryStore()
    instance_id = add_instance(store)
    fleet = application_on(store).fleet
    fleet.start(Selection())
    (told,) = fleet.take_unqueued(10, 60.0)
    assert told.instance_id == instance_id
    assert fleet.take_unqueued(10, 60.0) == []


def test_only_what_ended_since_is_recomputed() -> None:
    asked: list[tuple[date, date, tuple[PeriodType, ...]]] = []

    class Noting(CapacityGrowth):
        def aggregate(self, *asked_for: object, **_: object) -> Recomputation:
            asked.append(asked_for)  # type: ignore[arg-type]  # what aggregate_completed gives
            return Recomputation({}, {}, ())

    def completed(today: date, since: date) -> list[tuple[date, date, str]]:
        now = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
        asked.clear()
        done = Noting(MemoryStore().begin, lambda: now, "UTC").aggregate_completed(since)
        assert len(done) == len(asked)
        return [(first, last, kind) for first, last, (kind,) in asked]

    sunday, monday = date(2026, 3, 29), date(2026, 3, 30)
    assert completed(sunday, sunday - timedelta(days=1)) == []
    assert completed(monday, sunday) == [(sunday, sunday, "weekly")]
    assert completed(monday, monday) == []
    first = date(2026, 4, 1)
    assert completed(first, first - timedelta(days=1)) == [
        (date(2026, 3, 31), date(2026, 3, 31), "monthly"),
        (date(2026, 3, 31), date(2026, 3, 31), "quarterly"),
    ]
    years_ago = completed(first, date(1990, 1, 1))
    assert [(first, kind) for first, _, kind in years_ago] == [
        (date(2016, 2, 11), "weekly"),
        (date(2016, 2, 13), "monthly"),
        (date(2016, 2, 13), "quarterly"),
    ]


def test_completed_periods_are_really_stored() -> None:
    store = MemoryStore()
    instance_id = add_instance(store)
    sync(store, instance_id, {"a": 10}, on_day(0))
    now = NOON + timedelta(days=7)  # a Tuesday, and the one a week later
    growth = application_on(store, now).growth
    assert growth.aggregate_completed(now.date()) == []
    (done,) = growth.aggregate_completed(NOON.date())
    assert done.counts[PeriodType.WEEKLY, AggregationStatus.COMPLETED] == 2
    kinds = {period.type for _, _, period in store.state.database_aggregates}
    assert kinds == {PeriodType.DAILY, PeriodType.WEEKLY}
