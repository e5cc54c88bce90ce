"""What every face of the product shows of runs: sizes in bytes and MiB, times in ISO and UTC."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from attrs import frozen

from capacity_core.answer import mebibytes
from capacity_core.messages import Language, Text, render, text
from capacity_core.model import Failure, Reason
from capacity_core.runs import (
    ItemCounts,
    ItemReason,
    ItemStatus,
    Run,
    RunItem,
    RunStatus,
    Selection,
    Trigger,
)

FAILURES: Final = (ItemStatus.FAILED, ItemStatus.SKIPPED)


@frozen(kw_only=True)
class RunView:
    """`progress_percent` is 100 only when no item is open; sizes are what completed items found.

    Null if none has. `active_at` is when it began, was retried, or an item of it ended last.
    `cancel_requested_at` is there from the request on; the run is cancelled once its last sync
    has ended.
    """

    id: int
    status: RunStatus
    trigger: Trigger
    requested_by: str | None
    selection: Selection
    started_at: str
    active_at: str
    finished_at: str | None
    cancel_requested_at: str | None
    counts: ItemCounts
    total: int
    progress_percent: float
    database_count: int
    size_bytes: int | None
    size_mb: int | None


@frozen(kw_only=True)
class RunItemView:
    """One instance of a run; `duration_ms` is its latest attempt's, and null is unknown.

    A pending item with a reason is tried again.
    """

    id: int
    instance_id: int
    instance_name: str
    db_type: str
    status: ItemStatus
    reason: str | None
    hint: str | None
    attempts: int
    database_count: int | None
    unmeasured_count: int | None
    size_bytes: int | None
    size_mb: int | None
    duration_ms: int | None
    started_at: str | None
    finished_at: str | None


@frozen
class RunFailureView:
    """So many items of a run failed, or were skipped, for that reason."""

    status: ItemStatus
    reason: str | None
    count: int
    hint: str | None


def run_view(run: Run) -> RunView:
    counts = run.counts
    size = run.size_bytes if counts.completed else None
    return RunView(
        id=run.id,
        status=run.status,
        trigger=run.trigger,
        requested_by=run.requested_by,
        selection=run.selection,
        started_at=run.started_at.isoformat(),
        active_at=run.active_at.isoformat(),
        finished_at=_iso(run.finished_at),
        cancel_requested_at=_iso(run.cancel_requested_at),
        counts=counts,
        total=counts.total,
        progress_percent=progress_percent(counts),
        database_count=run.database_count,
        size_bytes=size,
        size_mb=None if size is None else mebibytes(size),
    )


def progress_percent(counts: ItemCounts) -> float:
    """Say how much is done, to the tenth below."""
    done = counts.total - counts.open
    return done * 1000 // counts.total / 10 if counts.total else 100.0


def run_item_view(item: RunItem, language: Language) -> RunItemView:
    return RunItemView(
        id=item.id,
        instance_id=item.instance_id,
        instance_name=item.instance_name,
        db_type=item.db_type,
        status=item.status,
        reason=item.reason,
        hint=_hint(item.status, item.reason, language),
        attempts=item.attempts,
        database_count=item.database_count,
        unmeasured_count=item.unmeasured_count,
        size_bytes=item.size_bytes,
        size_mb=None if item.size_bytes is None else mebibytes(item.size_bytes),
        duration_ms=item.duration_ms,
        started_at=_iso(item.started_at),
        finished_at=_iso(item.finished_at),
    )


def run_failure_views(
    reasons: Mapping[tuple[ItemStatus, Reason | ItemReason | None], int], language: Language
) -> list[RunFailureView]:
    """Say why items failed or were skipped, the most frequent reason first."""
    found = [
        RunFailureView(status, reason, count, _hint(status, reason, language))
        for (status, reason), count in reasons.items()
        if status in FAILURES
    ]
    return sorted(found, key=lambda each: (-each.count, each.status, each.reason or ""))


def item_hint(status: ItemStatus, reason: Reason | ItemReason) -> Text:
    """Say what to do about an item that ended so."""
    if isinstance(reason, ItemReason):
        return text(f"item.{reason}")
    if reason is Reason.CREDENTIAL_UNAVAILABLE:  # of which instance has which reference
        return text("item.credential_unavailable")
    # A target that was not asked failed on an earlier day.
    return text("item.same_credential") if status is ItemStatus.SKIPPED else Failure.of(reason).hint


def _hint(status: ItemStatus, reason: Reason | ItemReason | None, language: Language) -> str | None:
    return None if reason is None else render(item_hint(status, reason), language).strip()


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
