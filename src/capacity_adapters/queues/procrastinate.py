"""Workers that take the items of runs from Procrastinate's queues, on any number of machines."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Final
from uuid import uuid4

import psycopg
from attrs import define, field
from procrastinate import App, PsycopgConnector
from procrastinate.app import WorkerOptions

from capacity_adapters.queues.collecting import LAST_WORDS_SECONDS, collected, longer
from capacity_adapters.queues.heartbeat import BEATS_A_LEASE, LEASE_SECONDS, Heartbeat
from capacity_adapters.queues.offers import (
    ENQUEUE_SECONDS,
    OFFERED_SECONDS,
    SCHEMA,
    TASK,
    Enqueuer,
    Server,
    queue_of,
)
from capacity_core.errors import StoreError
from capacity_core.fleet import CapacityFleet
from capacity_core.ports import LeaseKeeper, Leases
from capacity_core.runs import Claim, ItemEnd

log = logging.getLogger(__name__)

LASTED_SECONDS: Final = 10.0  # a worker that did so begins anew without a pause


@define(eq=False)
class ProcrastinateWorkers:
    """Collects what the queues offer, in `concurrency` threads of its own.

    Of some zones only, if they are named. `stop` is for good, and lets what runs finish.
    """

    _fleet: CapacityFleet
    _leases: Leases
    _server: Server = field(repr=False)
    _concurrency: int = 16
    _lease_seconds: float = LEASE_SECONDS
    _offered_seconds: float = OFFERED_SECONDS
    _zones: tuple[str, ...] = ()
    _enqueuer: Enqueuer = field(init=False)
    _owners: set[str] = field(factory=set, init=False)
    _stopping: threading.Event = field(factory=threading.Event, init=False)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _stop: asyncio.Event = field(factory=asyncio.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._enqueuer = Enqueuer(
            self._fleet, self._server, self._lease_seconds, self._offered_seconds
        )

    def start(self) -> None:
        """Collect in the background. Raises StoreError."""
        self._enqueuer.start()
        queues = sorted(map(queue_of, self._zones)) or None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=[queues], name="procrastinate")
        self._thread.start()

    def wake(self) -> None:
        """There is new work: look now, not in a second."""
        self._enqueuer.wake()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._loop.close()
        self._enqueuer.stop()

    def _run(self, queues: Sequence[str] | None) -> None:
        owners = lambda: list(self._owners)  # noqa: E731 -- a copy, for another thread
        with (
            Heartbeat(self._fleet, self._leases, owners, self._lease_seconds) as keeper,
            ThreadPoolExecutor(self._concurrency, "sync") as pool,
        ):
            back_off = 0.0
            while not self._stopping.wait(back_off):
                began = monotonic()
                try:
                    self._loop.run_until_complete(self._until_stopped(queues, pool, keeper))
                except Exception:  # nobody is above this thread, and the store may come back
                    log.warning("the queue's worker failed; another begins", exc_info=True)
                back_off = longer(back_off if monotonic() - began < LASTED_SECONDS else 0.0)

    async def _until_stopped(
        self, queues: Sequence[str] | None, pool: ThreadPoolExecutor, keeper: LeaseKeeper
    ) -> None:
        async def configure(connection: "psycopg.AsyncConnection[tuple[object, ...]]") -> None:
            await connection.execute(f"SET search_path TO {SCHEMA}")
            await connection.commit()

        connector = PsycopgConnector(
            kwargs=dict(self._server), min_size=1, max_size=4, configure=configure
        )
        of_zones: WorkerOptions = {"queues": queues} if queues else {}
        app = App(connector=connector, worker_defaults=of_zones)

        @app.task(name=TASK)
        async def collect(item_id: int) -> None:
            # Procrastinate's own threads are asyncio's few, shared with all else.
            await asyncio.get_running_loop().run_in_executor(pool, self.collect, item_id, keeper)

        async with app.open_async():  # a cancellation amid it would leave the pool's tasks behind
            working = asyncio.create_task(
                app.run_worker_async(
                    concurrency=self._concurrency,
                    fetch_job_polling_interval=ENQUEUE_SECONDS,
                    delete_jobs="always",
                    install_signal_handlers=False,
                    update_heartbeat_interval=self._lease_seconds / BEATS_A_LEASE,
                    stalled_worker_timeout=10 * self._lease_seconds,
                )
            )
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            working.cancel()  # what runs is let finish
            with suppress(asyncio.CancelledError):
                await working

    def collect(self, item_id: int, keeper: LeaseKeeper) -> None:
        """Collect the item if it still waits: else somebody else has, or a run was cancelled."""
        owner = uuid4().hex
        self._owners.add(owner)
        try:
            for claim in self._fleet.claim([item_id], owner, keeper.seconds):
                self._finish(claim, collected(self._fleet, claim, keeper))
        except StoreError as error:
            log.warning("item %s: %s", item_id, error)
        finally:
            self._owners.discard(owner)

    def _finish(self, claim: Claim, end: ItemEnd) -> None:
        """Write how it ended, however often the store fails. Raises StoreError while we stop."""
        back_off, until = longer(0.0), None
        while True:
            try:
                self._fleet.finish([(claim, end)])
            except StoreError as error:
                if self._stopping.is_set():
                    until = until or monotonic() + LAST_WORDS_SECONDS
                    if monotonic() > until:
                        raise
                log.warning("the end of item %s waits: %s", claim.item_id, error)
                threading.Event().wait(back_off)
                back_off = longer(back_off)
            else:
                return
