"""Pruning beside other writers of a real store."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from attrs import define, evolve
from tests.builders import NOON
from tests.stores import Row, add_instance, copied_sqlite, execute, on_day, rows, sync

from capacity_adapters.store import Store, open_store
from capacity_core.growth import CapacityGrowth
from capacity_core.model import DatabaseSize, Outcome
from capacity_core.reads import OldRows
from capacity_core.retention import CapacityRetention


@define
class Neighbour:
    """Writes whenever pruning pauses, and waits for nobody."""

    store: Store
    written: int = 0

    def __call__(self) -> None:
        with self.store.begin() as work:
            kept = work.instances.hold(1)
            work.instances.save(evolve(kept, description=f"{self.written}"))
            work.commit()
        self.written += 1


@pytest.fixture
def stores(sqlite_template: Path, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Open one SQLite file twice; the second never waits for the first."""
    url = copied_sqlite(sqlite_template, tmp_path)
    first, second = open_store(url), open_store(f"{url}?timeout=0")
    yield first, second
    first.close()
    second.close()


@pytest.mark.unit
def test_another_writer_gets_its_turn_after_every_batch(stores: tuple[Store, Store]) -> None:
    store, other = stores
    instance_id = add_instance(store)
    for number in range(-400, -390):
        sync(store, instance_id, {"a": 1, "b": 2, "c": 3}, on_day(number))
    neighbour = Neighbour(other)
    growth = CapacityGrowth(store.begin, lambda: NOON, "UTC")
    pruner = CapacityRetention(store.begin, evolve(growth, pause=neighbour), batch_rows=4)
    assert pruner.prune("12mo").rows == OldRows(27, 9)
    assert neighbour.written == 7


def test_recomputation_after_pruning_changes_nothing(real_store: Store) -> None:
    """A history with gaps, breaks and a database that vanishes is told as if nothing was pruned."""
    both = _, switched_off = add_instance(real_store), add_instance(real_store, "off", port=1)
    for number in range(-340, 1, 5):
        found: dict[str, int | DatabaseSize | Outcome] = {
            "a": DatabaseSize("a", 5000 + number, "old" if number < -150 else "new"),
            "b": Outcome.DENIED if number % 3 else 9000 - number,
        }
        if number < -200:
            found["c"] = 7
        for instance_id in both:
            sync(real_store, instance_id, found, on_day(number))
    growth = CapacityGrowth(real_store.begin, lambda: NOON, "UTC")
    growth.aggregate(on_day(-340).day)
    truth = everything(real_store)
    for table in ("database_size_aggregations", "instance_size_aggregations"):
        execute(real_store, f"DELETE FROM {table} WHERE period_type <> 'daily'")  # noqa: S608 -- ours
    with real_store.begin() as work:
        work.instances.save(evolve(work.instances.hold(switched_off), is_active=False))
        work.commit()
    pruner = CapacityRetention(real_store.begin, growth, batch_rows=40)
    planned = pruner.plan("1d")
    assert planned.before == date(2025, 10, 1)
    assert pruner.prune("1d") == planned
    for instance_id in both:
        growth.aggregate(on_day(-340).day, instance_id=instance_id)
    assert everything(real_store) == truth
    left = sorted({(row[1], row[2]) for row in rows(real_store, "database_size_stats")})
    assert [row for row in left if row[1] < planned.before] == [
        ("a", on_day(-165).day), ("b", on_day(-165).day), ("c", on_day(-205).day),
    ]  # fmt: skip


def everything(store: Store) -> tuple[list[Row], list[Row]]:
    """Sort the aggregates of both levels."""
    return (
        sorted(rows(store, "database_size_aggregations"), key=str),
        sorted(rows(store, "instance_size_aggregations"), key=str),
    )
