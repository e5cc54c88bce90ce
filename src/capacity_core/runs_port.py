"""What runs ask of the store, inside one unit of work."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from capacity_core.dispatch import ANYTHING, Wanted
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

    def items(self, run_id: int, paging: Paging, status: ItemStatus | None = None) -> Page[RunItem]:
        """In the run's order. Raises NotFoundError if there is no such run."""
        ...

    def reasons(self, run_id: int) -> Mapping[tuple[ItemStatus, Reason | ItemReason | None], int]:
        """How many items ended so, for this reason."""
        ...

    def waiting(self, limit: int, wanted: Wanted = ANYTHING) -> Sequence[Waiting]:
        """Pending items that are due, whose instance nobody syncs: older runs first, in order."""
        ...

    def take_unqueued(self, limit: int, seconds: float) -> Sequence[Waiting]:
        """Take due items that no queue was told of, or not for so long, and note that it is."""
        ...

    def claim(
        self, item_ids: Iterable[int], owner: str, seconds: float, now: datetime
    ) -> Sequence[Claim]:
        """Make those of them running that are still pending and due; the others are left out."""
        ...

    def renew(self, owners: Iterable[str], seconds: float) -> None:
        """Let their claims last longer, those that expired too."""
        ...

    def finish(self, ends: Iterable[tuple[Claim, ItemEnd]], now: datetime) -> bool:
        """Say how claimed items ended; a claim that was taken away meanwhile changes nothing.

        True if a run may have ended with them: `close_finished` is to be asked.
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

    def reopen(self, run_id: int, now: datetime) -> Run:
        """Make failed, cancelled and skipped items pending again, with no attempts, and run.

        A run that is running stays as it is. Raises NotFoundError, and ConflictError if there is
        nothing to do again or another run of the same selection is running.
        """
        ...

    def ended_before(self, moment: datetime) -> int:
        """Count the runs that ended before."""
        ...

    def delete_oldest(self, before: datetime) -> bool:
        """Delete the oldest run that ended before, with its items; False if there is none."""
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
