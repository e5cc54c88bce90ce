"""Every column that real stores keep of random histories is what fractions say it is, and stays."""

from datetime import date, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.properties import oracle
from tests.servers import Server
from tests.stores import add_instance, copied_sqlite, execute, new_database, on_day, report_of, rows

from capacity_adapters.store import Store, open_store
from capacity_adapters.store.tables import metadata
from capacity_core.filters import FilterRules
from capacity_core.inventory import reconcile
from capacity_core.model import DatabaseSize, Inventory, Moment, Outcome, SeenDatabase
from capacity_core.periods import PeriodType, periods_between

_numbers = count(1)
FIRST: Final = date(2026, 2, 20)
NAMES: Final = ("a", "B", "归档")
LEVELS: Final = ("database_size_aggregations", "instance_size_aggregations")
EVERYTHING: Final = (
    *LEVELS,
    "database_size_stats",
    "instance_size_stats",
    "instance_databases",
    "instances",
)
BYTES = st.one_of(st.integers(0, 40), st.integers(0, 2**40), st.integers(2**58, 2**61))
FATES = st.one_of(
    st.just(Outcome.DENIED),
    st.builds(
        DatabaseSize,
        st.just(""),
        BYTES,
        st.sampled_from(["m", "m", "m", "M"]),
        st.none() | BYTES,
        st.none() | BYTES,
        identity=st.sampled_from([None, "x", "x", "x", "y"]),
    ),
)
Fates = dict[str, DatabaseSize | Outcome]
History = list[tuple[int, Fates]]  # in the order in which they came; a later one corrects its day
HISTORIES = st.lists(
    st.tuples(st.integers(0, 55), st.dictionaries(st.sampled_from(NAMES), FATES, min_size=1)),
    min_size=1,
    max_size=16,
)


def day_of(number: int) -> date:
    return FIRST + timedelta(days=number)


def write(store: Store, instance_id: int, history: History) -> None:
    """Keep the days in the order given; then what a recomputation of them all does."""
    days = sorted({number for number, _ in history})
    at = on_day(0).at
    seen = reconcile({}, Inventory(tuple(SeenDatabase(name) for name in NAMES)), FilterRules())
    with store.begin() as work:
        work.repository.save_inventory(instance_id, seen, Moment(at, FIRST - oracle.DAY))
        for number, fates in history:
            report = report_of({name: _named(fate, name) for name, fate in fates.items()})
            work.repository.save_database_stats(instance_id, report, Moment(at, day_of(number)))
        for number in days:
            moment = Moment(at, day_of(number))
            assert work.repository.update_instance_total_size(instance_id, moment)
        work.commit()
    aggregate(store, instance_id, history)


def aggregate(store: Store, instance_id: int | None, history: History) -> None:
    days = [day_of(number) for number, _ in history]
    with store.begin() as work:
        for kind in PeriodType:
            for period in periods_between(kind, min(days), max(days)):
                work.aggregator.aggregate_databases(period, instance_id)
                work.aggregator.aggregate_instances(period, instance_id)
        work.commit()


def _named(fate: DatabaseSize | Outcome, name: str) -> DatabaseSize | Outcome:
    if isinstance(fate, Outcome):
        return fate
    return DatabaseSize(
        name,
        fate.size_bytes,
        fate.method,
        fate.data_size_bytes,
        fate.log_size_bytes,
        identity=fate.identity,
    )


def expected(history: History) -> dict[tuple[object, ...], oracle.Row]:
    """Work out every aggregate, by name (if of a database), period type and start."""
    known: dict[str, dict[date, oracle.Known]] = {name: {} for name in NAMES}
    for number, fates in history:
        for name, fate in fates.items():
            if isinstance(fate, DatabaseSize):
                known[name][day_of(number)] = oracle.Known(
                    fate.size_bytes,
                    fate.data_size_bytes,
                    fate.log_size_bytes,
                    fate.method,
                    fate.identity,
                )
    asked = sorted({day_of(number) for number, _ in history})
    totals = oracle.totals(known, asked)
    found: dict[tuple[object, ...], oracle.Row] = {}
    for kind in ("daily", "weekly", "monthly", "quarterly"):
        for day in asked:
            start, end = oracle.bounds(kind, day)
            told: dict[tuple[object, ...], oracle.Row | None] = {
                (name, kind, start): oracle.database_row(kind, day, known[name]) for name in NAMES
            }
            told[kind, start] = oracle.instance_row(kind, day, totals, known)
            found |= {key: {"period_end": end, **row} for key, row in told.items() if row}
    return found


def kept(store: Store, instance_id: int) -> dict[tuple[object, ...], dict[str, Any]]:
    found = {}
    for table in LEVELS:
        names = metadata.tables[table].columns.keys()
        for values in rows(store, table):
            row = dict(zip(names, values, strict=True))
            if row.pop("instance_id") == instance_id:
                name = [row.pop("database_name")] if "database_name" in row else []
                found[*name, row.pop("period_type"), row.pop("period_start")] = row
    return found


def agree(told: object, column: str, right: object) -> bool:
    if not isinstance(right, oracle.Change):
        return told == right and type(told) is type(right)
    if column == "trend_direction":
        return told in right.trends()
    if column.endswith(("_percent", "_rate")):
        return right.allows_percent(told)
    return right.allows_bytes(told)


def check(store: Store, history: History, seed: int) -> None:
    forget(store)
    instance_id = add_instance(store, f"in order {seed} {next(_numbers)}")
    write(store, instance_id, history)
    told, right = kept(store, instance_id), expected(history)
    assert told.keys() == right.keys()
    for key, row in right.items():
        assert told[key].keys() == row.keys()
        wrong = {
            column: (told[key][column], value)
            for column, value in row.items()
            if not agree(told[key][column], column, value)
        }
        assert not wrong, key
    aggregate(store, instance_id, history)
    aggregate(store, None, history)
    assert kept(store, instance_id) == told
    other_id = add_instance(store, f"shuffled {seed} {next(_numbers)}")
    write(store, other_id, shuffled(history, seed))
    assert kept(store, other_id) == told


def forget(store: Store) -> None:
    """Let no example pay for the ones before it."""
    for table in EVERYTHING:
        execute(store, f"DELETE FROM {table}")  # noqa: S608 -- our own names


def shuffled(history: History, seed: int) -> History:
    """Let the days come in another order; of one day, the last that comes is right in both."""
    days = list({number for number, _ in history})
    Random(seed).shuffle(days)  # noqa: S311 -- no secret
    return sorted(history, key=lambda each: days.index(each[0]))


def check_many(store: Store, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(HISTORIES, st.integers(0, 99))
    def run(history: History, seed: int) -> None:
        check(store, history, seed)

    try:
        run()
    finally:
        store.close()


def test_aggregates_of_sqlite_are_right(sqlite_template: Path, tmp_path: Path) -> None:
    check_many(open_store(copied_sqlite(sqlite_template, tmp_path)), 25)


@pytest.mark.live
def test_aggregates_of_postgresql_are_right(postgres: Server, postgres_template: str) -> None:
    check_many(open_store(new_database(postgres, postgres_template)), 8)
