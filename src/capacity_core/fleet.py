"""Many instances: runs are started, cancelled and retried here, and their items collected."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from attrs import evolve, frozen

from capacity_core.attempts import MOST_ATTEMPTS, again, end_of
from capacity_core.dispatch import ANYTHING, Wanted
from capacity_core.errors import ConflictError, InvalidInputError, NotFoundError, StoreError
from capacity_core.instances import check_labels, engine_for
from capacity_core.messages import text
from capacity_core.model import EngineFacts, Instance, Reason, Scenario
from capacity_core.ports import Begin, Clock, LeaseKeeper, UnitOfWork
from capacity_core.reads import Page, Paging
from capacity_core.result import InstanceCapacitySyncActionResult
from capacity_core.runs import (
    Claim,
    ItemEnd,
    ItemReason,
    ItemStatus,
    Run,
    RunItem,
    Selection,
    Trigger,
    Waiting,
    in_order,
    is_abandoned,
)

log = logging.getLogger(__name__)

MISSING_TOLD: Final = 10


class SyncOne(Protocol):
    """The single action, `CapacityApplication.sync`."""

    def __call__(
        self, instance_id: int, *, keeper: LeaseKeeper | None = None
    ) -> InstanceCapacitySyncActionResult: ...


@frozen(kw_only=True)
class CapacityFleet:
    """`credential_mark` hashes the credential that an instance would be asked with, if it can."""

    begin: Begin
    now: Clock
    sync: SyncOne
    engines: Mapping[str, EngineFacts]
    credential_mark: Callable[[Instance], str | None]

    # What people and schedules do.

    def start(
        self,
        selection: Selection,
        *,
        trigger: Trigger = Trigger.MANUAL,
        requested_by: str | None = None,
    ) -> tuple[Run, bool]:
        """Start a run over the active instances that are selected; True if it is new.

        While a run of the same selection is running, that one is returned; an abandoned one is
        cancelled. Raises InvalidInputError, and ConflictError if nothing is selected or that run
        is being cancelled.
        """
        wanted = self._checked(selection)

        def attempt() -> tuple[Run, bool] | None:
            with self.begin() as work:
                started = self._start(work, wanted, trigger, requested_by)
                if started and not started[0].cancel_requested_at:
                    work.commit()
            return started

        started = self._twice(attempt)
        if started is None:
            raise ConflictError(text("error.run_selects_nothing"))
        if started[0].cancel_requested_at:
            raise ConflictError(text("error.run_cancelling", id=started[0].id))
        return started

    def _twice(self, attempt: Callable[[], tuple[Run, bool] | None]) -> tuple[Run, bool] | None:
        """Try again if the run before is being cancelled: there may be nobody else to end it."""
        started = attempt()
        if started and started[0].cancel_requested_at:
            self.tidy()
            started = attempt()
        return started

    def _start(
        self, work: UnitOfWork, wanted: Selection, trigger: Trigger, requested_by: str | None
    ) -> tuple[Run, bool] | None:
        chosen = [each.instance_id for each in in_order(wanted.among(work.runs.candidates()))]
        if missing := set(wanted.instance_ids) - set(chosen):
            told = ", ".join(map(str, sorted(missing)[:MISSING_TOLD]))
            raise InvalidInputError("instance_ids", text("field.instances_missing", ids=told))
        if not chosen:
            return None
        start = partial(
            work.runs.start,
            wanted,
            chosen,
            trigger=trigger,
            requested_by=requested_by,
            now=self.now(),
        )
        run, is_new = start()
        if not run.cancel_requested_at and is_abandoned(run, self.now()):
            work.runs.cancel(run.id, self.now())
            run, is_new = start()
        return run, is_new

    def _take_up(self, work: UnitOfWork) -> None:
        """Take what silent workers left: nobody else may be there to do it."""
        if left := work.runs.requeue_expired(self.now(), MOST_ATTEMPTS):
            log.warning("%s items were left by workers that went silent", left)

    def last_fired(self, schedule: str, first: datetime | None = None) -> datetime:
        """When the schedule was last met; one that nobody knew is met then first, or now."""
        with self.begin() as work:
            last = work.runs.fired_at(schedule)
            if last is None:
                last = first or self.now()
                work.runs.fire(schedule, last)
                work.commit()
        return last

    def meet(self, schedule: str, due: datetime) -> None:
        """Note that this due time is met, without a run."""
        with self.begin() as work:
            work.runs.fire(schedule, due)
            work.commit()

    def fire(self, schedule: str, due: datetime) -> tuple[Run, bool] | None:
        """Start the run of all instances that is due then; None if somebody has.

        The note in the store and the run are one transaction: whoever writes the note leads this
        firing, and there is no other leader. While the run before is being cancelled, nobody has.

        Raises ConflictError if there is no active instance; the time counts as met.
        """

        def attempt() -> tuple[Run, bool] | None:
            with self.begin() as work:
                if not work.runs.fire(schedule, due):
                    return None
                started = self._start(work, Selection(), Trigger.SCHEDULE, None)
                if started is None or not started[0].cancel_requested_at:
                    work.commit()
            if started is None:
                raise ConflictError(text("error.run_selects_nothing"))
            return started

        started = self._twice(attempt)
        return None if started and started[0].cancel_requested_at else started

    def _checked(self, selection: Selection) -> Selection:
        check_labels(selection.tags)
        names = map(self._engine, selection.db_types)
        if any(instance_id < 1 for instance_id in selection.instance_ids):
            raise InvalidInputError("instance_ids", text("field.type", field="instance_ids"))
        return evolve(selection, db_types=tuple(names))

    def _engine(self, name: str) -> str:
        try:
            return engine_for(name, self.engines).db_type
        except InvalidInputError as error:
            raise InvalidInputError("db_types", error.message) from error

    def run(self, run_id: int) -> Run:
        """Raises NotFoundError."""
        with self.begin() as work:
            return work.runs.get(run_id)

    def runs(self, paging: Paging) -> Page[Run]:
        """The newest first."""
        with self.begin() as work:
            return work.runs.page(paging)

    def items(self, run_id: int, paging: Paging, status: ItemStatus | None = None) -> Page[RunItem]:
        """The items of a run, in its order. Raises NotFoundError."""
        with self.begin() as work:
            return work.runs.items(run_id, paging, status)

    def reasons(self, run_id: int) -> Mapping[tuple[ItemStatus, Reason | ItemReason | None], int]:
        """How many items of a run ended so, for this reason."""
        with self.begin() as work:
            return work.runs.reasons(run_id)

    def cancel(self, run_id: int) -> Run:
        """Cancel what is pending, and what silent workers left; what runs may finish first.

        Raises NotFoundError, and ConflictError if the run is not running.
        """
        with self.begin() as work:  # one of its own: whoever holds runs waits for no other
            self._take_up(work)
            work.commit()
        with self.begin() as work:
            run = work.runs.cancel(run_id, self.now())
            work.commit()
        return run

    def retry(self, run_id: int) -> Run:
        """Make failed, cancelled and skipped items pending again.

        A run that is running goes on as it is. Raises NotFoundError, and ConflictError if there
        is nothing to do again, if it is being cancelled, or another run of the same selection is
        running.
        """
        self.tidy()
        with self.begin() as work:
            run = work.runs.reopen(run_id, self.now())
            if run.cancel_requested_at:
                raise ConflictError(text("error.run_cancelling", id=run_id))
            work.commit()
        return run

    # What workers do.

    def waiting(self, limit: int, wanted: Wanted = ANYTHING) -> Sequence[Waiting]:
        """The first items that may be claimed; see `Runs.waiting`."""
        with self.begin() as work:
            return work.runs.waiting(limit, wanted)

    def take_unqueued(self, limit: int, seconds: float) -> Sequence[Waiting]:
        """Take due items that no queue was told of for so many seconds, and note that it is."""
        with self.begin() as work:
            taken = work.runs.take_unqueued(limit, seconds)
            work.commit()
        return taken

    def claim(self, item_ids: Iterable[int], owner: str, seconds: float) -> Sequence[Claim]:
        """Take items for so many seconds, unless somebody else has."""
        with self.begin() as work:
            claims = work.runs.claim(item_ids, owner, seconds, self.now())
            work.commit()
        return claims

    def renew(self, owners: Iterable[str], seconds: float) -> None:
        """Keep the owners' claims for so many seconds more."""
        with self.begin() as work:
            work.runs.renew(owners, seconds)
            work.commit()

    def finish(self, ends: Sequence[tuple[Claim, ItemEnd]]) -> Sequence[Run]:
        """Keep how items ended; returns the runs that ended with them."""
        with self.begin() as work:
            may_close = work.runs.finish(ends, self.now())
            closed = work.runs.close_finished(self.now()) if may_close else []
            work.commit()
        return closed

    def tidy(self) -> Sequence[Run]:
        """Take up what workers left that died; returns the runs that ended with it."""
        with self.begin() as work:
            self._take_up(work)
            closed = work.runs.close_finished(self.now())
            work.commit()
        return closed

    def collect(self, claim: Claim, keeper: LeaseKeeper | None = None) -> ItemEnd:
        """Sync the instance of a claimed item, and say how that ended."""
        began = self.now()
        end = self._collect(claim, keeper)
        return evolve(end, duration_ms=_milliseconds(began, self.now()))

    def _collect(self, claim: Claim, keeper: LeaseKeeper | None) -> ItemEnd:
        try:
            refused = self._refused(claim)
            if refused is not None:
                return ItemEnd(status=ItemStatus.SKIPPED, reason=refused)
            result = self.sync(claim.instance_id, keeper=keeper)
            end = end_of(result, claim.attempt)
            if end.reason is Reason.AUTH_FAILED:
                self._note_refusal(result.instance)
        except NotFoundError:
            return ItemEnd(status=ItemStatus.SKIPPED, reason=ItemReason.INSTANCE_MISSING)
        except ConflictError:
            return again(claim.attempt, ItemReason.INSTANCE_MOVED)
        except StoreError:
            log.warning("sync of instance %s: the store failed", claim.instance_id, exc_info=True)
            return again(claim.attempt, ItemReason.INTERNAL_ERROR)
        return end

    def _refused(self, claim: Claim) -> Reason | None:
        """Say why the instance is not asked: its login was refused, and is still the same.

        Trying again might lock the account.
        """
        if claim.refused_mark is None:
            return None
        with self.begin() as work:
            instance = work.instances.get(claim.instance_id)
        last = instance.last_sync
        has_connected_since = last is not None and last.scenario is not Scenario.CONNECT_FAILED
        if has_connected_since or claim.refused_mark != self.credential_mark(instance):
            return None
        return Reason.AUTH_FAILED

    def _note_refusal(self, asked: Instance) -> None:
        """As the instance was when it was asked: whoever edits it meanwhile has it tried again.

        Best effort: were the item given back for the store's sake, the login would be tried again.
        """
        try:
            mark = self.credential_mark(asked)
            if mark is None:
                return
            with self.begin() as work:
                work.runs.refuse_credential(asked.id, mark)
                work.commit()
        except StoreError:
            log.warning("the refused login of instance %s was not noted", asked.id, exc_info=True)


def _milliseconds(began: datetime, ended: datetime) -> int:
    return max(0, round((ended - began).total_seconds() * 1000))
