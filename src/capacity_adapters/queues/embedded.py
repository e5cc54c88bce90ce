"""Workers inside this process: they collect the runs of the store, alone or beside others."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Final, TypeVar
from uuid import uuid4

from attrs import define, field, frozen

from capacity_adapters.queues.backlog import Backlog
from capacity_adapters.queues.collecting import BROKEN, LAST_WORDS_SECONDS, collected, longer
from capacity_adapters.queues.heartbeat import LEASE_SECONDS, Heartbeat
from capacity_core.dispatch import Full, Limits, Wanted
from capacity_core.errors import StoreError
from capacity_core.fleet import CapacityFleet
from capacity_core.ports import LeaseKeeper, Leases
from capacity_core.runs import Claim, ItemEnd, ItemStatus, Run, RunStatus, Waiting

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0  # for what other processes do
BATCH_SECONDS: Final = 0.05  # ends are written together while no worker waits for that
AHEAD_SECONDS: Final = 0.5  # of work,
AHEAD: Final = 2  # at most so many items for each worker,
MOST_FOR_FEW: Final = 16  # or so many for one
MOST_LOOKS: Final = 5  # of which others may take all that was seen
LOOK_SECONDS: Final = 0.2  # between two looks at a run
LOOK_SHARE: Final = 10  # of the time that a look takes

GIVEN_BACK: Final = ItemEnd(status=ItemStatus.PENDING)

Word = TypeVar("Word")
End = tuple[Claim, ItemEnd]


def _ignore(_run: Run) -> None:
    pass


def _unheard(_is_urgent: bool) -> None:  # noqa: FBT001 -- a word on a queue
    pass


def _said(queue: "SimpleQueue[Word]", seconds: float, rest_until: float) -> Iterator[Word]:
    """Hear what is said: the first word ends the wait of so many seconds, unless we rest."""
    until = monotonic() + seconds
    while True:
        try:
            yield queue.get(timeout=max(0.0, until - monotonic()))
        except Empty:
            return
        until = rest_until


@frozen
class _Begun:
    """A claimed item: its sync runs, or is the next to."""

    claim: Claim
    waiting: Waiting
    future: "Future[None]"


@define(eq=False)
class _Crew:
    """One dispatcher and its workers: it alone claims items and writes how they ended.

    `news` is told when ends were written: True, if a run ended with them or this is being stopped.
    """

    fleet: CapacityFleet
    limits: Limits
    backlog: Backlog
    news: Callable[[bool], None]
    _stopping: bool = field(default=False, init=False)
    _words: "SimpleQueue[End | None]" = field(factory=SimpleQueue, init=False)
    _begun: dict[int, _Begun] = field(factory=dict, init=False)
    _ends: list[End] = field(factory=list, init=False)
    _ahead: int = field(init=False)
    _rest_until: float = field(default=0.0, init=False)
    _back_off: float = field(default=0.0, init=False)
    _looked_at: float = field(default=0.0, init=False)
    _last_move: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._ahead = self.limits.workers  # nobody knows yet how long they take

    def owners(self) -> Iterable[str]:
        """Whose claims are to be renewed."""
        return {each.claim.owner for each in list(self._begun.values())} | {
            claim.owner for claim, _ in list(self._ends)
        }

    def stop(self) -> None:
        """Claim nothing more; safe in a signal's handler."""
        self._stopping = True
        self.wake()
        self.news(True)  # noqa: FBT003 -- a word on a queue

    def wake(self) -> None:
        self._words.put(None)

    def work(self, keeper: LeaseKeeper) -> None:
        """Work until it is stopped, and the last sync has ended."""
        with ThreadPoolExecutor(self.limits.workers, "sync") as pool:
            if not self._stopping:
                self._turn(pool, keeper)
            while not self._is_done():
                self._hear()
                self._turn(pool, keeper)

    def _is_done(self) -> bool:
        if not self._stopping or self._begun:
            return False
        if self._ends and monotonic() < self._last_move + LAST_WORDS_SECONDS:
            return False
        if self._ends:
            log.error("the ends of %s items could not be written", len(self._ends))
        return True

    @property
    def _has_stock(self) -> bool:
        return len(self._begun) > self.limits.workers

    @property
    def _may_rest(self) -> bool:
        """Say whether a worker that ends has work, or there is none."""
        return self._has_stock or (self.backlog.is_empty and bool(self._begun))

    def _hear(self) -> None:
        patience = AHEAD_SECONDS if self._has_stock else POLL_SECONDS
        for word in _said(self._words, self._back_off or patience, self._rest_until):
            if word is None:
                self.backlog.forget()
                return
            self._ends.append(word)
            self._begun.pop(word[0].item_id, None)
            self._last_move = monotonic()
            has_rest = self._rest_until and not self._back_off
            if has_rest and not self._may_rest:
                return  # what was claimed ahead is used up, or all has ended

    def _turn(self, pool: ThreadPoolExecutor, keeper: LeaseKeeper) -> None:
        try:
            if self._stopping or self._keeps_others_waiting():
                self._give_back()
            self._write_ends()
            if not self._stopping:
                self._begin_more(pool, keeper)
        except Exception as error:  # nobody is above this thread, and nothing may be lost
            self._back_off = longer(self._back_off)
            self._rest_until = monotonic() + self._back_off
            self._ahead = 0
            shown = None if isinstance(error, StoreError) else error
            said = "the run waits %.1f seconds: %s"
            log.warning(said, self._back_off, error, exc_info=shown)
            self.backlog.forget()
        else:
            self._back_off = 0.0
            self._rest_until = monotonic() + BATCH_SECONDS if self._may_rest else 0.0

    def _keeps_others_waiting(self) -> bool:
        """Say whether what was claimed ahead waits for syncs that are slow after all."""
        return self._has_stock and monotonic() > self._last_move + AHEAD_SECONDS

    def _give_back(self) -> None:
        unbegun = [each for each in self._begun.values() if each.future.cancel()]
        for each in unbegun:
            self._ends.append((each.claim, GIVEN_BACK))
            del self._begun[each.claim.item_id]
            self._last_move = monotonic()

    def _write_ends(self) -> None:
        if not self._ends:
            return
        closed = self.fleet.finish(self._ends)
        took = [end.duration_ms for _, end in self._ends if end.duration_ms is not None]
        self._ahead = self._worth_ahead(max(took)) if took else 0
        self._ends = []
        self.news(bool(closed))

    def _worth_ahead(self, longest_ms: int) -> int:
        """Say how many items to claim before a worker is free: short syncs would wait for it."""
        workers = self.limits.workers
        most = max(AHEAD * workers, MOST_FOR_FEW)
        return min(most, int(workers * AHEAD_SECONDS * 1000 / max(longest_ms, 1)))

    def _begin_more(self, pool: ThreadPoolExecutor, keeper: LeaseKeeper) -> None:
        if monotonic() - self._looked_at > POLL_SECONDS:
            self.backlog.forget()
            self._looked_at = monotonic()
        for _ in range(MOST_LOOKS):
            if not self._has_lost(pool, keeper):
                return
            self.backlog.forget()

    def _has_lost(self, pool: ThreadPoolExecutor, keeper: LeaseKeeper) -> bool:
        """Claim and begin what fits; True if other workers were quicker with some of it."""
        slots = self.limits.workers + self._ahead - len(self._begun)
        if slots <= 0:
            return False
        running = [each.waiting for each in self._begun.values()]
        taken = {each.item_id: each for each in self.backlog.take(running, slots)}
        if not taken:
            return False
        claims = self.fleet.claim(taken, uuid4().hex, keeper.seconds)
        self._last_move = monotonic()
        for claim in claims:
            future = pool.submit(self._collect, claim, keeper)
            self._begun[claim.item_id] = _Begun(claim, taken[claim.item_id], future)
        return len(claims) < len(taken)

    def _collect(self, claim: Claim, keeper: LeaseKeeper) -> None:
        end = BROKEN
        try:
            end = collected(self.fleet, claim, keeper)
        finally:  # or the item would seem to run for ever
            self._words.put((claim, end))


