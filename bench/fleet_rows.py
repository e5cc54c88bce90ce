"""Stores with rows of many instances, and whole runs over them."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from tests.servers import HOST, Server

from capacity_adapters.queues.embedded import EmbeddedWorkers
from capacity_core import CapacityApplication, InstanceFields, Secret
from capacity_core.dispatch import Limits
from capacity_core.model import Tls, TlsMode
from capacity_core.runs import Run, Selection

# All rows point at 127.0.0.1, where the default would have eight of them at a time.
NO_HOST_LIMIT = None


class AnyStores(Protocol):
    @property
    def server(self) -> Server: ...

    @property
    def folder(self) -> Path: ...

    def application(
        self, name: str, **settings: str
    ) -> AbstractContextManager[CapacityApplication]: ...

    def environment(self, url: str) -> Mapping[str, str]: ...

    def postgresql(self, name: str) -> str: ...

    def sqlite(self, name: str) -> str: ...


def add_row(
    application: CapacityApplication,
    name: str,
    db_type: str,
    port: int,
    *,
    user: str = "bench",
    password: str = "bench",
) -> int:
    """Register an instance on 127.0.0.1, without TLS as the floor is; returns its id."""
    fields = InstanceFields(
        name=name,
        db_type=db_type,
        host=HOST,
        port=port,
        username=user,
        tls=Tls(TlsMode.INSECURE),
    )
    return application.add_instance(fields, password=Secret(password)).id


def collect(application: CapacityApplication, workers: int) -> Run:
    """Run over all instances until it has ended."""
    run, _ = application.fleet.start(Selection())
    limits = Limits(workers=workers, per_host=NO_HOST_LIMIT)
    return EmbeddedWorkers(application.fleet, application.leases, limits).drive(run.id)


def timed_collect(application: CapacityApplication, workers: int) -> tuple[Run, float]:
    """Likewise; returns its seconds, too."""
    start = time.perf_counter()
    run = collect(application, workers)
    return run, time.perf_counter() - start


@contextmanager
def said(what: str) -> Iterator[None]:
    print(f"-- {what}", flush=True)
    yield
    print(flush=True)


def judged(value: float, most: float) -> str:
    return "kept" if value <= most else "MISSED"
