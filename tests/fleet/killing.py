"""Workers that kill themselves at a named step, and targets that count their visitors.

`python -m tests.fleet.killing STORE FOLDER` collects the runs of a store until none is running.
With CAPACITY_KILL_AT=measured:3 it sends itself SIGKILL when that step is reached for the third
time.
"""

import argparse
import faulthandler
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import IO, Any, Final

from attrs import define, evolve, field, frozen
from tests.builders import an_instance

from capacity_adapters.engines.memory import MemoryCoordinator
from capacity_adapters.queues.embedded import EmbeddedWorkers
from capacity_adapters.queues.procrastinate import ProcrastinateWorkers
from capacity_adapters.settings import read_settings
from capacity_adapters.store import driver_arguments, open_store
from capacity_adapters.wiring import Collectors, build_application
from capacity_core.application import CapacityApplication
from capacity_core.dispatch import Limits
from capacity_core.model import CapacityReport, Instance, Secret
from capacity_core.ports import Begin, Lease, Leases, UnitOfWork
from capacity_core.reads import Paging
from capacity_core.runs import ItemStatus, RunStatus, Selection

KILL_AT: Final = "CAPACITY_KILL_AT"
STEPS: Final = (
    "claimed",
    "leased",
    "connected",
    "measured",
    "before_commit",
    "after_commit",
    "before_finish",
    "after_finish",
)
QUEUE_STEPS: Final = ("taken",)  # noted as offered, and not offered yet
DATABASES: Final = {"a": 10, "b": 32}
LEASE_SECONDS: Final = 3.0


