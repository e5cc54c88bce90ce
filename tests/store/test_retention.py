"""Pruning beside other writers of a real store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, evolve
from tests.builders import NOON
from tests.stores import add_instance, copied_sqlite, on_day, sync

from capacity_adapters.store import Store, open_store
from capacity_core.growth import CapacityGrowth
from capacity_core.reads import OldRows
from capacity_core.retention import CapacityRetention

pytestmark = pytest.mark.unit


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


def test_another_writer_gets_its_turn_after_every_batch(stores: tuple[Store, Store]) -> None:
    store, other = stores
    instance_id = add_instance(store)
    for number in range(-400, -390):
        sync(store, instance_id, {"a": 1, "b": 2, "c": 3}, on_day(number))
    neighbour = Neighbour(other)
    growth = CapacityGrowth(store.begin, lambda: NOON, "UTC")
    pruner = CapacityRetention(store.begin, growth, batch_rows=4, pause=neighbour)
    assert pruner.prune("12mo").rows == OldRows(27, 9)
    assert neighbour.written == 7
