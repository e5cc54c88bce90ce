"""Reads of a long history, and a fleet's month: 100 instances x 1,000 databases x 90 days.

Usage: history.py [--instances 100] [--databases 1000] [--days 90] [--runs 40]

The private PostgreSQL has Debian's settings. Beside each read stands the store's own time, planning
and execution, as EXPLAIN ANALYZE tells it of the same statements.
"""

import argparse
import gc
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import Any, Final

import psycopg
from attrs import evolve, frozen
from bench.history_fill import fill
from sqlalchemy import Engine, event
from tests.servers import Server, start_postgres, temporary

from capacity_adapters.store import Store, open_store
from capacity_core.growth_reads import AggregateQuestion, Order
from capacity_core.periods import Period, PeriodType, last_complete, periods_between
from capacity_core.reads import DateRange, Paging

TODAY: Final = date(2026, 3, 18)  # amid a week, a month and a quarter
MOST_MS: Final = 50.0  # of a page without a count, at the 95th percentile
MOST_MIB: Final = 150.0
BYTES_A_ROW: Final = 600  # of a day: its size, its aggregate, their indexes
ROWS_TO_JUDGE: Final = 5_000_000  # in a small store an index is no gain
TABLES: Final = ("database_size_stats", "database_size_aggregations")

Statement = tuple[str, Any]
Read = Callable[[], object]


@frozen
class Times:
    p50: float
    p95: float
    store_p50: float
    read_whole: tuple[str, ...]


def milliseconds(read: Read) -> float:
    start = time.perf_counter()
    read()
    return (time.perf_counter() - start) * 1000


@contextmanager
def heard() -> Iterator[list[Statement]]:
    """Collect the statements that are sent to the store meanwhile."""
    statements: list[Statement] = []

    def hear(_c: object, _cursor: object, sql: str, values: Any, *_rest: object) -> None:
        statements.append((sql, values))

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def explained(connection: psycopg.Connection[Any], statements: Sequence[Statement]) -> Any:
    """Run them under EXPLAIN ANALYZE; returns the milliseconds of all, and their plans."""
    plans = []
    for sql, values in statements:
        row = connection.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", values)
        [[[plan]]] = row.fetchall()
        plans.append(plan)
    return sum(plan["Planning Time"] + plan["Execution Time"] for plan in plans), plans


def scans(plan: Any) -> list[str]:
    """List every node that reads a table, and how."""
    if isinstance(plan, list):
        return [each for part in plan for each in scans(part)]
    if not isinstance(plan, dict):
        return []
    here = f"{plan.get('Node Type')} on {plan.get('Relation Name')}"
    return [here, *(each for part in plan.values() for each in scans(part))]


def bench_read(name: str, read: Read, connection: psycopg.Connection[Any], runs: int) -> Times:
    """Time a read after an uncounted one."""
    with heard() as statements:
        read()
    gc.freeze()
    times = sorted(milliseconds(read) for _ in range(runs))
    told = [explained(connection, statements) for _ in range(min(runs, 5))]
    found = Times(
        statistics.median(times),
        times[min(len(times) - 1, round(len(times) * 0.95))],
        statistics.median(each for each, _ in told),
        tuple(table for table in TABLES if f"Seq Scan on {table}" in scans(told[0][1])),
    )
    print(
        f"{name:<44} p50 {found.p50:8.1f} ms   p95 {found.p95:8.1f} ms"
        f"   store {found.store_p50:8.1f} ms in {len(statements)} statements",
        flush=True,
    )
    return found


def questions(databases: int) -> Mapping[str, AggregateQuestion]:
    """Pages as lists show them, without a count."""
    days = AggregateQuestion(period_type=PeriodType.DAILY, today=TODAY, count=False)
    month = evolve(days, period_type=PeriodType.MONTHLY)
    name = f"database_{databases // 2:04}"
    return {
        "days, first page": days,
        "days, tenth page of 200": evolve(days, paging=Paging(10, 200)),
        "days, one instance": evolve(days, instance_ids=(2,)),
        "days, one instance, page 60": evolve(days, instance_ids=(2,), paging=Paging(60)),
        "days, one engine": evolve(days, db_types=("oracle",)),
        "days, one name": evolve(days, database_name=name),
        "one series, all days": evolve(
            days, instance_ids=(2,), database_name=name, paging=Paging(1, 200)
        ),
        "days of one month": evolve(days, days=DateRange(date(2026, 1, 1), date(2026, 1, 31))),
        "weeks": evolve(days, period_type=PeriodType.WEEKLY),
        "weeks, complete": evolve(
            days, period_type=PeriodType.WEEKLY, days=DateRange(None, date(2026, 3, 15))
        ),
        "months": month,
        "months, one instance": evolve(month, instance_ids=(2,)),
        "months, one name": evolve(month, database_name=name),
        "quarters": evolve(days, period_type=PeriodType.QUARTERLY),
    }