@define(eq=False)
class Killing:
    """Counts how often each step was reached, and kills this process at the one that is named."""

    step: str = ""
    at: int = 1
    _reached: Counter[str] = field(factory=Counter, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Killing":
        step, _, at = environ.get(KILL_AT, "").partition(":")
        if step and step not in STEPS + QUEUE_STEPS:
            raise ValueError(step)
        return cls(step, int(at or 1))

    def reach(self, step: str) -> None:
        with self._lock:
            self._reached[step] += 1
            if step == self.step and self._reached[step] == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()  # it is on its way; nobody goes on


@define(eq=False)
class Visited(MemoryCoordinator):
    """A target that takes one visitor at a time, over all processes, and notes who came.

    The lock on its file goes with the process that held it, however that ended.
    """

    instance_id: int = 0
    folder: Path = Path()
    seconds: float = 0.0
    killing: Killing = field(factory=Killing)
    _door: IO[str] | None = field(init=False, default=None)

    def connect(self) -> bool:
        self._door = (self.folder / f"target-{self.instance_id}").open("a")
        try:
            fcntl.flock(self._door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(self.folder, "doubled", self.instance_id)
        note(self.folder, "visits", self.instance_id)
        self.killing.reach("connected")
        return super().connect()

    def collect_capacity(self, names: AbstractSet[str]) -> CapacityReport:
        time.sleep(self.seconds)
        report = super().collect_capacity(names)
        self.killing.reach("measured")
        return report

    def disconnect(self) -> None:
        super().disconnect()
        if self._door is not None:
            self._door.close()


def note(folder: Path, what: str, instance_id: int) -> None:
    """Write a line at once, whoever else writes."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(folder / what, flags, 0o600)
    os.write(descriptor, f"{instance_id} {os.getpid()}\n".encode())
    os.close(descriptor)


@frozen
class _Noting:
    """Hands everything on, and notes which methods were called."""

    inner: Any
    called: set[str]

    def __getattr__(self, name: str) -> Any:
        self.called.add(name)
        return getattr(self.inner, name)


@frozen
class _Work:
    inner: UnitOfWork
    lease: Lease | None
    killing: Killing
    called: set[str] = field(factory=set)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def runs(self) -> Any:
        return _Noting(self.inner.runs, self.called)

    def commit(self) -> None:
        if self.lease is not None:
            self.killing.reach("before_commit")
        if "finish" in self.called:
            self.killing.reach("before_finish")
        self.inner.commit()
        for method, step in (("claim", "claimed"), ("finish", "after_finish")):
            if method in self.called:
                self.killing.reach(step)
        if "take_unqueued" in self.called:
            self.killing.reach("taken")
        if self.lease is not None:
            self.killing.reach("after_commit")


@frozen
class _Leases:
    inner: Leases
    killing: Killing

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def acquire(self, instance_id: int, seconds: float) -> Lease:
        lease = self.inner.acquire(instance_id, seconds)
        self.killing.reach("leased")
        return lease


def killable(
    application: CapacityApplication, killing: Killing, folder: Path, *, seconds: float = 0.02
) -> CapacityApplication:
    """Let it tell every step, and ask counting targets instead of real ones."""

    def visit(
        instance: Instance, *, deadline: float, password: Secret | None = None
    ) -> MemoryCoordinator:
        assert deadline
        assert password is None
        return Visited(
            DATABASES, instance_id=instance.id, folder=folder, seconds=seconds, killing=killing
        )

    return evolve(
        application,
        begin=_killable_begin(application.begin, killing),
        leases=_Leases(application.leases, killing),
        coordinator_for=visit,
    )


def _killable_begin(begin: Begin, killing: Killing) -> Begin:
    @contextmanager
    def killable_begin(
        lease: Lease | None = None, *, unhurried: bool = False
    ) -> Iterator[UnitOfWork]:
        with begin(lease, unhurried=unhurried) as work:
            yield _Work(work, lease, killing)

    return killable_begin


# What a round of killing is made of.


def prepared(url: str, instances: int, *, zones: tuple[str, ...] = ("default",)) -> int:
    """Register up to 200 instances in the store, start a run over them, and return its id."""
    store = open_store(url)
    with store.begin() as work:
        for number in range(instances):
            each = an_instance(f"target-{number}", port=5432 + number)
            work.instances.add(evolve(each, zone=zones[number % len(zones)]))
        work.commit()
    store.close()
    return started(url)


def started(url: str) -> int:
    application = build_application(settings_for(url))
    try:
        return application.fleet.start(Selection())[0].id
    finally:
        application.close()


def settings_for(url: str) -> Any:
    return read_settings({"HOME": "/", "CAPACITY_STORE_URL": url})


def launch(
    url: str,
    folder: Path,
    *options: str,
    kill_at: str | None = None,
    log: IO[str] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a process of workers."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("CAPACITY_")}
    if kill_at is not None:
        environ[KILL_AT] = kill_at
    command = [sys.executable, "-m", "tests.fleet.killing", url, str(folder), *options]
    return subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stderr=log)


def faults(url: str, folder: Path, run_id: int) -> list[str]:
    """List whatever is wrong after a run that was killed and taken up: nothing, if we are right."""
    application = build_application(settings_for(url))
    try:
        found = list(_faults(application, run_id))
    finally:
        application.close()
    doubled = folder / "doubled"
    if doubled.exists():
        found.append(f"two at once: {doubled.read_text().split()}")
    return found


def _faults(application: CapacityApplication, run_id: int) -> Iterator[str]:
    run = application.fleet.run(run_id)
    if run.status is not RunStatus.COMPLETED:
        yield f"the run is {run.status}: {run.counts}"
    items = application.fleet.items(run_id, Paging(limit=200)).rows
    if len(items) != run.counts.total or len({item.instance_id for item in items}) != len(items):
        yield f"{len(items)} items of {run.counts.total}"
    for item in items:
        sizes = application.sizes_on(item.instance_id, None)
        if {row.database_name: row.size_bytes for row in sizes} != DATABASES or len(sizes) != 2:
            yield f"instance {item.instance_id} has the rows {sizes}"
        if item.status is not ItemStatus.COMPLETED or item.size_bytes != sum(DATABASES.values()):
            yield f"instance {item.instance_id} is {item.status}: {item.reason}"
        lease = application.leases.acquire(item.instance_id, 1.0)  # raises if it is held
        application.leases.release(lease)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queue", default="embedded", choices=["embedded", "procrastinate"])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--lease", type=float, default=LEASE_SECONDS)
    parser.add_argument("--offered", type=float, default=LEASE_SECONDS, help="to a queue")
    parser.add_argument("--seconds", type=float, default=0.02, help="that a target takes")
    asked = parser.parse_args()
    faulthandler.register(signal.SIGUSR1)  # says where it hangs
    killing = Killing.of(os.environ)
    plain = build_application(settings_for(asked.store))
    application = killable(plain, killing, asked.folder, seconds=asked.seconds)
    workers = WORKERS[asked.queue](application, asked)
    workers.start()
    while any(run.status is RunStatus.RUNNING for run in plain.fleet.runs(Paging()).rows):
        time.sleep(0.05)
    workers.stop()
    plain.close()


def embedded(application: CapacityApplication, asked: argparse.Namespace) -> Collectors:
    limits = Limits(asked.workers, None)
    return EmbeddedWorkers(application.fleet, application.leases, limits, asked.lease)


def procrastinated(application: CapacityApplication, asked: argparse.Namespace) -> Collectors:
    server = driver_arguments(asked.store)
    assert server is not None
    fleet, leases, seconds = application.fleet, application.leases, (asked.lease, asked.offered)
    return ProcrastinateWorkers(fleet, leases, server, asked.workers, *seconds)


WORKERS: Final[Mapping[str, Callable[[CapacityApplication, argparse.Namespace], Collectors]]] = {
    "embedded": embedded,
    "procrastinate": procrastinated,
}


if __name__ == "__main__":
    main()
