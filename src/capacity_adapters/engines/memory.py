"""A target in memory: fits the port as every engine does, and does what it is told."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

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


@define(eq=False)
class MemoryCoordinator:
    """Holds databases by name: the size in bytes, or why there is none.

    `databases` may change during a conversation. `refusal` is why nobody can connect.
    """

    databases: Mapping[str, int | Outcome]
    system: AbstractSet[str] = frozenset()
    complete: bool = True
    refusal: Failure | None = None
    checks: tuple[Check, ...] = ()
    failure: Failure | None = field(default=None, init=False)
    _connected: bool = field(default=False, init=False)

    def connect(self) -> bool:
        self.failure = self.refusal
        self._connected = self.refusal is None
        return self._connected

    def fetch_inventory(self) -> Inventory:
        self._check()
        seen = tuple(SeenDatabase(name, name in self.system) for name in self.databases)
        return Inventory(seen, self.complete)

    def collect_capacity(self, names: AbstractSet[str]) -> CapacityReport:
        self._check()
        found = {name: self.databases.get(name, Outcome.VANISHED) for name in sorted(names)}
        return CapacityReport(
            tuple(DatabaseSize(n, b, METHOD) for n, b in found.items() if isinstance(b, int)),
            tuple(Unmeasured.of(n, o) for n, o in found.items() if isinstance(o, Outcome)),
        )

    def examine(self) -> tuple[Check, ...]:
        self._check()
        return self.checks

    def disconnect(self) -> None:
        self._connected = False

    def _check(self) -> None:
        if not self._connected:
            raise CollectFailed(Reason.CONNECTION_LOST)
