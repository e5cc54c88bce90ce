"""What SQLite itself can do: the statements of a run, replayed with nothing of ours around them."""

import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field
from bench.fleet_ready import opened
from bench.fleet_rows import AnyStores, collect
from sqlalchemy import Engine, event

from capacity_adapters.store.database import Location

Told = tuple[str, Any]


def bare_syncs_a_second(stores: AnyStores, count: int) -> float:
    """Record a run of so many syncs by one worker, and replay it on the store as it was before."""
    url = stores.sqlite("traced")
    path = Location.of(url).path
    assert path is not None
    copy = path.with_suffix(".copy")
    with tempfile.TemporaryDirectory() as folder:
        application = opened(Path(folder), stores.environment(url), count)
        application.close()
        shutil.copy(path, copy)
        with _recorded() as told:
            run = collect(application, 1)
        if run.counts.completed != count:
            raise SystemExit(f"{run.counts}")
        application.close()
    return count / _replayed(copy, told)


@define
class _Record:
    """What SQLite was asked, each transaction as a whole, in the order of their commits."""

    told: list[Told] = field(factory=list, init=False)
    _begun: dict[int, list[Told]] = field(factory=dict, init=False)

    def asked(self, _on: Any, _cursor: Any, sql: str, values: Any, *_: Any) -> None:
        thread = threading.get_ident()
        if sql.startswith("BEGIN"):
            self._begun[thread] = []
        self._begun.get(thread, self.told).append((sql, values))

    def committed(self, _on: Any) -> None:
        if begun := self._begun.pop(threading.get_ident(), []):
            self.told += [*begun, ("COMMIT", ())]

    def undone(self, _on: Any) -> None:
        self._begun.pop(threading.get_ident(), None)


@contextmanager
def _recorded() -> Iterator[list[Told]]:
    record = _Record()
    listeners: Mapping[str, Callable[..., Any]] = {
        "before_cursor_execute": record.asked,
        "commit": record.committed,
        "rollback": record.undone,
    }
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield record.told
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)


def _replayed(store: Path, told: list[Told]) -> float:
    """Return the seconds that takes."""
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        start = time.perf_counter()
        for sql, values in told:
            connection.execute(sql, values).fetchall()
        return time.perf_counter() - start
