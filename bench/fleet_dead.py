"""200 instances with one in ten dead, beside the same without those, one by one, and the floor."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

import psycopg
from bench import fleet_floor
from bench.fleet_rows import AnyStores, add_row, judged, said, timed_collect
from bench.targets import fill_mariadb, fill_postgres
from tests.faults.listeners import (
    MYSQL_WORDS,
    dripping,
    listening,
    silent,
)
from tests.servers import Server, free_port, start_mariadb, start_postgres, temporary

from capacity_core import CapacityApplication
from capacity_core.model import Reason
from capacity_core.reads import Paging
from capacity_core.runs import ItemStatus

COUNT: Final = 200
DEAD_EVERY: Final = 10
WORKERS: Final = 16
DEADLINE: Final = 5.0  # CAPACITY_CONNECT_DEADLINE, in seconds
SLOWER: Final = 1.2
ENGINES: Final = ("postgresql", "mysql")
REASONS: Final[Mapping[str, Reason]] = {
    "refused": Reason.REFUSED,
    "silent": Reason.TIMEOUT,
    "dripping": Reason.TIMEOUT,
    "password": Reason.AUTH_FAILED,
}
POSTGRES_WORDS: Final = b"R\x00\x00\x07\xd0\x00\x00\x00\x0a" + bytes(300)  # of a greeting of 2,000
Row = tuple[str, str, int]  # what it is, engine, port


def bench_dead(stores: AnyStores) -> None:
    with ExitStack() as stack:
        stack.enter_context(said(f"{COUNT} instances, {COUNT // DEAD_EVERY} of them dead"))
        ports = stack.enter_context(_targets())
        rows = _rows(ports)
        alive = [row for row in rows if row[0] == "alive"]
        settings = {"CAPACITY_CONNECT_DEADLINE": str(DEADLINE)}
        without = stack.enter_context(stores.application("without", **settings))
        mixed = stack.enter_context(stores.application("mixed", **settings))
        _register(without, alive)
        kinds = _register(mixed, rows)
        run, least = timed_collect(without, WORKERS)
        if run.counts.completed != len(alive):
            raise SystemExit(f"without dead ones: {run.counts}")
        _, took = timed_collect(mixed, WORKERS)
        most = SLOWER * least + DEADLINE
        _, one_by_one = timed_collect(without, 1)
        bare = [(db_type, port, place) for place, (_, db_type, port) in enumerate(alive)]
        start = time.perf_counter()
        fleet_floor.sync_all(bare, stores.server.port, WORKERS)
        floor_took = time.perf_counter() - start
        print(f"{len(alive)} healthy, {WORKERS} workers       {least:6.2f} s")
        print(
            f"with {len(rows) - len(alive)} dead              {took:6.2f} s   at most {SLOWER} x"
            f" {least:.2f} + {DEADLINE:.0f} = {most:.2f} s: {judged(took, most)}"
        )
        print(f"healthy ones, one by one      {one_by_one:6.2f} s")
        print(f"healthy ones, the floor       {floor_took:6.2f} s ({WORKERS} threads)")
        _tell_reasons(mixed, kinds)


@contextmanager
def _targets() -> Iterator[Mapping[tuple[str, str], int]]:
    """Lend the port of every kind of target, by what it is and its engine."""
    with ExitStack() as stack:
        postgres = stack.enter_context(temporary(start_postgres))
        mariadb = stack.enter_context(temporary(start_mariadb))
        fill_postgres(postgres, 10)
        fill_mariadb(mariadb, 10)
        _restrict(postgres)
        quiet = stack.enter_context(listening(silent))
        like_postgres = stack.enter_context(listening(dripping(POSTGRES_WORDS)))
        like_mysql = stack.enter_context(listening(dripping(MYSQL_WORDS)))
        closed = free_port()
        yield {
            **{(what, "postgresql"): postgres.port for what in ("alive", "password")},
            **{(what, "mysql"): mariadb.port for what in ("alive", "password")},
            **{("refused", db_type): closed for db_type in ENGINES},
            **{("silent", db_type): quiet for db_type in ENGINES},
            ("dripping", "postgresql"): like_postgres,
            ("dripping", "mysql"): like_mysql,
        }


def _restrict(postgres: Server) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE ROLE reader LOGIN PASSWORD 'not this'")


def _rows(ports: Mapping[tuple[str, str], int]) -> list[Row]:
    """Spread the dead evenly, in turn of their kinds, over rows in turn of their engines."""
    kinds = list(REASONS)
    rows: list[Row] = []
    for place in range(COUNT):
        dead, is_alive = divmod(place, DEAD_EVERY)
        what = "alive" if is_alive else kinds[dead % len(kinds)]
        db_type = ENGINES[place % 2] if is_alive else ENGINES[dead // len(kinds) % 2]
        rows.append((what, db_type, ports[what, db_type]))
    return rows


def _register(application: CapacityApplication, rows: list[Row]) -> Mapping[int, str]:
    """Return what each instance is."""
    kinds: dict[int, str] = {}
    for place, (what, db_type, port) in enumerate(rows):
        user = "reader" if what == "password" else "bench"
        kinds[add_row(application, f"row-{place}", db_type, port, user=user)] = what
    return kinds


def _tell_reasons(application: CapacityApplication, kinds: Mapping[int, str]) -> None:
    """Print how each kind ended. Raises SystemExit if one has not the reason that it should."""
    fleet = application.fleet
    [run] = fleet.runs(Paging(limit=1)).rows
    items = fleet.items(run.id, Paging(limit=COUNT)).rows
    table = Counter((kinds[i.instance_id], i.status, i.reason, i.attempts) for i in items)
    print(f"{'target':<12}{'status':<12}{'reason':<14}{'attempts':>8}{'items':>8}")
    for (what, status, reason, attempts), count in sorted(table.items(), key=str):
        print(f"{what:<12}{status:<12}{reason or '':<14}{attempts:>8}{count:>8}")
        wanted = (ItemStatus.FAILED, REASONS[what]) if what in REASONS else ("completed", None)
        if (status, reason) != wanted:
            raise SystemExit(f"{what}: {status}, {reason}")
    if len(items) != COUNT:
        raise SystemExit(f"{len(items)} items, not {COUNT}")
