"""Runs that workers, commands and schedules change at once, on PostgreSQL: none waits in a ring."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from tests.fleet.crews import PATIENCE, Targets, an_application
from tests.stores import add_instance

from capacity_adapters.store import Store, run_counts
from capacity_core.errors import ConflictError
from capacity_core.fleet import CapacityFleet
from capacity_core.ports import UnitOfWork
from capacity_core.runs import ItemEnd, ItemStatus, Selection

pytestmark = pytest.mark.live

DONE = ItemEnd(status=ItemStatus.COMPLETED, size_bytes=1, database_count=1)
MOMENT = 0.3  # seconds in which the other comes to where he waits


def start(fleet: CapacityFleet, run_id: int) -> None:
    assert fleet.start(fleet.run(run_id).selection)[1]


def cancel(fleet: CapacityFleet, run_id: int) -> None:
    with pytest.raises(ConflictError):  # it has ended by then
        fleet.cancel(run_id)


def retry(fleet: CapacityFleet, run_id: int) -> None:
    with pytest.raises(ConflictError):  # and well
        fleet.retry(run_id)


@pytest.mark.parametrize("act", [start, cancel, retry])
def test_who_has_taken_up_a_silent_run_keeps_no_ends_of_two_runs_waiting(
    postgres_store: Store,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[CapacityFleet, int], None],
) -> None:
    fleet = an_application(postgres_store, Targets()).fleet
    one, *others = (add_instance(postgres_store, name) for name in "abc")
    first, _ = fleet.start(Selection(instance_ids=(one,)))
    second, _ = fleet.start(Selection(instance_ids=tuple(others)))
    *mine, silent = [each.item_id for each in fleet.waiting(10)]
    claims = fleet.claim(mine, "me", 60)
    if act is start:
        fleet.cancel(first.id)
    fleet.claim([silent], "silent", 0.0)
    began, counted, take_up, add = Event(), Event(), CapacityFleet._take_up, run_counts._add

    def take_up_late(self: CapacityFleet, work: UnitOfWork) -> None:
        began.set()
        assert counted.wait(PATIENCE)
        take_up(self, work)

    def add_slowly(connection: Any, run_id: int, *how: Any) -> bool:
        may_close = add(connection, run_id, *how)
        if run_id == first.id:
            counted.set()
            time.sleep(MOMENT)
        return may_close

    monkeypatch.setattr(CapacityFleet, "_take_up", take_up_late)
    monkeypatch.setattr(run_counts, "_add", add_slowly)
    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(act, fleet, first.id)
        assert began.wait(PATIENCE)
        assert [run.id for run in fleet.finish([(claim, DONE) for claim in claims])] == [first.id]
        acting.result(PATIENCE)
    assert fleet.run(second.id).counts.completed == 1
