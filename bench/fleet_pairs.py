"""50 instances of 10 databases, 16 at once: ours and the floor in turn, near and 50 ms away."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from bench import fleet_floor
from bench.delay import delayed
from bench.fleet_rows import AnyStores, add_row, collect, judged, said
from bench.targets import fill_postgres
from bench.timing import in_turn, report
from tests.servers import start_postgres, temporary

from capacity_core import CapacityApplication

COUNT: Final = 50
DATABASES: Final = 10
WORKERS: Final = 16
RTT: Final = 0.05
# libpq's `prefer` asks for TLS first, one round trip more; ours is told that there is none.
TLS_MODES: Final = ("prefer", "disable")


def bench_pairs(stores: AnyStores, pairs: int) -> None:
    what = f"{COUNT} instances x {DATABASES} databases, {WORKERS} at once, no limit a host"
    with said(what), temporary(start_postgres) as target:
        fill_postgres(target, DATABASES)
        _bench_place(stores, "near", target.port, pairs, 1.5)
        with delayed(target.port, RTT) as port:
            _bench_place(stores, "far", port, pairs, 1.2)


def _bench_place(stores: AnyStores, place: str, port: int, pairs: int, most: float) -> None:
    with _filled(stores, place, port) as application:
        for mode in TLS_MODES:
            bare = [("postgresql", port, 1_000 + number) for number in range(COUNT)]
            least = partial(fleet_floor.sync_all, bare, stores.server.port, WORKERS, sslmode=mode)
            # Both open their connections to the store anew.
            times = in_turn(partial(_checked, application), least, pairs, application.close)
            ratio = report(f"fleet, {place}", *times, f"floor ({mode})")
            print(f"{'':<34} at most {most}: {judged(ratio, most)}", flush=True)


@contextmanager
def _filled(stores: AnyStores, name: str, port: int) -> Iterator[CapacityApplication]:
    with stores.application(name) as application:
        for number in range(COUNT):
            add_row(application, f"row-{number}", "postgresql", port)
        yield application


def _checked(application: CapacityApplication) -> None:
    run = collect(application, WORKERS)
    if run.counts.completed != COUNT or run.database_count != COUNT * (DATABASES + 1):
        raise SystemExit(f"{run.counts}, {run.database_count} databases")
