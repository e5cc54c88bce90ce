"""Runs and their items, in memory."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from attrs import evolve, frozen

from capacity_adapters.memory.rows import KeptItem, State, Work, page_of
from capacity_core.dispatch import ANYTHING, Wanted
from capacity_core.errors import ConflictError, NotFoundError
from capacity_core.messages import text
from capacity_core.model import Reason, Scenario
from capacity_core.reads import Page, Paging
from capacity_core.runs import (
    RETRIED,
    RUN_MOVES,
    Candidate,
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
    Waiting,
    host_of,
    run_status,
)


@frozen
class MemoryRuns:
    _work: Work

    def candidates(self) -> Sequence[Candidate]:
        state = self._work.read()
        latest = {
            kept.item.instance_id: kept.item.duration_ms
            for kept in state.run_items.values()
            if kept.item.duration_ms is not None
        }
        return [
            Candidate(
                each.id,
                each.db_type,
                each.tags,
                each.last_sync.at if each.last_sync else None,
                latest.get(each.id),
            )
            for each in state.instances.values()
            if each.is_active and each.deleted_at is None
        ]

    def start(
        self,
        selection: Selection,
        instance_ids: Sequence[int],
        *,
        trigger: Trigger,
        requested_by: str | None,
        now: datetime,
    ) -> tuple[Run, bool]:
        state = self._work.write()
        for run in self._running():
            if run.selection == selection:
                return run, False
        run = Run(
            id=max(state.runs, default=0) + 1,
            trigger=trigger,
            requested_by=requested_by,
            selection=selection,
            status=RunStatus.RUNNING,
            started_at=now,
            active_at=now,
        )
        state.runs[run.id] = run
        for instance_id in instance_ids:
            instance = state.instances[instance_id]
            item = RunItem(
                id=max(state.run_items, default=0) + 1,
                run_id=run.id,
                instance_id=instance_id,
                instance_name=instance.name,
                db_type=instance.db_type,
                status=ItemStatus.PENDING,
            )
            state.run_items[item.id] = KeptItem(item)
        return self.get(run.id), True

    def get(self, run_id: int) -> Run:
        state = self._work.read()
        run = state.runs.get(run_id)
        if run is None:
            raise NotFoundError(text("error.run_missing"))
        items = [kept.item for kept in _of(state, run_id)]
        done = [item for item in items if item.status is ItemStatus.COMPLETED]
        return evolve(
            run,
            counts=ItemCounts.of(Counter(item.status for item in items)),
            size_bytes=sum(item.size_bytes or 0 for item in done),
            database_count=sum(item.database_count or 0 for item in done),
        )

    def page(self, paging: Paging) -> Page[Run]:
        page = page_of(sorted(self._work.read().runs, reverse=True), paging)
        return Page(tuple(map(self.get, page.rows)), page.total, paging)

    def _running(self) -> Sequence[Run]:
        runs = self._work.read().runs.values()
        return [self.get(run.id) for run in runs if run.status is RunStatus.RUNNING]

    def items(self, run_id: int, paging: Paging, status: ItemStatus | None = None) -> Page[RunItem]:
        self.get(run_id)
        state = self._work.read()
        rows = [
            evolve(kept.item, instance_name=state.instances[kept.item.instance_id].name)
            for kept in _of(state, run_id)
            if status in {None, kept.item.status}
        ]
        return page_of(rows, paging)

    def reasons(self, run_id: int) -> Mapping[tuple[ItemStatus, Reason | ItemReason | None], int]:
        items = (kept.item for kept in _of(self._work.read(), run_id))
        return Counter((item.status, item.reason) for item in items)

    def waiting(self, limit: int, wanted: Wanted = ANYTHING) -> Sequence[Waiting]:
        state, full, now = self._work.read(), wanted.full, time.monotonic()
        due = [
            _waiting(state, kept.item)
            for kept in _pending(state, wanted.run_id)
            if kept.not_before <= now and not _is_leased(state, kept.item.instance_id)
        ]
        return [
            each
            for each in due
            if (not wanted.zones or each.zone in wanted.zones)
            and each.host not in full.hosts
            and each.db_type not in full.db_types
            and not (full.suspects and each.is_suspect)
        ][:limit]

    def take_unqueued(self, limit: int, seconds: float) -> Sequence[Waiting]:
        state, now = self._work.write(), time.monotonic()
        taken = [
            kept
            for kept in _pending(state, None)
            if kept.not_before <= now and kept.queued_until <= now
            if not _is_leased(state, kept.item.instance_id)
        ][:limit]
        for kept in taken:
            state.run_items[kept.item.id] = evolve(kept, queued_until=now + seconds)
        return [_waiting(state, kept.item) for kept in taken]

    def claim(
        self, item_ids: Iterable[int], owner: str, seconds: float, now: datetime
    ) -> Sequence[Claim]:
        state, clock = self._work.write(), time.monotonic()
        claims = []
        for item_id in sorted(set(item_ids)):
            kept = state.run_items.get(item_id)
            if kept is None or kept.item.status is not ItemStatus.PENDING:
                continue
            if kept.not_before > clock:
                continue
            item = evolve(
                kept.item,
                status=ItemStatus.RUNNING,
                reason=None,
                attempts=kept.item.attempts + 1,
                started_at=now,
                finished_at=None,
            )
            state.run_items[item_id] = evolve(
                kept, item=item, owner=owner, claimed_until=clock + seconds
            )
            mark = state.refused_credentials.get(item.instance_id)
            claims.append(Claim(item_id, item.run_id, item.instance_id, owner, item.attempts, mark))
        return claims

    def renew(self, owners: Iterable[str], seconds: float) -> None:
        state, until = self._work.write(), time.monotonic() + seconds
        renewed = set(owners)
        for kept in _claimed(state):
            if kept.owner in renewed:
                state.run_items[kept.item.id] = evolve(kept, claimed_until=until)

    def finish(self, ends: Iterable[tuple[Claim, ItemEnd]], now: datetime) -> bool:
        state, run_ids = self._work.write(), set[int]()
        for claim, end in ends:
            kept = state.run_items.get(claim.item_id)
            if kept is None or kept.item.status is not ItemStatus.RUNNING:
                continue
            if (kept.owner, kept.item.attempts) != (claim.owner, claim.attempt):
                continue
            _end(state, kept, end, now)
            run_ids.add(claim.run_id)
        ended = map(self.get, run_ids)
        return any(not run.counts.open or run.cancel_requested_at is not None for run in ended)

    def requeue_expired(self, now: datetime, most_attempts: int) -> int:
        state, clock = self._work.write(), time.monotonic()
        silent = [kept for kept in _claimed(state) if kept.claimed_until <= clock]
        for kept in silent:
            lost = kept.item.attempts >= most_attempts
            status = ItemStatus.FAILED if lost else ItemStatus.PENDING
            end = ItemEnd(status=status, reason=ItemReason.WORKER_LOST)
            _end(state, kept, end, now)
        return len(silent)

    def close_finished(self, now: datetime) -> Sequence[Run]:
        state = self._work.write()
        closed = []
        for kept in _pending(state, None):
            run = state.runs[kept.item.run_id]
            if run.cancel_requested_at is not None:
                item = evolve(kept.item, status=ItemStatus.CANCELLED, finished_at=now)
                state.run_items[kept.item.id] = KeptItem(item)
                state.runs[run.id] = evolve(run, active_at=now)
        for run in self._running():
            status = run_status(run.counts)
            if status is not RunStatus.RUNNING:
                state.runs[run.id] = evolve(state.runs[run.id], status=status, finished_at=now)
                closed.append(self.get(run.id))
        return closed

    def cancel(self, run_id: int, now: datetime) -> Run:
        state = self._work.write()
        run = self.get(run_id)
        if run.status is not RunStatus.RUNNING:
            raise ConflictError(text("error.run_ended", status=run.status))
        if run.cancel_requested_at is None:
            state.runs[run_id] = evolve(state.runs[run_id], cancel_requested_at=now)
        self.close_finished(now)
        return self.get(run_id)

    def reopen(self, run_id: int, now: datetime) -> Run:
        state = self._work.write()
        run = self.get(run_id)
        if run.status is RunStatus.RUNNING:
            return run
        if RunStatus.RUNNING not in RUN_MOVES[run.status]:
            raise ConflictError(text("error.run_nothing_to_retry"))
        if any(other.selection == run.selection for other in self._running()):
            raise ConflictError(text("error.run_other_running"))
        for kept in (each for each in _of(state, run_id) if each.item.status in RETRIED):
            item = evolve(
                kept.item,
                status=ItemStatus.PENDING,
                reason=None,
                attempts=0,
                started_at=None,
                finished_at=None,
            )
            state.run_items[item.id] = KeptItem(item)
        state.runs[run_id] = evolve(
            state.runs[run_id],
            status=RunStatus.RUNNING,
            active_at=now,
            finished_at=None,
            cancel_requested_at=None,
        )
        return self.get(run_id)

    def ended_before(self, moment: datetime) -> int:
        return len(_ended_before(self._work.read(), moment))

    def delete_oldest(self, before: datetime) -> bool:
        state = self._work.write()
        old = _ended_before(state, before)
        for item in [kept.item for kept in _of(state, min(old, default=0))]:
            del state.run_items[item.id]
        return bool(old and state.runs.pop(min(old)))

    def fired_at(self, schedule: str) -> datetime | None:
        return self._work.read().schedules.get(schedule)

    def fire(self, schedule: str, due: datetime) -> bool:
        state = self._work.write()
        last = state.schedules.get(schedule)
        if last is not None and last >= due:
            return False
        state.schedules[schedule] = due
        return True

    def refuse_credential(self, instance_id: int, mark: str) -> None:
        self._work.write().refused_credentials[instance_id] = mark


def _of(state: State, run_id: int) -> list[KeptItem]:
    return [kept for kept in state.run_items.values() if kept.item.run_id == run_id]


def _ended_before(state: State, moment: datetime) -> list[int]:
    return [run.id for run in state.runs.values() if run.finished_at and run.finished_at < moment]


def _pending(state: State, run_id: int | None) -> list[KeptItem]:
    return [
        kept
        for kept in state.run_items.values()
        if kept.item.status is ItemStatus.PENDING and run_id in {None, kept.item.run_id}
    ]


def _claimed(state: State) -> list[KeptItem]:
    return [kept for kept in state.run_items.values() if kept.item.status is ItemStatus.RUNNING]


def _waiting(state: State, item: RunItem) -> Waiting:
    instance = state.instances[item.instance_id]
    last = instance.last_sync
    return Waiting(
        item.id,
        item.run_id,
        item.instance_id,
        instance.db_type,
        host_of(instance.address),
        instance.zone,
        is_suspect=last is not None and last.scenario is Scenario.CONNECT_FAILED,
    )


def _is_leased(state: State, instance_id: int) -> bool:
    held = state.leases.get(instance_id)
    return held is not None and held.owner is not None and held.expires > time.monotonic()


def _end(state: State, kept: KeptItem, end: ItemEnd, now: datetime) -> None:
    item = evolve(
        kept.item,
        status=end.status,
        reason=end.reason,
        attempts=kept.item.attempts - end.asked_nobody,
        database_count=end.database_count,
        unmeasured_count=end.unmeasured_count,
        size_bytes=end.size_bytes,
        duration_ms=end.duration_ms,
        finished_at=None if end.status is ItemStatus.PENDING else now,
    )
    state.run_items[item.id] = KeptItem(item, not_before=time.monotonic() + end.retry_seconds)
    state.runs[item.run_id] = evolve(state.runs[item.run_id], active_at=now)
