"""Collections of many instances: a run, its items, and the moves that both may make."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum, auto
from types import MappingProxyType
from typing import Final

from attrs import field, frozen
from attrs.validators import in_

from capacity_core.instances import unique
from capacity_core.model import DEFAULT_ZONE, Address, NetworkAddress, Reason


class RunStatus(StrEnum):
    RUNNING = auto()
    COMPLETED = auto()
    COMPLETED_WITH_ERRORS = auto()
    FAILED = auto()
    CANCELLED = auto()


class ItemStatus(StrEnum):
    PENDING = auto()
    RUNNING = auto()
    COMPLETED = auto()
    FAILED = auto()
    CANCELLED = auto()
    SKIPPED = auto()


class Trigger(StrEnum):
    SCHEDULE = auto()
    MANUAL = auto()


# A worker gives an item back (to pending) when it may be tried again, or when the worker died.
ITEM_MOVES: Final[Mapping[ItemStatus, frozenset[ItemStatus]]] = MappingProxyType(
    {
        ItemStatus.PENDING: frozenset({ItemStatus.RUNNING, ItemStatus.CANCELLED}),
        ItemStatus.RUNNING: frozenset(ItemStatus) - {ItemStatus.RUNNING},
        ItemStatus.COMPLETED: frozenset(),
        ItemStatus.FAILED: frozenset({ItemStatus.PENDING}),
        ItemStatus.CANCELLED: frozenset({ItemStatus.PENDING}),
        ItemStatus.SKIPPED: frozenset({ItemStatus.PENDING}),
    }
)
RUN_MOVES: Final[Mapping[RunStatus, frozenset[RunStatus]]] = MappingProxyType(
    {
        RunStatus.RUNNING: frozenset(RunStatus) - {RunStatus.RUNNING},
        RunStatus.COMPLETED: frozenset(),
        RunStatus.COMPLETED_WITH_ERRORS: frozenset({RunStatus.RUNNING}),
        RunStatus.FAILED: frozenset({RunStatus.RUNNING}),
        RunStatus.CANCELLED: frozenset({RunStatus.RUNNING}),
    }
)
OPEN: Final = frozenset({ItemStatus.PENDING, ItemStatus.RUNNING})
# What a retry of the run takes up again.
RETRIED: Final = frozenset(old for old, to in ITEM_MOVES.items() if old not in OPEN and to)


class ItemReason(StrEnum):
    """Why an item did not complete, where that is not a reason of the target's."""

    INSTANCE_MISSING = auto()
    INSTANCE_MOVED = auto()
    SYNC_IN_PROGRESS = auto()
    WORKER_LOST = auto()
    INTERNAL_ERROR = auto()


ABANDONED_AFTER: Final = timedelta(minutes=30)


def _unique_ids(ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(ids)))


@frozen
class Selection:
    """Which active instances: of one of these engines, with one of these tags, of these ids.

    What is empty narrows nothing.
    """

    db_types: tuple[str, ...] = field(default=(), converter=unique)
    tags: tuple[str, ...] = field(default=(), converter=unique)
    instance_ids: tuple[int, ...] = field(default=(), converter=_unique_ids)

    @property
    def key(self) -> str:
        """Spell it so that equal selections have equal keys."""
        return json.dumps([self.db_types, self.tags, self.instance_ids], separators=(",", ":"))

    @classmethod
    def of_key(cls, key: str) -> "Selection":
        return cls(*json.loads(key))

    def among(self, candidates: Iterable["Candidate"]) -> list["Candidate"]:
        db_types, tags, ids = set(self.db_types), set(self.tags), set(self.instance_ids)
        return [
            each
            for each in candidates
            if (not db_types or each.db_type in db_types)
            and (not tags or not tags.isdisjoint(each.tags))
            and (not ids or each.instance_id in ids)
        ]


@frozen
class Candidate:
    """An active instance: when it was last tried (UTC), and how long that took (milliseconds)."""

    instance_id: int
    db_type: str
    tags: tuple[str, ...] = ()
    last_sync_at: datetime | None = None
    duration_ms: int | None = None


