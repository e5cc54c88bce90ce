"""What waits, offered to workers through Procrastinate: a job says that an item waits, no more.

The store's runs, claims and leases are the truth. A job that is lost is made again, one that comes
twice finds its item taken; none of Procrastinate's locks is used.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from time import monotonic
from typing import Any, Final, LiteralString

import psycopg
from attrs import define, field
from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import ProcrastinateException
from procrastinate.schema import SchemaManager
from procrastinate.types import JSONDict

from capacity_adapters.queues.collecting import longer
from capacity_adapters.queues.heartbeat import BEATS_A_LEASE, LEASE_SECONDS
from capacity_core.errors import StoreError
from capacity_core.fleet import CapacityFleet
from capacity_core.messages import text
from capacity_core.runs import Waiting

log = logging.getLogger(__name__)

SCHEMA: Final = "capacity_queue"
SCHEMA_LOCK: Final = 4_702_111_234_568  # any number that nobody else locks
TASK: Final = "capacity.collect"
CHANNEL_BYTES: Final = 63 - len("procrastinate_queue_v1#")  # PostgreSQL refuses longer ones
BATCH: Final = 500
ENQUEUE_SECONDS: Final = 1.0
OFFERED_SECONDS: Final = 120.0  # then an item that nobody took is offered again

# How psycopg connects to the store.
Server = Mapping[str, Any]
_WAIT_ALREADY: Final[LiteralString] = """
SELECT args ->> 'item_id' AS item_id FROM procrastinate_jobs
WHERE status = 'todo' AND args ->> 'item_id' = ANY(%(items)s)
"""
# A worker's row may be gone before its jobs are looked for: prune and query know each other not.
_FREE_STALLED: Final[LiteralString] = """
SELECT procrastinate_retry_job_v2(jobs.id, now(), NULL, NULL, NULL)
FROM procrastinate_jobs AS jobs LEFT JOIN procrastinate_workers AS workers
    ON workers.id = jobs.worker_id
WHERE jobs.status = 'doing'
    AND (workers.id IS NULL OR workers.last_heartbeat < now() - %(seconds)s * interval '1 second')
"""
_DELETE_OLD: Final[LiteralString] = """
DELETE FROM procrastinate_jobs AS jobs WHERE status NOT IN ('todo', 'doing')
    AND NOT EXISTS (SELECT FROM procrastinate_events AS events
        WHERE events.job_id = jobs.id AND events.at > now() - interval '1 day')
"""
_PRUNE: Final[LiteralString] = """
DELETE FROM procrastinate_workers
WHERE last_heartbeat < now() - 10 * %(seconds)s * interval '1 second'
"""


def queue_of(zone: str) -> str:
    """Name the queue of a network zone; a long name ends in a hash, to fit a channel of NOTIFY."""
    if len(zone.encode()) <= CHANNEL_BYTES:
        return zone
    digest = sha256(zone.encode()).hexdigest()[:16]
    return f"{zone.encode()[: CHANNEL_BYTES - 17].decode(errors='ignore')}#{digest}"


@contextmanager
def _seam() -> Iterator[None]:
    try:
        yield
    except (ProcrastinateException, psycopg.Error) as error:
        raise StoreError(text("store.unreachable", where=SCHEMA)) from error


def create_queue(server: Server) -> None:
    """Make Procrastinate's tables in a schema of their own, unless they are there.

    Any number of processes may do so at once. Raises StoreError.
    """
    with _seam(), psycopg.connect(**server) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEMA_LOCK])
        there = connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.procrastinate_jobs"])
        if there.fetchone() == (None,):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            connection.execute(f"SET LOCAL search_path TO {SCHEMA}")
            connection.execute(SchemaManager.get_schema())


@define(eq=False)
class Enqueuer:
    """Offers what waits, and takes back what dead workers held, in a thread outside of the queue.

    Any number of processes may do so at once.
    """

    _fleet: CapacityFleet
    _server: Server = field(repr=False)
    _lease_seconds: float = LEASE_SECONDS
    _offered_seconds: float = OFFERED_SECONDS
    _connector: SyncPsycopgConnector = field(init=False)
    _app: App = field(init=False)
    _words: threading.Condition = field(factory=threading.Condition, init=False)
    _is_woken: bool = field(default=False, init=False)
    _is_stopping: bool = field(default=False, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        def configure(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
            connection.execute(f"SET search_path TO {SCHEMA}")
            connection.commit()

        self._connector = SyncPsycopgConnector(
            kwargs=dict(self._server), min_size=1, max_size=2, configure=configure
        )
        self._app = App(connector=self._connector)

    def start(self) -> None:
        """Begin, in the background. Raises StoreError."""
        create_queue(self._server)
        with _seam():
            self._app.open()
        self._thread = threading.Thread(target=self._run, name="enqueuer")
        self._thread.start()

    def wake(self) -> None:
        """There is new work: look now, not in a second."""
        with self._words:
            self._is_woken = True
            self._words.notify_all()

    def stop(self) -> None:
        self._is_stopping = True
        self.wake()
        if self._thread is not None:
            self._thread.join()
            self._app.close()

    def _run(self) -> None:
        cleaned_at, back_off = float("-inf"), 0.0
        while not self._is_stopping:
            try:
                self.offer()
                if monotonic() - cleaned_at >= self._lease_seconds / BEATS_A_LEASE:
                    self.clean()
                    cleaned_at = monotonic()
            except Exception as error:  # nobody is above this thread
                back_off = longer(back_off)
                shown = None if isinstance(error, StoreError) else error
                log.warning("offering waits %.1f seconds: %s", back_off, error, exc_info=shown)
            else:
                back_off = 0.0
            with self._words:
                self._words.wait_for(lambda: self._is_woken, back_off or ENQUEUE_SECONDS)
                self._is_woken = False

    def offer(self) -> int:
        """Make a job of each item that waits and has none; returns how many. Raises StoreError."""
        made, is_all = 0, False
        while not (is_all or self._is_stopping):
            taken = self._fleet.take_unqueued(BATCH, self._offered_seconds)
            with _seam():
                made += self._offer(taken)
            is_all = len(taken) < BATCH
        return made

    def _offer(self, taken: Sequence[Waiting]) -> int:
        if not taken:
            return 0
        items = [str(each.item_id) for each in taken]
        rows = self._connector.execute_query_all(_WAIT_ALREADY, items=items)
        there = {row["item_id"] for row in rows}
        by_place: defaultdict[tuple[str, int], list[JSONDict]] = defaultdict(list)
        for each in taken:
            if str(each.item_id) not in there:
                place = queue_of(each.zone), -int(each.is_suspect)  # the dead come last
                by_place[place].append({"item_id": each.item_id})
        for (queue, priority), jobs in by_place.items():
            task = self._app.configure_task(TASK, queue=queue, priority=priority)
            task.batch_defer(*jobs)
        return sum(map(len, by_place.values()))

    def clean(self) -> None:
        """Take back what dead workers held, in our tables and in the queue's. Raises StoreError."""
        self._fleet.tidy()
        with _seam():
            for query in (_FREE_STALLED, _DELETE_OLD, _PRUNE):
                self._connector.execute_query(query, seconds=self._lease_seconds)
