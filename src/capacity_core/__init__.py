"""Capacity of databases: the domain, its decisions, and the ports it stands on."""

from capacity_core.application import CapacityApplication
from capacity_core.decisions import DECISIONS, Decision, Keep
from capacity_core.errors import CapacityError, NotFoundError
from capacity_core.instances import InstanceFields
from capacity_core.model import CollectFailed, Instance, Outcome, Reason, Scenario, Secret
from capacity_core.result import InstanceCapacitySyncActionResult
from capacity_core.sync import InstanceCapacitySyncActionsService

__all__ = [
    "DECISIONS",
    "CapacityApplication",
    "CapacityError",
    "CollectFailed",
    "Decision",
    "Instance",
    "InstanceCapacitySyncActionResult",
    "InstanceCapacitySyncActionsService",
    "InstanceFields",
    "Keep",
    "NotFoundError",
    "Outcome",
    "Reason",
    "Scenario",
    "Secret",
]
