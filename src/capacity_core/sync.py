"""The use case: sync the capacity of one instance, inside the caller's unit of work."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from attrs import evolve, field, frozen

from capacity_core.decisions import DECISIONS, Decision, Keep
from capacity_core.errors import ConflictError, EngineNotSupportedError
from capacity_core.inventory import InventoryChange, account_for, reconcile
from capacity_core.messages import text
from capacity_core.model import (
    MAX_BYTES,
    CapacityReport,
    CollectFailed,
    Failure,
    Instance,
    Inventory,
    LastSync,
    Moment,
    Outcome,
    Reason,
    Scenario,
    Unmeasured,
)
from capacity_core.ports import CapacityRepository, CapacitySyncCoordinator
from capacity_core.result import InstanceCapacitySyncActionResult, SyncWarning

if TYPE_CHECKING:  # the ports of growth are slow to import
    from capacity_core.growth_ports import CapacityAggregator

log = logging.getLogger(__name__)

# CollectFailed is a RuntimeError; ConnectionError and TimeoutError are kinds of OSError.
TARGET_FAILURES = (RuntimeError, OSError)


@frozen
class _Findings:
    """What the conversation with the instance brought to light, and how far it came."""

    scenario: Scenario
    failure: Failure | None = None
    inventory: Inventory = field(factory=Inventory)
    change: InventoryChange | None = None
    report: CapacityReport = field(factory=CapacityReport)


@frozen
class InstanceCapacitySyncActionsService:
    """Syncs one instance and never commits: the caller commits on return, rolls back on raise.

    `timezone` decides the business day of instances that have none of their own. With
    `aggregation_required` a failed aggregation raises instead of leaving a warning.
    """

    repository: CapacityRepository
    aggregator: "CapacityAggregator"
    coordinator_for: Callable[[Instance], CapacitySyncCoordinator]
    now: Callable[[], datetime]
    timezone: str = "UTC"
    decisions: Mapping[Scenario, Decision] = DECISIONS
    aggregation_required: bool = False

    def sync_instance_capacity(self, instance_id: int) -> InstanceCapacitySyncActionResult:
        """Ask the instance for its databases and their sizes, and keep what the table says.

        Nothing of the store is held while the instance is asked. Raises NotFoundError if the
        instance is missing or was removed, ConflictError if it was moved meanwhile; failures of
        the target are results, not exceptions.
        """
        instance, known = self.repository.get_instance_and_databases(instance_id)
        at = self.now()
        zone = ZoneInfo(instance.timezone or self.timezone)
        found = self._ask(instance, known)
        result = InstanceCapacitySyncActionResult(
            instance=evolve(instance, sealed_password=None),  # it has been used
            scenario=found.scenario,
            decision=self.decisions[found.scenario],
            moment=Moment(at, at.astimezone(zone).date()),
            failure=found.failure,
            change=found.change,
            inventory_complete=found.inventory.complete,
            report=found.report,
            warnings=_inventory_warnings(found.inventory),
        )
        for keep in sorted(result.decision.keeps):
            result = _KEEPERS[keep](self, result)
        return result

    def _ask(self, instance: Instance, known: Mapping[str, bool]) -> _Findings:
        try:
            coordinator = self.coordinator_for(instance)
        except EngineNotSupportedError as error:
            failure = Failure(Reason.DRIVER_MISSING, error.message)
            return _Findings(Scenario.ENGINE_NOT_SUPPORTED, failure)
        try:
            found = _converse(coordinator, instance, known)
        finally:
            coordinator.disconnect()
        if found.failure is not None:
            log.warning(
                "sync of instance %s: %s (%s)", instance.id, found.scenario, found.failure.reason
            )
        return found


def _converse(
    coordinator: CapacitySyncCoordinator, instance: Instance, known: Mapping[str, bool]
) -> _Findings:
    try:
        connected = coordinator.connect()
    except TARGET_FAILURES as error:
        return _Findings(Scenario.CONNECT_FAILED, failure_of(error))
    if not connected:
        failure = coordinator.failure or Failure.of(Reason.OTHER)
        return _Findings(Scenario.CONNECT_FAILED, failure)
    try:
        inventory = coordinator.fetch_inventory()
    except TARGET_FAILURES as error:
        return _Findings(Scenario.INVENTORY_FAILED, failure_of(error))
    change = reconcile(known, inventory, instance.filters)
    unseen = tuple(
        Unmeasured.of(name, Outcome.NOT_VISIBLE, inventory.cure) for name in sorted(change.unseen)
    )
    if not change.active:
        report = CapacityReport((), unseen)
        return _Findings(Scenario.INVENTORY_ONLY, None, inventory, change, report)
    return _collect(coordinator, inventory, change, unseen)


def _collect(
    coordinator: CapacitySyncCoordinator,
    inventory: Inventory,
    change: InventoryChange,
    unseen: tuple[Unmeasured, ...],
) -> _Findings:
    names = frozenset(change.active_names)
    try:
        said = coordinator.collect_capacity(names)
    except TARGET_FAILURES as error:
        return _Findings(Scenario.COLLECT_FAILED, failure_of(error), inventory, change)
    asked = account_for(names, said)
    report = CapacityReport(asked.sizes, asked.unmeasured + unseen)
    if not report.sizes:
        failure = _why_nothing(asked.unmeasured)
        return _Findings(Scenario.NOTHING_MEASURED, failure, inventory, change, report)
    return _Findings(Scenario.COMPLETE, None, inventory, change, report)


def failure_of(error: Exception) -> Failure:
    """Read the reason that an engine gave; a foreign coordinator's error has reason `other`."""
    if isinstance(error, CollectFailed):
        return error.failure
    log.warning("a coordinator raised %s", type(error).__name__, exc_info=error)
    return Failure.of(Reason.OTHER)


