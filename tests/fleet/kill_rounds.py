"""Kill workers at every step, again and again, and look what became of the run.

`python -m tests.fleet.kill_rounds --queue embedded --rounds 100` prints a line a round, and so does
`--queue procrastinate --rounds 30`.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from attrs import frozen
from sqlalchemy import create_engine, text
from tests.fleet.killing import (
    LEASE_SECONDS,
    QUEUE_STEPS,
    STEPS,
    faults,
    launch,
    prepared,
    started,
)
from tests.servers import start_postgres, temporary
from tests.stores import new_database

from capacity_adapters.store.database import Location

INSTANCES: Final = 24
ROUND_SECONDS: Final = 60.0
MOST_REACHED: Final = 6
# The embedded workers do these for many items at once.
BATCHED: Final = frozenset({"claimed", "before_finish", "after_finish"})


@frozen
class Ended:
    """How a round ended: whether the kill came, what was found wrong, and how long it took."""

    kill_at: str
    killed: bool
    faults: list[str]
    seconds: float


def procrastinate_round(url: str, folder: Path, kill_at: str) -> Ended:
    """Two workers of one queue; one kills itself, and the other has to finish."""
    run_id = prepared(url, INSTANCES, zones=("default", "z" * 63))
    began = time.monotonic()
    # The one that dies may begin: who alone is alive decides nothing.
    dying = launch(url, folder, "--queue", "procrastinate", kill_at=kill_at)
    other = launch(url, folder, "--queue", "procrastinate")
    wrong = []
    try:
        if code_of(other):
            wrong.append(f"the other worker ended with {other.returncode}")
        killed = code_of(dying) == -signal.SIGKILL
    finally:
        for process in (dying, other):
            process.kill()
            process.wait()
    seconds = time.monotonic() - began
    if not killed and dying.returncode:
        wrong.append(f"the worker ended with {dying.returncode}")
    return Ended(kill_at, killed, wrong + faults(url, folder, run_id), seconds)


def embedded_round(url: str, folder: Path, kill_at: str, lease: float = LEASE_SECONDS) -> Ended:
    """Kill the only process, and have a second start of the same selection finish the run."""
    workers = partial(launch, url, folder, "--lease", str(lease))
    run_id = prepared(url, INSTANCES)
    began = time.monotonic()
    killed = code_of(workers(kill_at=kill_at)) == -signal.SIGKILL
    wrong = []
    leases, is_running = _held(url)
    if any(seconds > lease for seconds in leases):
        wrong.append(f"leases are held for {max(leases):.1f} s more")
    if is_running:
        if started(url) != run_id:
            wrong.append("the second start began a run of its own")
        if code := code_of(workers()):
            wrong.append(f"the second process ended with {code}")
    seconds = time.monotonic() - began
    return Ended(kill_at, killed, wrong + faults(url, folder, run_id), seconds)


def _held(url: str) -> tuple[list[float], bool]:
    """Tell how many seconds each lease is held on, and whether a run is running."""
    engine = create_engine(Location.of(url).url)
    with engine.connect() as connection:
        expiries = connection.execute(text("SELECT expires_at FROM leases WHERE owner IS NOT NULL"))
        leases = [expires_at - time.time() for (expires_at,) in expiries]
        running = connection.execute(text("SELECT count(*) FROM runs WHERE status = 'running'"))
        is_running = bool(running.scalar())
    engine.dispose()
    return leases, is_running


def code_of(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the end; a process that hangs says where, and is ended."""
    try:
        return process.wait(ROUND_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGUSR1)
        time.sleep(1.0)
        process.terminate()
        return process.wait(ROUND_SECONDS)


NewStore = Callable[[], str]


@contextmanager
def stores() -> Iterator[Mapping[str, Sequence[NewStore]]]:
    """Lend what makes new stores, of every kind that the queue works on."""
    with temporary(start_postgres) as server, tempfile.TemporaryDirectory() as folder:

        def new_file() -> str:
            return f"sqlite:///{folder}/{time.monotonic_ns()}.db"

        postgresql = partial(new_database, server)
        yield {"procrastinate": (postgresql,), "embedded": (new_file, postgresql)}


Round = Callable[[str, Path, str], Ended]
ROUNDS: Final[Mapping[str, tuple[Round, Mapping[str, int]]]] = {
    "embedded": (
        embedded_round,
        {step: 1 if step in BATCHED else MOST_REACHED for step in STEPS},
    ),
    "procrastinate": (
        procrastinate_round,
        {**dict.fromkeys(STEPS, MOST_REACHED), **dict.fromkeys(QUEUE_STEPS, 2)},
    ),
}


def rounds(queue: str, number: int, new_stores: Sequence[NewStore], seed: int) -> Iterator[Ended]:
    """Go through the steps, on the kinds of store in turn, at an occurrence that chance chooses."""
    play, steps = ROUNDS[queue]
    chance = random.Random(seed)  # noqa: S311 -- nothing to guess
    for each in range(number):
        cycle, place = divmod(each, len(steps))
        step, most = list(steps.items())[place]
        new_store = new_stores[(cycle + place) % len(new_stores)]
        with tempfile.TemporaryDirectory() as folder:
            yield play(new_store(), Path(folder), f"{step}:{chance.randint(1, most)}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--queue", choices=sorted(ROUNDS), default="procrastinate")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=5)
    asked = parser.parse_args()
    wrong = killed = 0
    with stores() as new_stores:
        numbers = count(1)
        for ended in rounds(asked.queue, asked.rounds, new_stores[asked.queue], asked.seed):
            said = "; ".join(ended.faults) or "right"
            how = "killed" if ended.killed else "not reached"
            print(f"{next(numbers):3} {ended.kill_at:16} {how:11} {ended.seconds:5.1f} s  {said}")  # noqa: T201 -- a script
            sys.stdout.flush()
            wrong += bool(ended.faults)
            killed += ended.killed
    print(f"{asked.rounds} rounds, {killed} killed, {wrong} wrong; leases of {LEASE_SECONDS} s")  # noqa: T201 -- likewise
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
