"""What workers of every queue do alike: collect an item, whatever happens, and pause longer."""

import logging
from typing import Final
from uuid import uuid4

from capacity_core.fleet import CapacityFleet
from capacity_core.ports import LeaseKeeper
from capacity_core.runs import Claim, ItemEnd, ItemReason, ItemStatus

log = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.5
LAST_PAUSE: Final = 10.0
LAST_WORDS_SECONDS: Final = 10.0  # for a store that fails while we stop
BROKEN: Final = ItemEnd(status=ItemStatus.FAILED, reason=ItemReason.INTERNAL_ERROR)


def collected(fleet: CapacityFleet, claim: Claim, keeper: LeaseKeeper) -> ItemEnd:
    """Sync the instance of a claimed item; a bug is the item's own end."""
    try:
        return fleet.collect(claim, keeper)
    except Exception:  # whatever is wrong with one instance, the others go on
        error_id = uuid4().hex
        log.exception("sync of instance %s failed (%s)", claim.instance_id, error_id)
        return BROKEN


def longer(pause: float) -> float:
    """Give the pause (seconds) after that one, which was 0 if there was none."""
    return min(pause * 2 or FIRST_PAUSE, LAST_PAUSE)
