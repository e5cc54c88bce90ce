"""Server-sent events of a run: until it ends, the client leaves, or the server stops."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from weakref import WeakSet

import msgspec
from attrs import define, field, frozen

from capacity_core.errors import StoreError
from capacity_core.run_views import run_view
from capacity_core.runs import Run, RunStatus

log = logging.getLogger(__name__)

POLLERS: Final = 2
HEARTBEAT: Final = b": still running\n\n"


@frozen
class StreamLimits:
    """At most so many streams at once; each looks at its run every `poll_seconds`.

    Nobody waits for a word longer than `heartbeat_seconds`.
    """

    most: int = 64
    heartbeat_seconds: float = 10.0
    poll_seconds: float = 1.0


USUAL_LIMITS: Final = StreamLimits()


class _Place:
    """One stream's place; lost with a stream that was never begun."""


@define
class Streams:
    """Streams that are open; their looks at the store wait for two threads of their own."""

    look: Callable[[int], Run]
    limits: StreamLimits
    _taken: WeakSet[_Place] = field(factory=WeakSet)
    _closing: asyncio.Event = field(factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop)
    _pool: ThreadPoolExecutor = field(
        factory=lambda: ThreadPoolExecutor(POLLERS, thread_name_prefix="capacity-events")
    )

    @property
    def count(self) -> int:
        return len(self._taken)

    @property
    def is_full(self) -> bool:
        return self.count >= self.limits.most

    def open(self, run_id: int) -> AsyncGenerator[bytes, None]:
        """Tell of a run that exists, whoever collects it."""
        place = _Place()
        self._taken.add(place)
        return self._events(run_id, place)

    def end(self) -> None:
        """Let every stream end now; from any thread, or a signal's handler."""
        self._loop.call_soon_threadsafe(self._closing.set)

    def close(self) -> None:
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _events(self, run_id: int, place: _Place) -> AsyncGenerator[bytes, None]:
        shown: Run | None = None
        closing = asyncio.create_task(self._closing.wait())
        looking = asyncio.create_task(self._look(run_id, after=0))
        silent_since = self._loop.time()
        try:
            while True:
                patience = silent_since + self.limits.heartbeat_seconds - self._loop.time()
                await asyncio.wait(
                    (looking, closing),
                    timeout=max(0, patience),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if closing.done():
                    return
                found = looking.result() if looking.done() else None
                if found is not None and found.status is not RunStatus.RUNNING:
                    yield event("end", found)
                    return
                if found is not None and found != shown:
                    yield event("progress", found)
                    shown, silent_since = found, self._loop.time()
                elif self._loop.time() >= silent_since + self.limits.heartbeat_seconds:
                    yield HEARTBEAT
                    silent_since = self._loop.time()
                if looking.done():
                    looking = asyncio.create_task(
                        self._look(run_id, after=self.limits.poll_seconds)
                    )
        finally:
            closing.cancel()
            looking.cancel()
            self._taken.discard(place)

    async def _look(self, run_id: int, *, after: float) -> Run | None:
        await asyncio.sleep(after)
        try:
            return await self._loop.run_in_executor(self._pool, self.look, run_id)
        except StoreError:  # it may come back, as the run will
            log.warning("the events of run %s wait for the store", run_id, exc_info=True)
            return None


def event(name: str, run: Run) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(run_view(run)))
