"""Runs and their items, as rows; claims are timed by the store's own clock."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from capacity_adapters.store.run_rows import (
    ADD_ITEMS,
    CANCEL,
    CANDIDATES,
    CLAIM,
    CLOSABLE,
    ENDED_BEFORE,
    FINISH,
    FIRE,
    NAMED,
    OLDEST,
    QUEUE,
    REFUSE,
    RENEW,
    REQUEUE,
    RUNS,
    SILENT,
    START,
    digest_of,
    item_of,
    run_of,
    waiting_in,
    waiting_of,
)
from capacity_adapters.store.statements import as_doc, sought, statement_for
from capacity_adapters.store.tables import (
    instances,
    run_items,
    runs,
    schedules,
)
from capacity_adapters.store.work import Work
from capacity_core.dispatch import ANYTHING, Wanted
from capacity_core.errors import ConflictError, NotFoundError, StoreError
from capacity_core.messages import text
from capacity_core.model import Reason
from capacity_core.reads import Page, Paging
from capacity_core.runs import (
    OPEN,
    RETRIED,
    RUN_MOVES,
    Candidate,
    Claim,
    ItemEnd,
    ItemReason,
    ItemStatus,
    Run,
    RunItem,
    RunStatus,
    Selection,
    Trigger,
    Waiting,
    reason_of,
    run_status,
)


@frozen
class StoreRuns:
    _work: Work

    def candidates(self) -> Sequence[Candidate]:
        with self._work.read() as connection:
            asked = statement_for(CANDIDATES, connection).columns(at=instances.c.last_sync_at.type)
            return [
                Candidate(row.id, row.db_type, tuple(json.loads(row.tags)), row.at, row.duration_ms)
                for row in connection.execute(asked)
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
        asked = {
            "trigger": trigger,
            "requested_by": requested_by,
            "selection": selection.key,
            "digest": digest_of(selection),
            "at": now,
            "items": len(instance_ids),
        }
        there = select(runs.c.id).where(
            runs.c.selection_digest == digest_of(selection), runs.c.status == RunStatus.RUNNING
        )
        with self._work.write() as connection:
            while True:
                run_id = connection.execute(statement_for(START, connection), asked).scalar()
                if run_id is not None:
                    break
                running = connection.execute(there).scalar()
                if running is not None:  # else it has ended meanwhile
                    return _run(connection, running), False
            doc = as_doc((each,) for each in instance_ids)
            connection.execute(statement_for(ADD_ITEMS, connection), {"run_id": run_id, "doc": doc})
            return _run(connection, run_id), True

    def get(self, run_id: int) -> Run:
        with self._work.read() as connection:
            return _run(connection, run_id)

    def page(self, paging: Paging) -> Page[Run]:
        asked = RUNS.order_by(runs.c.id.desc()).limit(paging.limit).offset(paging.offset)
        with self._work.read() as connection:
            total = connection.execute(select(func.count()).select_from(runs)).scalar_one()
            found = tuple(map(run_of, connection.execute(asked)))
        return Page(found, total, paging)

    def items(self, run_id: int, paging: Paging, status: ItemStatus | None = None) -> Page[RunItem]:
        wanted = [run_items.c.run_id == sought(run_id)]
        if status is not None:
            wanted.append(run_items.c.status == status)
        first = select(run_items.c.id).where(*wanted).order_by(run_items.c.id)
        chosen = first.limit(paging.limit).offset(paging.offset).subquery()
        asked = (
            select(run_items, instances.c.name, instances.c.db_type)
            .join_from(run_items, instances)
            .where(run_items.c.id.in_(select(chosen.c.id)))
            .order_by(run_items.c.id)
        )
        with self._work.read() as connection:
            counts = _run(connection, run_id).counts
            rows = connection.execute(asked).all()
        total = counts.total if status is None else getattr(counts, status)
        return Page(tuple(map(item_of, rows)), total, paging)

    def reasons(self, run_id: int) -> Mapping[tuple[ItemStatus, Reason | ItemReason | None], int]:
        asked = (
            select(run_items.c.status, run_items.c.reason, func.count())
            .where(run_items.c.run_id == sought(run_id))
            .group_by(run_items.c.status, run_items.c.reason)
        )
        with self._work.read() as connection:
            rows = connection.execute(asked).all()
        return {(ItemStatus(status), reason_of(reason)): count for status, reason, count in rows}

    def waiting(self, limit: int, wanted: Wanted = ANYTHING) -> Sequence[Waiting]:
        zones = [("zone", zone) for zone in wanted.zones]
        full = [("host", host) for host in wanted.full.hosts]
        full += [("engine", db_type) for db_type in wanted.full.db_types]
        full += [("suspects", "")] * wanted.full.suspects
        asked: dict[str, object] = {"most": limit}
        if wanted.run_id is not None:
            asked["run_id"] = sought(wanted.run_id)
        if zones or full:
            asked["doc"] = as_doc(zones + full)
        with self._work.read() as connection:
            narrowed = wanted.run_id is not None, bool(zones), bool(full)
            sql = statement_for(waiting_in(narrowed), connection)
            return list(map(waiting_of, connection.execute(sql, asked)))

    def take_unqueued(self, limit: int, seconds: float) -> Sequence[Waiting]:
        with self._work.write() as connection:
            asked = {"most": limit, "seconds": seconds}
            taken = connection.execute(statement_for(QUEUE, connection), asked).all()
            named = {"doc": as_doc(tuple(row) for row in taken)}
            rows = connection.execute(statement_for(NAMED, connection), named)
            return list(map(waiting_of, rows))

    def claim(
        self, item_ids: Iterable[int], owner: str, seconds: float, now: datetime
    ) -> Sequence[Claim]:
        asked = {
            "doc": as_doc((each,) for each in item_ids),
            "owner": owner,
            "seconds": seconds,
            "at": now,
        }
        with self._work.write() as connection:
            rows = connection.execute(statement_for(CLAIM, connection), asked).all()
        claims = [
            Claim(row.id, row.run_id, row.instance_id, owner, row.attempts, row.refused_mark)
            for row in rows
        ]
        return sorted(claims, key=lambda claim: claim.item_id)

    def renew(self, owners: Iterable[str], seconds: float) -> None:
        with self._work.write() as connection:
            asked = {"doc": as_doc((owner,) for owner in owners), "seconds": seconds}
            connection.execute(statement_for(RENEW, connection), asked)

    def finish(self, ends: Iterable[tuple[Claim, ItemEnd]], now: datetime) -> None:
        ended = sorted(ends, key=lambda each: each[0].item_id)
        doc = as_doc(
            (
                claim.item_id,
                claim.owner,
                claim.attempt,
                end.status,
                end.reason,
                end.database_count,
                end.unmeasured_count,
                end.size_bytes,
                end.duration_ms,
                end.retry_seconds,
                int(end.asked_nobody),
            )
            for claim, end in ended
        )
        with self._work.write() as connection:
            _hold(connection, {claim.run_id for claim, _ in ended})
            asked = {"doc": doc, "at": now}
            rows = connection.execute(statement_for(FINISH, connection), asked).all()
            _count_ends(connection, rows, now)

    def requeue_expired(self, now: datetime, most_attempts: int) -> int:
        with self._work.write() as connection:
            silent = connection.scalars(statement_for(SILENT, connection)).all()
            silent = _hold(connection, silent, skip_locked=True)  # the next beat comes
            doc = as_doc((run_id,) for run_id in silent)
            asked = {"at": now, "most": most_attempts, "doc": doc}
            rows = connection.execute(statement_for(REQUEUE, connection), asked).all()
            _count_ends(connection, rows, now)
        return len(rows)

    def close_finished(self, now: datetime) -> Sequence[Run]:
        with self._work.write() as connection:
            held = connection.execute(CLOSABLE).all()
            found = [_without_pending(connection, row, now) for row in held]
            return [_close(connection, run, now) for run in found if not run.counts.open]

    def cancel(self, run_id: int, now: datetime) -> Run:
        with self._work.write() as connection:
            _hold(connection, [run_id])
            row = _row(connection, run_id)
            if row.status != RunStatus.RUNNING:
                raise ConflictError(text("error.run_ended", status=row.status))
            if row.cancel_requested_at is None:
                asked = update(runs).where(runs.c.id == run_id).values(cancel_requested_at=now)
                connection.execute(asked)
        self.close_finished(now)
        return self.get(run_id)

    def reopen(self, run_id: int, now: datetime) -> Run:
        with self._work.write() as connection:
            _hold(connection, [run_id])
            run = _run(connection, run_id)
        if run.status is RunStatus.RUNNING:
            return run
        if RunStatus.RUNNING not in RUN_MOVES[run.status]:
            raise ConflictError(text("error.run_nothing_to_retry"))
        running = (
            update(runs)
            .where(runs.c.id == run_id)
            .values(
                status=RunStatus.RUNNING,
                active_at=now,
                finished_at=None,
                cancel_requested_at=None,
                **{status.value: 0 for status in RETRIED},
            )
        )
        again = (
            update(run_items)
            .where(run_items.c.run_id == run_id, run_items.c.status.in_(RETRIED))
            .values(
                status=ItemStatus.PENDING,
                reason=None,
                attempts=0,
                not_before=0.0,
                queued_until=0.0,
                started_at=None,
                finished_at=None,
            )
        )
        try:
            with self._work.savepoint() as connection:
                connection.execute(running)
                connection.execute(again)
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise ConflictError(text("error.run_other_running")) from error
            raise
        return self.get(run_id)

    def ended_before(self, moment: datetime) -> int:
        with self._work.read() as connection:
            many: int = connection.execute(ENDED_BEFORE, {"moment": moment}).scalar_one()
        return many

    def delete_oldest(self, before: datetime) -> bool:
        with self._work.write() as connection:
            run_id = connection.execute(OLDEST, {"moment": before}).scalar()
            if run_id is not None:
                connection.execute(delete(run_items).where(run_items.c.run_id == run_id))
                connection.execute(delete(runs).where(runs.c.id == run_id))
        return run_id is not None

    def fired_at(self, schedule: str) -> datetime | None:
        asked = select(schedules.c.fired_at).where(schedules.c.name == schedule)
        with self._work.read() as connection:
            return connection.execute(asked).scalar()

    def fire(self, schedule: str, due: datetime) -> bool:
        with self._work.write() as connection:
            asked = {"name": schedule, "at": due}
            return connection.execute(statement_for(FIRE, connection), asked).rowcount == 1

    def refuse_credential(self, instance_id: int, mark: str) -> None:
        with self._work.write() as connection:
            asked = {"instance_id": instance_id, "mark": mark}
            connection.execute(statement_for(REFUSE, connection), asked)


def _hold(
    connection: Connection, run_ids: Iterable[int], *, skip_locked: bool = False
) -> Sequence[int]:
    """Let nobody else end items of these runs, so that the last one sees the ends of all others."""
    asked = select(runs.c.id).where(runs.c.id.in_(map(sought, run_ids))).order_by(runs.c.id)
    return connection.scalars(asked.with_for_update(skip_locked=skip_locked)).all()


def _row(connection: Connection, run_id: int) -> Row[Any]:
    row = connection.execute(RUNS.where(runs.c.id == sought(run_id))).one_or_none()
    if row is None:
        raise NotFoundError(text("error.run_missing"))
    return row


def _run(connection: Connection, run_id: int) -> Run:
    """Raises NotFoundError."""
    return run_of(_row(connection, run_id))


def _count_ends(connection: Connection, ended: Sequence[Row[Any]], now: datetime) -> None:
    """Add them up in their runs, which we hold."""
    for run_id in {row.run_id for row in ended}:
        rows = [row for row in ended if row.run_id == run_id and row.status not in OPEN]
        done = [row for row in rows if row.status == ItemStatus.COMPLETED]
        sizes = [row.size_bytes or 0 for row in done]
        many = Counter(row.status for row in rows)
        many["size_high"] = sum(size >> 32 for size in sizes)
        many["size_low"] = sum(size & 0xFFFF_FFFF for size in sizes)
        many["databases"] = sum(row.database_count or 0 for row in done)
        _add(connection, run_id, many, now)


def _add(connection: Connection, run_id: int, many: Mapping[str, int], now: datetime) -> None:
    more = {runs.c[name]: runs.c[name] + number for name, number in many.items() if number}
    connection.execute(
        update(runs).where(runs.c.id == run_id).values({**more, runs.c.active_at: now})
    )


def _without_pending(connection: Connection, row: Row[Any], now: datetime) -> Run:
    """Cancel what is pending, if the run is to be cancelled."""
    if row.cancel_requested_at is not None:
        asked = {"run_id": row.id, "at": now}
        many = connection.execute(statement_for(CANCEL, connection), asked).rowcount
        if many:
            _add(connection, row.id, {"cancelled": many}, now)
    return _run(connection, row.id)


def _close(connection: Connection, run: Run, now: datetime) -> Run:
    ended = evolve(run, status=run_status(run.counts), finished_at=now)
    values = {"status": ended.status, "finished_at": now}
    connection.execute(update(runs).where(runs.c.id == run.id).values(values))
    return ended
