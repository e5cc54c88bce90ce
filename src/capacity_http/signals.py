"""What must end before a server can stop: it would wait for it, and tells nobody."""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from attrs import define, field

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], Any]


@define
class Ending:
    """Ends streams, and lets workers finish, from the first signal to stop on.

    The server's own handlers are called as well; without signals it happens when it has stopped.
    """

    end_streams: Callable[[], None]
    stop_workers: Callable[[], None]
    _stopping: "asyncio.Task[None] | None" = field(default=None, init=False)
    _theirs: dict[signal.Signals, Handler] = field(factory=dict, init=False)

    def listen(self) -> None:
        """Call it in the server's loop. Only the main thread hears signals."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            theirs = signal.getsignal(number)
            if callable(theirs):
                self._theirs[number] = theirs
                signal.signal(number, self._heard(theirs, loop))

    def _heard(self, theirs: Handler, loop: asyncio.AbstractEventLoop) -> Handler:
        def heard(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.begin)
            theirs(number, frame)

        return heard

    def begin(self) -> "asyncio.Task[None]":
        """Begin no more syncs; the task ends with the last one that runs."""
        self.end_streams()
        if self._stopping is None:
            self._stopping = asyncio.create_task(asyncio.to_thread(self.stop_workers))
        return self._stopping

    async def finish(self) -> None:
        """Wait until the last sync has ended; signals are the server's again."""
        await self.begin()
        for number, theirs in self._theirs.items():
            signal.signal(number, theirs)
