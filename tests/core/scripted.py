"""A conversation that goes as written, for tests of what stands above the engines."""

from collections.abc import Set as AbstractSet
from typing import TypeVar

from attrs import define, field

from capacity_core.diagnosis import Check
from capacity_core.model import CapacityReport, DatabaseSize, Failure, Inventory, SeenDatabase

Act = TypeVar("Act")


@define
class ScriptedCoordinator:
    """Each step returns its value, or raises it if it is an exception."""

    connects: bool | Exception = True
    inventory: Inventory | Exception = field(factory=lambda: Inventory((SeenDatabase("a"),)))
    report: CapacityReport | Exception = field(
        factory=lambda: CapacityReport((DatabaseSize("a", 10, "m"),))
    )
    failure: Failure | None = None
    disconnects: int = field(default=0, init=False)
    asked: AbstractSet[str] = field(default=frozenset(), init=False)

    def connect(self) -> bool:
        return _play(self.connects)

    def fetch_inventory(self) -> Inventory:
        return _play(self.inventory)

    def collect_capacity(self, names: AbstractSet[str]) -> CapacityReport:
        self.asked = names
        return _play(self.report)

    def examine(self) -> tuple[Check, ...]:
        return ()

    def disconnect(self) -> None:
        self.disconnects += 1


def _play(act: Act | Exception) -> Act:
    if isinstance(act, Exception):
        raise act
    return act
