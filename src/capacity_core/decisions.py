"""The decision table: how each way a sync can end is told, and what of it is kept."""

from collections.abc import Mapping
from enum import IntEnum, auto
from types import MappingProxyType

from attrs import frozen

from capacity_core.model import Scenario


class Keep(IntEnum):
    """What a sync may write, in the order it is written."""

    ATTEMPT = auto()
    INVENTORY = auto()
    STATS = auto()
    TOTAL = auto()
    ZERO_TOTAL = auto()
    AGGREGATES = auto()


@frozen
class Decision:
    """`message` is a key of the catalogue; `http_status` a hint for whoever speaks HTTP."""

    http_status: int
    message_key: str
    message: str
    keeps: frozenset[Keep] = frozenset()

    @property
    def success(self) -> bool:
        return self.http_status < 400  # noqa: PLR2004 -- HTTP: errors begin at 400


_INVENTORY = frozenset({Keep.ATTEMPT, Keep.INVENTORY})

DECISIONS: Mapping[Scenario, Decision] = MappingProxyType(
    {
        Scenario.INSTANCE_MISSING: Decision(404, "RESOURCE_NOT_FOUND", "error.instance_missing"),
        Scenario.ENGINE_NOT_SUPPORTED: Decision(
            409, "ENGINE_NOT_SUPPORTED", "sync.engine_not_supported", frozenset({Keep.ATTEMPT})
        ),
        Scenario.CONNECT_FAILED: Decision(
            409, "DATABASE_CONNECTION_ERROR", "sync.connect_failed", frozenset({Keep.ATTEMPT})
        ),
        Scenario.INVENTORY_FAILED: Decision(
            409, "SYNC_DATA_ERROR", "sync.collect_failed", frozenset({Keep.ATTEMPT})
        ),
        Scenario.INVENTORY_ONLY: Decision(
            200,
            "OPERATION_SUCCESS",
            "sync.succeeded",
            _INVENTORY | {Keep.STATS, Keep.ZERO_TOTAL, Keep.AGGREGATES},
        ),
        Scenario.COLLECT_FAILED: Decision(
            409, "SYNC_DATA_ERROR", "sync.collect_failed", _INVENTORY
        ),
        Scenario.NOTHING_MEASURED: Decision(
            409, "SYNC_DATA_ERROR", "sync.nothing_measured", _INVENTORY | {Keep.STATS}
        ),
        Scenario.COMPLETE: Decision(
            200,
            "OPERATION_SUCCESS",
            "sync.succeeded",
            _INVENTORY | {Keep.STATS, Keep.TOTAL, Keep.AGGREGATES},
        ),
        Scenario.IN_PROGRESS: Decision(409, "SYNC_IN_PROGRESS", "sync.in_progress"),
        Scenario.INTERNAL_ERROR: Decision(500, "INTERNAL_ERROR", "error.internal"),
    }
)