@frozen
class ItemCounts:
    """How many items of a run have which status."""

    pending: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0

    @classmethod
    def of(cls, statuses: Mapping[ItemStatus, int]) -> "ItemCounts":
        return cls(**{status.value: count for status, count in statuses.items()})

    @property
    def open(self) -> int:
        return self.pending + self.running

    @property
    def total(self) -> int:
        return self.open + self.completed + self.failed + self.cancelled + self.skipped


def run_status(counts: ItemCounts) -> RunStatus:
    """Say what a run is, given its items: nothing else decides it, so no two can contradict."""
    if counts.open:
        return RunStatus.RUNNING
    if counts.cancelled:
        return RunStatus.CANCELLED
    if not counts.failed + counts.skipped:
        return RunStatus.COMPLETED
    return RunStatus.COMPLETED_WITH_ERRORS if counts.completed else RunStatus.FAILED


@frozen(kw_only=True)
class Run:
    """One collection. Times in UTC; `size_bytes` are what its completed items measured.

    While `cancel_requested_at` is set and the run is running, the last syncs are let finish.
    `active_at` is when it began, was retried, or an item of it ended last.
    """

    id: int
    trigger: Trigger = field(converter=Trigger)
    requested_by: str | None
    selection: Selection
    status: RunStatus = field(converter=RunStatus)
    started_at: datetime
    active_at: datetime
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    counts: ItemCounts = field(factory=ItemCounts)
    size_bytes: int = 0
    database_count: int = 0


@frozen(kw_only=True)
class RunItem:
    """One instance of a run; sizes in bytes, `duration_ms` of its latest attempt."""

    id: int
    run_id: int
    instance_id: int
    instance_name: str
    db_type: str
    status: ItemStatus = field(converter=ItemStatus)
    reason: Reason | ItemReason | None = None
    attempts: int = 0
    database_count: int | None = None
    unmeasured_count: int | None = None
    size_bytes: int | None = None
    duration_ms: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@frozen
class Waiting:
    """A pending item that is due, and where its target is: what workers choose from.

    `host` is None for files. It `is_suspect` whose instance could not be connected to last.
    """

    item_id: int
    run_id: int
    instance_id: int
    db_type: str
    host: str | None
    zone: str = DEFAULT_ZONE
    is_suspect: bool = False


@frozen
class Claim:
    """The right of one worker to work on an item, until it expires by the store's clock.

    `refused_mark` is of the credential that the instance refused last.
    """

    item_id: int
    run_id: int
    instance_id: int
    owner: str
    attempt: int
    refused_mark: str | None = None


@frozen(kw_only=True)
class ItemEnd:
    """How one attempt ended. Pending: it is tried again in `retry_seconds`."""

    status: ItemStatus = field(validator=in_(ITEM_MOVES[ItemStatus.RUNNING]))
    reason: Reason | ItemReason | None = None
    database_count: int | None = None
    unmeasured_count: int | None = None
    size_bytes: int | None = None
    duration_ms: int | None = None
    retry_seconds: float = 0.0

    @property
    def asked_nobody(self) -> bool:
        """Say whether the attempt does not count: given back, skipped, or another sync ran."""
        if self.status is ItemStatus.PENDING:
            return self.reason in {None, ItemReason.SYNC_IN_PROGRESS}
        return self.status is ItemStatus.SKIPPED


def is_abandoned(run: Run, now: datetime) -> bool:
    """Say whether nobody is at it any more: as where no worker serves the zone of what is left."""
    return not run.counts.running and run.active_at < now - ABANDONED_AFTER


def host_of(address: Address) -> str | None:
    """Name the machine, as `Waiting` does."""
    return address.host.lower() if isinstance(address, NetworkAddress) else None


def reason_of(word: str | None) -> Reason | ItemReason | None:
    """Read a kept reason."""
    if word is None:
        return None
    return ItemReason(word) if word in set(ItemReason) else Reason(word)


SLOW_MS: Final = 5_000


def in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Order a run: known slow ones early, so that they overlap the rest; else longest waiting."""

    def place(candidate: Candidate) -> tuple[bool, float, int]:
        slow = (candidate.duration_ms or 0) >= SLOW_MS
        last = candidate.last_sync_at
        return not slow, last.timestamp() if last else 0.0, candidate.instance_id

    return sorted(candidates, key=place)
