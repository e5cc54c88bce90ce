"""The use case beside the sync: which rights and settings stand between a login and true sizes."""

from collections.abc import Callable, Mapping

from attrs import evolve

from capacity_core.diagnosis import Check, CheckState, Diagnosis
from capacity_core.errors import EngineNotSupportedError
from capacity_core.inventory import reconcile
from capacity_core.messages import text
from capacity_core.model import Failure, Instance, Reason, Scenario
from capacity_core.ports import CapacityExaminer
from capacity_core.sync import TARGET_FAILURES, failure_of


def diagnose(
    instance: Instance,
    known: Mapping[str, bool],
    coordinator_for: Callable[[Instance], CapacityExaminer],
) -> Diagnosis:
    """Connect, list the databases and probe the rights; nothing is kept and nothing is written.

    `known` are the names known so far (each: is it active?). Failures of the target are part of
    the diagnosis, not exceptions.
    """
    try:
        coordinator = coordinator_for(instance)
    except EngineNotSupportedError as error:
        failure = Failure(Reason.DRIVER_MISSING, error.message)
        return Diagnosis(instance, scenario=Scenario.ENGINE_NOT_SUPPORTED, failure=failure)
    try:
        return _converse(instance, known, coordinator)
    finally:
        coordinator.disconnect()


def _converse(
    instance: Instance, known: Mapping[str, bool], coordinator: CapacityExaminer
) -> Diagnosis:
    scenario = Scenario.CONNECT_FAILED
    try:
        if not coordinator.connect():
            failure = coordinator.failure or Failure.of(Reason.OTHER)
            return Diagnosis(instance, scenario=scenario, failure=failure)
        scenario = Scenario.INVENTORY_FAILED
        inventory = coordinator.fetch_inventory()
        checks = coordinator.examine()
    except TARGET_FAILURES as error:
        return Diagnosis(instance, scenario=scenario, failure=failure_of(error))
    change = reconcile(known, inventory, instance.filters)
    left_out = {filtered.database_name for filtered in change.filtered}
    return Diagnosis(
        instance,
        tuple(_counted(check, left_out) for check in checks),
        complete=inventory.complete,
        unseen=tuple(sorted(change.unseen)),
    )


def _counted(check: Check, left_out: set[str]) -> Check:
    """Leave out what the instance's filters do: a right that costs nothing else is not missing."""
    costs = tuple(name for name in check.costs if name not in left_out)
    if check.costs and not costs and check.state is CheckState.MISSING:
        return evolve(check, state=CheckState.OK, costs=(), cure=text(""))
    return evolve(check, costs=costs)
