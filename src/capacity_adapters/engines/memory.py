"""A target in memory: fits the port as every engine does, and does what it is told."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final, TypeVar

from attrs import define, field

from capacity_core.diagnosis import Check
from capacity_core.model import (
    CapacityReport,
    CollectFailed,
    DatabaseSize,
    Failure,
    Inventory,
    Outcome,
    Reason,
    SeenDatabase,
    Unmeasured,
)

METHOD: Final = "memory"
Answer = TypeVar("Answer")


@define(eq=False)
class MemoryCoordinator:
    """Holds databases by name: the size in bytes, or why there is none.

    `databases` may change during a conversation. `connects` may be why nobody can connect. An
    answer that is given, as `inventory` or `report`, is told whatever the databases are; wherever
    an exception is given, it is raised. `asked` and `disconnects` tell what happened to it.
    """

    databases: Mapping[str, int | Outcome] = field(factory=dict)
    system: AbstractSet[str] = frozenset()
    complete: bool = True
    checks: tuple[Check, ...] | Exception = ()
    connects: bool | Failure | Exception = True
    inventory: Inventory | Exception | None = None
    report: CapacityReport | Exception | None = None
    failure: Failure | None = field(default=None, init=False)
    asked: AbstractSet[str] = field(default=frozenset(), init=False)
    disconnects: int = field(default=0, init=False)
    _connected: bool = field(default=False, init=False)

    def connect(self) -> bool:
        said = _told(self.connects)
        self.failure = said if isinstance(said, Failure) else None
        self._connected = said is True
        return self._connected

    def fetch_inventory(self) -> Inventory:
        self._check()
        if self.inventory is not None:
            return _told(self.inventory)
        seen = tuple(SeenDatabase(name, name in self.system) for name in self.databases)
        return Inventory(seen, self.complete)

    def collect_capacity(self, names: AbstractSet[str]) -> CapacityReport:
        self._check()
        self.asked = names
        if self.report is not None:
            return _told(self.report)
        found = {name: self.databases.get(name, Outcome.VANISHED) for name in sorted(names)}
        return CapacityReport(
            tuple(DatabaseSize(n, b, METHOD) for n, b in found.items() if isinstance(b, int)),
            tuple(Unmeasured.of(n, o) for n, o in found.items() if isinstance(o, Outcome)),
        )

    def examine(self) -> tuple[Check, ...]:
        self._check()
        return _told(self.checks)

    def disconnect(self) -> None:
        self._connected = False
        self.disconnects += 1

    def _check(self) -> None:
        if not self._connected:
            raise CollectFailed(Reason.CONNECTION_LOST)


def _told(answer: Answer | Exception) -> Answer:
    if isinstance(answer, Exception):
        raise answer
    return answer