@define(eq=False)
class EmbeddedWorkers:
    """A bounded pool of threads, for instances of some zones only, if they are named.

    `stop` is for good: whoever goes on takes new workers.
    """

    _fleet: CapacityFleet
    _leases: Leases
    _limits: Limits
    _lease_seconds: float = LEASE_SECONDS
    _zones: tuple[str, ...] = ()
    _crews: list[_Crew] = field(factory=list, init=False)
    _background: ExitStack = field(factory=ExitStack, init=False)
    _stopped: bool = field(default=False, init=False)

    def drive(self, run_id: int, on_progress: Callable[[Run], None] = _ignore) -> Run:
        """Collect until the run has ended, and return it; others may help.

        After `stop` or a KeyboardInterrupt the syncs that run are let finish, what is pending
        stays pending, and the run is returned as it is. Raises NotFoundError, StoreError.
        """
        run = self._fleet.run(run_id)
        news: SimpleQueue[bool] = SimpleQueue()
        try:
            with self._working(run_id=run_id, news=news.put):
                self._watch(run, news, on_progress)
        except KeyboardInterrupt:
            log.warning("interrupted; the syncs that ran were let finish")
        return self._fleet.run(run_id)

    def start(self) -> None:
        """Collect every run of the store, in the background."""
        self._background.enter_context(self._working())

    def wake(self) -> None:
        """There is new work: look now, not in a second."""
        for crew in list(self._crews):
            crew.wake()

    def stop(self) -> None:
        """Begin nothing more; in the background, wait until what runs has ended, too."""
        self._stopped = True
        for crew in list(self._crews):
            crew.stop()
        self._background.close()

    @contextmanager
    def _working(
        self,
        *,
        run_id: int | None = None,
        news: Callable[[bool], None] = _unheard,
    ) -> Iterator[None]:
        def look(limit: int, without: Full) -> Sequence[Waiting]:
            return self._fleet.waiting(limit, Wanted(run_id, self._zones, without))

        crew = _Crew(self._fleet, self._limits, Backlog(look, self._limits), news)
        with Heartbeat(self._fleet, self._leases, crew.owners, self._lease_seconds) as heartbeat:
            thread = Thread(target=crew.work, args=[heartbeat], name="dispatcher")
            self._crews.append(crew)
            if self._stopped:
                crew.stop()
            thread.start()
            try:
                yield
            finally:
                crew.stop()
                thread.join()
                self._crews.remove(crew)

    def _watch(
        self, run: Run, news: "SimpleQueue[bool]", on_progress: Callable[[Run], None]
    ) -> None:
        """Look at the run until it ends: when there is news, and now and then."""
        rest_until = 0.0
        on_progress(run)
        while run.status is RunStatus.RUNNING and not self._stopped:
            for is_urgent in _said(news, POLL_SECONDS, rest_until):
                if is_urgent:
                    break
            began = monotonic()
            try:
                run = self._fleet.run(run.id)
                on_progress(run)
            except StoreError as error:
                log.warning("the run cannot be looked at: %s", error)
            ended = monotonic()
            rest_until = ended + max(LOOK_SECONDS, LOOK_SHARE * (ended - began))