def _why_nothing(unmeasured: tuple[Unmeasured, ...]) -> Failure:
    if all(database.outcome is Outcome.DENIED for database in unmeasured):
        return Failure(Reason.PERMISSION_DENIED, unmeasured[0].hint)
    return Failure.of(Reason.EMPTY)


def _inventory_warnings(inventory: Inventory) -> tuple[SyncWarning, ...]:
    if inventory.complete:
        return ()
    said = text("warning.inventory_incomplete", cure=inventory.cure)
    return (SyncWarning("inventory_incomplete", said),)


_Result = InstanceCapacitySyncActionResult
_Keeper = Callable[[InstanceCapacitySyncActionsService, _Result], _Result]


def _keep_attempt(service: InstanceCapacitySyncActionsService, result: _Result) -> _Result:
    reason = result.failure.reason if result.failure else None
    attempt = LastSync(result.moment.at, result.scenario, reason)
    place = service.repository.save_last_sync(result.instance.id, attempt)
    if place != result.instance.place:  # what one server answers is not kept as another's
        raise ConflictError(text("error.instance_moved", name=result.instance.name))
    return result


def _keep_inventory(service: InstanceCapacitySyncActionsService, result: _Result) -> _Result:
    if result.change is not None:
        service.repository.save_inventory(result.instance.id, result.change, result.moment)
    return result


def _keep_stats(service: InstanceCapacitySyncActionsService, result: _Result) -> _Result:
    saved = service.repository.save_database_stats(result.instance.id, result.report, result.moment)
    return evolve(result, saved_count=saved)


def _keep_total(service: InstanceCapacitySyncActionsService, result: _Result) -> _Result:
    written = result.total_size_bytes <= MAX_BYTES and (
        service.repository.update_instance_total_size(result.instance.id, result.moment)
    )
    if written:
        return evolve(result, instance_stat_updated=True)
    overflow = SyncWarning("total_overflow", text("warning.total_overflow"))
    return evolve(result, warnings=(*result.warnings, overflow))


def _keep_zero_total(service: InstanceCapacitySyncActionsService, result: _Result) -> _Result:
    return _keep_total(service, result) if result.inventory_complete else result


def _keep_aggregates(service: InstanceCapacitySyncActionsService, result: _Result) -> _Result:
    aggregations = [service.aggregator.calculate_daily_database_aggregations_for_instance]
    if result.instance_stat_updated:
        aggregations.append(service.aggregator.calculate_daily_aggregations_for_instance)
    failed: list[SyncWarning] = []
    for calculate in aggregations:
        with _best_effort(service, result.instance.id, failed):
            calculate(result.instance.id, result.moment.day)
    return evolve(result, warnings=(*result.warnings, *failed))


@contextmanager
def _best_effort(
    service: InstanceCapacitySyncActionsService, instance_id: int, failed: list[SyncWarning]
) -> Iterator[None]:
    try:
        yield
    except Exception:
        if service.aggregation_required:
            raise
        about = {"component": "databases_capacity", "action": "sync_instance_capacity"}
        log.warning(
            "容量同步后触发聚合失败", extra={**about, "instance_id": instance_id}, exc_info=True
        )
        failed.append(SyncWarning("aggregation_failed", text("warning.aggregation_failed")))


_KEEPERS: Mapping[Keep, _Keeper] = MappingProxyType(
    {
        Keep.ATTEMPT: _keep_attempt,
        Keep.INVENTORY: _keep_inventory,
        Keep.STATS: _keep_stats,
        Keep.TOTAL: _keep_total,
        Keep.ZERO_TOTAL: _keep_zero_total,
        Keep.AGGREGATES: _keep_aggregates,
    }
)