def bench_lists(store: Store, connection: psycopg.Connection[Any], chosen: Any) -> list[str]:
    """Time every page; returns what is wrong with them."""
    slow = []
    for name, question in questions(chosen.databases).items():
        found = bench_read(name, read_of(store, question), connection, chosen.runs)
        if found.p95 > MOST_MS:
            slow.append(f"{name}: {found.p95:.1f} ms")
        slow += [f"{name}: {table} is read without an index" for table in found.read_whole]
    return slow


def bench_prices(store: Store, connection: psycopg.Connection[Any], chosen: Any) -> None:
    """Time what must look at all rows that it is about: a count, an order by size, a sum."""
    print("what looks at every row:")
    found = questions(chosen.databases)
    days = found["days, first page"]
    today = evolve(days, days=DateRange(TODAY, TODAY))
    for name, read in {
        "days, with the count": read_of(store, evolve(days, count=True)),
        "one instance, with the count": read_of(
            store, evolve(found["days, one instance"], count=True)
        ),
        "months, with the count": read_of(store, evolve(found["months"], count=True)),
        "largest of the day": read_of(store, evolve(today, order=Order.SIZE)),
        "largest of the running month": read_of(
            store, evolve(found["months"], days=DateRange(TODAY, TODAY), order=Order.SIZE)
        ),
        "the same of one instance": read_of(
            store,
            evolve(found["months, one instance"], days=DateRange(TODAY, TODAY), order=Order.SIZE),
        ),
        "summary of the fleet's days": summary_of(store, days),
        "summary of one instance's days": summary_of(store, found["days, one instance"]),
    }.items():
        bench_read(name, read, connection, 2)


def read_of(store: Store, question: AggregateQuestion) -> Read:
    def read() -> object:
        with store.begin() as work:
            return work.growth.database_growth(question)

    return read


def summary_of(store: Store, question: AggregateQuestion) -> Read:
    def read() -> object:
        with store.begin() as work:
            return work.growth.database_summary(question)

    return read


def bench_fleet(store: Store, days: int) -> None:
    """Keep what has ended: the fleet's last month is timed, then the rest is kept likewise."""
    month = last_complete(PeriodType.MONTHLY, TODAY)
    for what in ("kept", "recomputed"):
        with heard() as statements:
            took = milliseconds(lambda: aggregate(store, month))
        inserts = sum("INSERT" in sql for sql, _ in statements)
        print(
            f"{f'the month of the fleet, {what}':<44} {took / 1000:8.1f} s in {inserts} statement"
            f"   our peak {peak():.0f} MiB",
            flush=True,
        )
    first = date.fromordinal(TODAY.toordinal() - days + 1)
    for kind in (PeriodType.WEEKLY, PeriodType.MONTHLY, PeriodType.QUARTERLY):
        for period in periods_between(kind, first, TODAY):
            if period != month and not period.is_running(TODAY):
                aggregate(store, period)


def aggregate(store: Store, period: Period) -> None:
    with store.begin() as work:
        work.aggregator.aggregate_databases(period)
        work.commit()


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def need_space(rows: int) -> None:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < 2 * rows * BYTES_A_ROW:
        raise SystemExit(f"{tempfile.gettempdir()} has too little space for {rows:,} days")


def bench_history(server: Server, chosen: Any) -> None:
    """Raises SystemExit if a page takes too long, or this process too much memory."""
    url = server.url("capacity")
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE capacity")
    with ExitStack() as stack:
        store = open_store(url)
        stack.callback(store.close)
        took = milliseconds(
            lambda: fill(url, chosen.instances, chosen.databases, chosen.days, TODAY)
        )
        rows = chosen.instances * chosen.databases * chosen.days
        print(f"filled with {rows:,} days in {took / 1000:.0f} s", flush=True)
        bench_fleet(store, chosen.days)
        connection = stack.enter_context(
            psycopg.connect(url, autocommit=True, options="-c jit=off")
        )
        connection.execute("VACUUM ANALYZE")
        slow = bench_lists(store, connection, chosen)
        bench_prices(store, connection, chosen)
        print(f"peak of this process {peak():.1f} MiB")
    if peak() > MOST_MIB:
        slow.append("this process is too large")
    if rows < ROWS_TO_JUDGE:
        print(
            "a small store, on which nothing is judged: python -m bench.history fills a large one"
        )
    elif slow:
        raise SystemExit("; ".join(slow))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=100)
    parser.add_argument("--databases", type=int, default=1000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--runs", type=int, default=40)
    chosen = parser.parse_args()
    need_space(chosen.instances * chosen.databases * chosen.days)
    with temporary(start_postgres) as server:
        bench_history(server, chosen)


if __name__ == "__main__":
    main()
