"""How an attempt at an item ends: what is tried again, after how long, and how often."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacity_core.model import MAX_BYTES, Reason, Scenario
from capacity_core.result import InstanceCapacitySyncActionResult
from capacity_core.runs import ItemEnd, ItemReason, ItemStatus

# Reasons that may pass by themselves, and after how many seconds each attempt is made again. A
# time-out is not among them: it has cost a whole deadline already, and tomorrow is another run.
RETRIES: Final[Mapping[Reason, tuple[float, ...]]] = MappingProxyType(
    {
        Reason.REFUSED: (1.0, 2.0),
        Reason.UNREACHABLE: (1.0, 2.0),
        Reason.NAME_RESOLUTION: (1.0, 2.0),
        Reason.CONNECTION_LOST: (1.0, 2.0),
        Reason.TOO_MANY_CONNECTIONS: (2.0, 4.0, 8.0),
    }
)
MOST_ATTEMPTS: Final = 5
BUSY_SECONDS: Final = 2.0


def end_of(result: InstanceCapacitySyncActionResult, attempt: int) -> ItemEnd:
    """Say how a sync ended an item's attempt (the first is 1)."""
    if result.success:
        total = result.total_size_bytes
        return ItemEnd(
            status=ItemStatus.COMPLETED,
            database_count=len(result.report.sizes),
            unmeasured_count=len(result.report.unmeasured),
            size_bytes=total if total <= MAX_BYTES else None,
        )
    if result.scenario is Scenario.IN_PROGRESS:
        return ItemEnd(
            status=ItemStatus.PENDING,
            reason=ItemReason.SYNC_IN_PROGRESS,
            retry_seconds=BUSY_SECONDS,
        )
    reason = result.failure.reason if result.failure else Reason.OTHER
    delays = RETRIES.get(reason, ())
    if attempt <= len(delays):
        return ItemEnd(status=ItemStatus.PENDING, reason=reason, retry_seconds=delays[attempt - 1])
    return ItemEnd(status=ItemStatus.FAILED, reason=reason)


def again(attempt: int, reason: ItemReason) -> ItemEnd:
    """Try again what went wrong on our side, but not for ever."""
    if attempt < MOST_ATTEMPTS:
        return ItemEnd(status=ItemStatus.PENDING, reason=reason, retry_seconds=BUSY_SECONDS)
    return ItemEnd(status=ItemStatus.FAILED, reason=reason)
