"""Whatever workers, silences, cancels and retries come: every store tells the same, and rightly."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from attrs import evolve, frozen
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.builders import NOON
from tests.servers import Server
from tests.stores import AnyStore, add_instance, copied_sqlite, new_database

from capacity_adapters.memory import MemoryStore
from capacity_adapters.store import Store, open_store
from capacity_core.errors import ConflictError
from capacity_core.model import MAX_BYTES, Reason
from capacity_core.reads import Paging
from capacity_core.runs import (
    ITEM_MOVES,
    OPEN,
    RUN_MOVES,
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
    run_status,
)
from capacity_core.runs_port import Runs

LONG = 1000.0
SECONDS = st.sampled_from([LONG, LONG, 0.0])
OWNERS = st.sampled_from(["ann", "bob"])
SELECTIONS = st.sampled_from([Selection(), Selection(tags=("prod",))])
INSTANCES = st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True)
ENDS = st.builds(
    ItemEnd,
    status=st.sampled_from(sorted(ITEM_MOVES[ItemStatus.RUNNING])),
    reason=st.sampled_from([None, Reason.REFUSED, ItemReason.INSTANCE_MISSING]),
    database_count=st.none() | st.integers(0, 3),
    unmeasured_count=st.none() | st.integers(0, 3),
    size_bytes=st.none() | st.sampled_from([0, 7, MAX_BYTES, MAX_BYTES // 3]),
    duration_ms=st.none() | st.integers(0, 9),
    retry_seconds=SECONDS,
)
COMMIT = st.sampled_from([True, True, True, True, False])
Answer = TypeVar("Answer")


@frozen
class Kept:
    """A run as a store keeps it, without the numbers that each store gives."""

    run: Run
    items: tuple[RunItem, ...]


class RunsAgree(RuleBasedStateMachine):
    """Four instances; runs of two selections; workers that hold claims long, or not at all."""

    open_others: Callable[[], list[AnyStore]] = staticmethod(list)

    def __init__(self) -> None:
        super().__init__()
        self.stores: list[AnyStore] = [MemoryStore(), *self.open_others()]
        self.ids = [[add_instance(store, name) for name in "wxyz"] for store in self.stores]
        self.runs: list[tuple[int, ...]] = []
        self.started: list[list[int]] = []
        self.claims: list[tuple[Claim, ...]] = []
        self.kept: list[Kept] = []
        self.now = NOON

    def each(
        self, act: Callable[[Runs, int, datetime], Answer], *, commit: bool = True
    ) -> list[Answer]:
        """Do it in every store, in one unit of work."""
        self.now += timedelta(seconds=1)
        answers = []
        for number, store in enumerate(self.stores):
            with store.begin() as work:
                answers.append(act(work.runs, number, self.now))
                if commit:
                    work.commit()
        return answers

    def told(self, act: Callable[[Runs, int, datetime], object], *, commit: bool = True) -> bool:
        """Likewise; say whether it was no conflict, for any store or for all."""

        def attempt(runs: Runs, number: int, now: datetime) -> bool:
            try:
                act(runs, number, now)
            except ConflictError:
                return False
            return True

        [agreed] = set(self.each(attempt, commit=commit))
        return agreed

    def place(self, number: int, run_id: int, instance_id: int) -> tuple[int, int]:
        """Name an item in the same way for all stores."""
        runs = [ids[number] for ids in self.runs]
        return runs.index(run_id), self.ids[number].index(instance_id)

    def places(
        self, number: int, found: Sequence[Claim] | Sequence[RunItem]
    ) -> list[tuple[int, int]]:
        return [self.place(number, each.run_id, each.instance_id) for each in found]

    @rule(selection=SELECTIONS, chosen=INSTANCES)
    def start(self, selection: Selection, chosen: list[int]) -> None:
        answers = self.each(
            lambda runs, number, now: runs.start(
                selection,
                [self.ids[number][each] for each in chosen],
                trigger=Trigger.MANUAL,
                requested_by=None,
                now=now,
            )
        )
        [is_new] = {new for _, new in answers}
        running = {each.run.selection for each in self.kept if each.run.status is RunStatus.RUNNING}
        assert is_new is (selection not in running)
        ids = tuple(run.id for run, _ in answers)
        if is_new:
            self.runs.append(ids)
            self.started.append(chosen)
        assert ids in self.runs

    @rule(most=st.integers(1, 5), owner=OWNERS, seconds=SECONDS, commit=COMMIT)
    def claim(self, most: int, owner: str, seconds: float, *, commit: bool) -> None:
        def act(runs: Runs, _: int, now: datetime) -> list[Claim]:
            waiting = runs.waiting(most)
            claims = runs.claim([each.item_id for each in waiting], owner, seconds, now)
            assert len(claims) == len(waiting) <= most
            assert not runs.claim([each.item_id for each in waiting], "late", seconds, now)
            return list(claims)

        taken = self.each(act, commit=commit)
        same = [self.places(number, claims) for number, claims in enumerate(taken)]
        assert same[1:] == same[:-1]
        if commit:
            self.claims += zip(*taken, strict=True)

    @rule(most=st.integers(1, 5), seconds=SECONDS)
    def queue(self, most: int, seconds: float) -> None:
        taken = self.each(lambda runs, *_: list(runs.take_unqueued(most, seconds)))
        same = [
            [self.place(number, each.run_id, each.instance_id) for each in found]
            for number, found in enumerate(taken)
        ]
        assert same[1:] == same[:-1]

    @precondition(lambda self: self.claims)
    @rule(
        ends=st.lists(st.tuples(st.integers(0, 99), ENDS), min_size=1, max_size=4),
        commit=COMMIT,
    )
    def finish(self, ends: list[tuple[int, ItemEnd]], *, commit: bool) -> None:
        chosen = {number % len(self.claims): end for number, end in ends}

        def act(runs: Runs, number: int, now: datetime) -> int:
            said = [(self.claims[each][number], end) for each, end in chosen.items()]
            runs.finish(said, now)
            return len(runs.close_finished(now))

        assert len(set(self.each(act, commit=commit))) == 1

    @rule(owner=OWNERS, seconds=SECONDS)
    def renew(self, owner: str, seconds: float) -> None:
        self.each(lambda runs, *_: runs.renew([owner], seconds))

    @rule(most_attempts=st.integers(1, 3))
    def tidy(self, most_attempts: int) -> None:
        def act(runs: Runs, _: int, now: datetime) -> tuple[int, int]:
            return runs.requeue_expired(now, most_attempts), len(runs.close_finished(now))

        assert len(set(self.each(act))) == 1

    def nth(self, number: int, *, running: bool) -> int:
        """Choose among the runs that are running, or are not; or among all, if none is so."""
        fit = [
            which
            for which, each in enumerate(self.kept)
            if (each.run.status is RunStatus.RUNNING) is running
        ]
        return fit[number % len(fit)] if fit else number % len(self.kept)

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 9), commit=COMMIT)
    def cancel(self, which: int, *, commit: bool) -> None:
        which = self.nth(which, running=True)
        was = self.kept[which].run.status
        done = self.told(
            lambda runs, number, now: runs.cancel(self.runs[which][number], now), commit=commit
        )
        assert done is (was is RunStatus.RUNNING)

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 9), commit=COMMIT)
    def reopen(self, which: int, *, commit: bool) -> None:
        which = self.nth(which, running=False)
        self.told(
            lambda runs, number, now: runs.reopen(self.runs[which][number], now), commit=commit
        )

    @invariant()
    def all_tell_the_same_and_no_status_contradicts_another(self) -> None:
        first, *others = [self.everything(number) for number in range(len(self.stores))]
        for other in others:
            assert other == first
        for kept, chosen in zip(first, self.started, strict=True):
            statuses = [item.status for item in kept.items]
            assert [item.instance_id for item in kept.items] == chosen
            counts = ItemCounts.of({status: statuses.count(status) for status in ItemStatus})
            assert kept.run.counts == counts
            done = [item for item in kept.items if item.status is ItemStatus.COMPLETED]
            assert kept.run.size_bytes == sum(item.size_bytes or 0 for item in done)
            assert kept.run.status is run_status(counts)
            assert (kept.run.finished_at is None) is (kept.run.status is RunStatus.RUNNING)
            for item in kept.items:
                assert (item.finished_at is None) is (item.status in OPEN)
        for was, now in zip(self.kept, first, strict=False):
            assert now.run.status in {was.run.status, *RUN_MOVES[was.run.status]}
            for old, new in zip(was.items, now.items, strict=True):
                assert new.status in {old.status, *ITEM_MOVES[old.status]}
                if old.status is ItemStatus.COMPLETED:
                    assert new == old
        self.kept = first

    def everything(self, number: int) -> list[Kept]:
        with self.stores[number].begin() as work:
            return [
                Kept(
                    evolve(work.runs.get(ids[number]), id=0),
                    tuple(
                        evolve(
                            each,
                            id=0,
                            run_id=0,
                            instance_id=self.ids[number].index(each.instance_id),
                        )
                        for each in work.runs.items(ids[number], Paging()).rows
                    ),
                )
                for ids in self.runs
            ]

    def teardown(self) -> None:
        for store in self.stores:
            if isinstance(store, Store):
                store.close()


def machine_over(others: Callable[[], list[AnyStore]]) -> type[RunsAgree]:
    return type("Machine", (RunsAgree,), {"open_others": staticmethod(others)})


def test_memory_and_sqlite_agree_on_runs(sqlite_template: Path, tmp_path: Path) -> None:
    def open_sqlite() -> list[AnyStore]:
        return [open_store(copied_sqlite(sqlite_template, tmp_path))]

    run_state_machine_as_test(machine_over(open_sqlite), settings=_settings(60))


@pytest.mark.live
def test_all_three_agree_on_runs(
    sqlite_template: Path, tmp_path: Path, postgres: Server, postgres_template: str
) -> None:
    def open_both() -> list[AnyStore]:
        return [
            open_store(copied_sqlite(sqlite_template, tmp_path)),
            open_store(new_database(postgres, postgres_template)),
        ]

    run_state_machine_as_test(machine_over(open_both), settings=_settings(10))


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
