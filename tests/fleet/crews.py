"""An application whose targets do what a test says, and who tells what happened to them."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from attrs import define, evolve, field
from tests.builders import ENGINES, an_instance
from tests.stores import AnyStore

from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_core.application import CapacityApplication
from capacity_core.errors import StoreError
from capacity_core.messages import text
from capacity_core.model import Failure, Instance, NetworkAddress, Reason, Secret
from capacity_core.ports import Begin, Lease, UnitOfWork
from capacity_core.reads import Paging
from capacity_core.runs import Run, RunItem, Selection

PATIENCE = 20.0


def refused(times: int) -> Callable[[int], "bool | Failure | Exception"]:
    """So often nobody can connect."""
    return lambda visit: Failure.of(Reason.REFUSED) if visit <= times else True


@define(eq=False)
class Targets:
    """One in-memory target an instance, by name; `plays` say what happens at the nth connect.

    `visits` and `most_at_once` count by name, `most_on_host` by host; `meanwhile` is called with
    the name while an instance is asked.
    """

    plays: dict[str, Callable[[int], bool | Failure | Exception]] = field(factory=dict)
    meanwhile: Callable[[str], None] = field(default=lambda _name: None)
    visits: Counter[str] = field(factory=Counter)
    most_at_once: Counter[str] = field(factory=Counter)
    _inside: Counter[str] = field(factory=Counter)
    _lock: threading.Lock = field(factory=threading.Lock)

    def coordinator_for(
        self, instance: Instance, *, deadline: float, password: Secret | None = None
    ) -> MemoryCoordinator:
        del deadline, password
        with self._lock:
            self.visits[instance.name] += 1
            visit = self.visits[instance.name]
        play = self.plays.get(instance.name)
        said = play(visit) if play else True
        if isinstance(said, Exception):
            raise said
        return _Visited(self, instance, connects=said)

    @contextmanager
    def visited(self, instance: Instance) -> Iterator[None]:
        address = instance.address
        host = address.host if isinstance(address, NetworkAddress) else ""
        keys = instance.name, f"host {host}", "all"
        with self._lock:
            for key in keys:
                self._inside[key] += 1
                self.most_at_once[key] = max(self.most_at_once[key], self._inside[key])
        try:
            self.meanwhile(instance.name)
            yield
        finally:
            with self._lock:
                self._inside.subtract(keys)


class _Visited(MemoryCoordinator):
    def __init__(
        self, targets: Targets, instance: Instance, *, connects: bool | Failure | Exception
    ) -> None:
        super().__init__({"shop": 4096}, connects=connects)
        self.targets = targets
        self.instance = instance

    def connect(self) -> bool:
        with self.targets.visited(self.instance):
            return super().connect()


def an_application(store: AnyStore, targets: Targets) -> CapacityApplication:
    return CapacityApplication(
        begin=store.begin,
        leases=store.leases,
        coordinator_for=targets.coordinator_for,
        now=lambda: datetime.now(UTC),
        engines=ENGINES,
    )


def a_run(
    application: CapacityApplication, count: int, *, hosts: int = 1_000, zone: str = "default"
) -> Run:
    """Register so many instances, `i0` and so on, and start a run over all there are."""
    with application.begin() as work:
        for number in range(count):
            each = an_instance(f"i{number}", port=1_000 + number)
            address = NetworkAddress(f"h{number % hosts}", 1_000 + number)
            work.instances.add(evolve(each, address=address, zone=zone))
        work.commit()
    run, _ = application.fleet.start(Selection())
    return run


def items_of(application: CapacityApplication, run: Run) -> dict[str, RunItem]:
    page = application.fleet.items(run.id, Paging(1, 200))
    return {item.instance_name: item for item in page.rows}


@define(eq=False)
class Outage:
    """A store that fails while `is_down`."""

    begin: Begin
    is_down: threading.Event = field(factory=threading.Event)
    failures: int = 0

    @contextmanager
    def failing(
        self, lease: Lease | None = None, *, unhurried: bool = False
    ) -> Iterator[UnitOfWork]:
        if self.is_down.is_set():
            self.failures += 1
            raise StoreError(text("store.unreachable", where="here"))
        with self.begin(lease, unhurried=unhurried) as work:
            yield work
