"""10,000 instances of an engine that answers at once: syncs a second, memory, nothing lost.

As a command, in a process of its own: `fleet_many.py STORE_URL COUNT`.
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from attrs import define, field
from bench.fleet_limit import bare_syncs_a_second
from bench.fleet_ready import DATABASES, asked, opened
from bench.fleet_rows import AnyStores, judged, said, timed_collect
from sqlalchemy import create_engine, text

from capacity_adapters.store.database import Location

WORKERS: Final = 16
LEAST: Final = 500  # syncs a second
GROWTH: Final = 1.1
SETTLED: Final = 1_000  # syncs, after which memory is to stay as it is
TRACED: Final = 1_000
LOOK_SECONDS: Final = 0.05


def bench_many(stores: AnyStores, count: int) -> None:
    with said(f"{count} instances x {DATABASES} databases of an engine that answers at once"):
        for url in (stores.sqlite("many"), stores.postgresql("many")):
            environment = {**os.environ, **stores.environment(url)}
            command = [sys.executable, "-m", "bench.fleet_many", url, str(count)]
            subprocess.run(command, env=environment, check=True)
        print(
            f"SQLite alone, the same statements: {bare_syncs_a_second(stores, TRACED):.0f} a second"
        )


@define
class Memory:
    """Looks at this process now and then: instances asked, resident MiB."""

    seen: list[tuple[int, float]] = field(factory=list, init=False)
    _end: threading.Event = field(factory=threading.Event, init=False)

    def watch(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            self.seen.append((asked() if "ready_engine" in sys.modules else 0, resident()))

    def stop(self) -> None:
        self._end.set()


def resident() -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def measure(url: str, count: int) -> None:
    """Collect all, and print how that went. Raises SystemExit if anything was lost."""
    memory = Memory()
    with tempfile.TemporaryDirectory() as folder:
        application = opened(Path(folder), os.environ, count)
        before = resident()
        watcher = threading.Thread(target=memory.watch)
        watcher.start()
        began = time.process_time()
        run, seconds = timed_collect(application, WORKERS)
        spent = time.process_time() - began
        memory.stop()
        watcher.join()
        application.close()
    kept = _kept_rows(url)
    if (run.counts.completed, kept) != (count, count * DATABASES):
        raise SystemExit(f"{run.counts}, {kept} rows")
    settled = [mib for done, mib in memory.seen if done >= SETTLED] or [before]
    rate, growth = count / seconds, max(settled) / settled[0]
    print(
        f"{Location.of(url).url.get_backend_name():<12}{seconds:6.1f} s  {rate:5.0f} syncs a second"
        f" (at least {LEAST}: {judged(LEAST, rate)})   {kept} rows, all there\n"
        f"{'':<12}{1000 * spent / count:.2f} ms of processor a sync: of one core, at most"
        f" {count / spent:.0f} a second\n"
        f"{'':<12}resident {before:.1f} MiB before, {settled[0]:.1f} after {SETTLED},"
        f" most {max(settled):.1f}, last {settled[-1]:.1f}: {growth - 1:+.1%}"
        f" (at most {GROWTH - 1:+.0%}: {judged(growth, GROWTH)})",
        flush=True,
    )


def _kept_rows(url: str) -> int:
    engine = create_engine(Location.of(url).url)
    with engine.connect() as connection:
        asking = text("SELECT count(*) FROM database_size_stats WHERE size_bytes = 4096")
        kept: int = connection.execute(asking).scalar_one()
    engine.dispose()
    return kept


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2]))
