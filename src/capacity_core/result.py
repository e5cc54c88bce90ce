"""How one sync of one instance ended."""

from datetime import datetime

from attrs import field, frozen

from capacity_core.decisions import Decision
from capacity_core.inventory import InventoryChange
from capacity_core.messages import Text
from capacity_core.model import CapacityReport, Failure, Instance, Moment, Scenario


@frozen
class SyncWarning:
    """Something a reader of a success should know all the same."""

    code: str
    message: Text


@frozen(kw_only=True)
class InstanceCapacitySyncActionResult:
    """What `sync_instance_capacity` returns: success or 409, told by the decision table's row.

    `report` holds the sizes (bytes, largest first) and the databases without one;
    `inventory_complete` says whether the login could see every database.
    """

    instance: Instance
    scenario: Scenario
    decision: Decision
    moment: Moment
    failure: Failure | None = None
    change: InventoryChange | None = None
    inventory_complete: bool = True
    report: CapacityReport = field(factory=CapacityReport)
    saved_count: int = 0
    instance_stat_updated: bool = False
    warnings: tuple[SyncWarning, ...] = ()
    since: datetime | None = None

    @property
    def success(self) -> bool:
        return self.decision.success

    @property
    def http_status(self) -> int:
        return self.decision.http_status

    @property
    def message_key(self) -> str:
        return self.decision.message_key

    @property
    def total_size_bytes(self) -> int:
        return sum(size.size_bytes for size in self.report.sizes)
