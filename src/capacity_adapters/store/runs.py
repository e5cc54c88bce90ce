"""Runs and their items, as rows; claims are timed by the store's own clock."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from attrs import frozen
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from capacity_adapters.store.run_counts import (
    close,
    count_ends,
    hold,
    row_by_id,
    run_by_id,
    without_pending,
)
from capacity_adapters.store.run_rows import (
    ADD_ITEMS,
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
from capacity_core.errors import ConflictError, StoreError
from capacity_core.messages import text
from capacity_core.model import Reason
from capacity_core.reads import Page, Paging
from capacity_core.runs import (
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
                    return run_by_id(connection, running), False
            doc = as_doc((each,) for each in instance_ids)
            connection.execute(statement_for(ADD_ITEMS, connection), {"run_id": run_id, "doc": doc})
            return run_by_id(connection, run_id), True

    def get(self, run_id: int) -> Run:
        with self._work.read() as connection:
            return run_by_id(connection, run_id)

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
            counts = run_by_id(connection, run_id).counts
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

    def finish(self, ends: Iterable[tuple[Claim, ItemEnd]], now: datetime) -> bool:
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
            asked = {"doc": doc, "at": now}
            rows = connection.execute(statement_for(FINISH, connection), asked).all()
            return count_ends(connection, rows, now)

    def requeue_expired(self, now: datetime, most_attempts: int) -> int:
        with self._work.write() as connection:
            silent = connection.scalars(statement_for(SILENT, connection)).all()
            silent = hold(connection, silent, skip_locked=True)  # the next beat comes
            doc = as_doc((run_id,) for run_id in silent)
            asked = {"at": now, "most": most_attempts, "doc": doc}
            rows = connection.execute(statement_for(REQUEUE, connection), asked).all()
            count_ends(connection, rows, now)
        return len(rows)

    def close_finished(self, now: datetime) -> Sequence[Run]:
        with self._work.write() as connection:
            held = connection.execute(CLOSABLE).all()
            found = [without_pending(connection, row, now) for row in held]
            return [close(connection, run, now) for run in found if not run.counts.open]

    def cancel(self, run_id: int, now: datetime) -> Run:
        with self._work.write() as connection:
            hold(connection, [run_id])
            row = row_by_id(connection, run_id)
            if row.status != RunStatus.RUNNING:
                raise ConflictError(text("error.run_ended", status=row.status))
            if row.cancel_requested_at is None:
                asked = update(runs).where(runs.c.id == run_id).values(cancel_requested_at=now)
                connection.execute(asked)
        self.close_finished(now)
        return self.get(run_id)

    def reopen(self, run_id: int, now: datetime) -> Run:
        with self._work.write() as connection:
            hold(connection, [run_id])
            run = run_by_id(connection, run_id)
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
