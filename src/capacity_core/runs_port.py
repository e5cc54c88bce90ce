"""What runs ask of the store, inside one unit of work."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from capacity_core.model import Reason
from capacity_core.reads import Page, Paging
from capacity_core.runs import (
    Candidate,
    Claim,
    ItemEnd,
    ItemReason,
    ItemStatus,
    Run,
    RunItem,
    Selection,
    Trigger,
    Waiting,
)


class Runs(Protocol):
    """Runs and their items. Claims are timed by the store's own clock, in seconds."""

    def candidates(self) -> Sequence[Candidate]:
        """Every active instance that was not removed."""
        ...

    def start(
        self,
        selection: Selection,
        instance_ids: Sequence[int],
        *,
        trigger: Trigger,
        requested_by: str | None,
        now: datetime,
    ) -> tuple[Run, bool]:
        """Start a run over these instances, in this order; True if it is new.

        A run of the same selection that is still running is returned instead, unchanged.
        """
        ...

    def get(self, run_id: int) -> Run:
        """Raises NotFoundError."""
        ...

    def page(self, paging: Paging) -> Page[Run]:
        """The newest first."""
        ...

    def running(self) -> Sequence[Run]:
        """The oldest first."""
        ...

    def items(self, run_id: int, paging: Paging, status: ItemStatus | None = None) -> Page[RunItem]:
        """In the run's order. Raises NotFoundError if there is no such run."""
        ...

    def reasons(self, run_id: int) -> Mapping[tuple[ItemStatus, Reason | ItemReason | None], int]:
        """How many items ended so, for this reason."""
        ...

    def waiting(
        self,
        limit: int,
        *,
        run_id: int | None = None,
        zones: Iterable[str] = (),
        full_hosts: Iterable[str] = (),
        full_engines: Iterable[str] = (),
    ) -> Sequence[Waiting]:
        """Pending items that are due, whose instance nobody syncs: older runs first, in order.

        Of these zones only, if there are any, and of no host or engine that is full.
        """
        ...

    def next_due_seconds(self, *, run_id: int | None = None) -> float | None:
        """How long until the next pending item is due; None if none is pending."""
        ...

    def take_unqueued(self, limit: int, seconds: float) -> Sequence[Waiting]:
        """Take due items that no queue was told of, or not for so long, and note that it is."""
        ...

    def claim(
        self, item_ids: Iterable[int], owner: str, seconds: float, now: datetime
    ) -> Sequence[Claim]:
        """Make those of them running that are still pending and due; the others are left out."""
        ...

    def renew(self, owner: str, seconds: float) -> int:
        """Let the owner's claims last longer, those that expired too; returns how many."""
        ...

    def finish(self, ends: Iterable[tuple[Claim, ItemEnd]], now: datetime) -> int:
        """Say how claimed items ended; returns how many.

        A claim that was taken away meanwhile changes nothing.
        """
        ...

    def requeue_expired(self, now: datetime, most_attempts: int) -> int:
        """Make items pending again whose worker went silent; returns how many.

        After so many attempts the item failed (worker_lost).
        """
        ...

    def close_finished(self, now: datetime) -> Sequence[Run]:
        """End the running runs that have no open item; returns them as they are now.

        What was given back to a run that is being cancelled is cancelled first.
        """
        ...

    def cancel(self, run_id: int, now: datetime) -> Run:
        """Cancel what is pending; what is running may finish. The last end closes the run.

        Raises NotFoundError, and ConflictError if the run is not running.
        """
        ...

    def reopen(self, run_id: int) -> Run:
        """Make failed, cancelled and skipped items pending again, with no attempts, and run.

        A run that is running stays as it is. Raises NotFoundError, and ConflictError if there is
        nothing to do again or another run of the same selection is running.
        """
        ...

    def fired_at(self, schedule: str) -> datetime | None:
        """When the schedule was last due and met."""
        ...

    def fire(self, schedule: str, due: datetime) -> bool:
        """Note that this due time is met; False if somebody has met it, or a later one."""
        ...

    def refuse_credential(self, instance_id: int, mark: str) -> None:
        """Note the mark of the credential that the instance refused last; claims tell it."""
        ...
