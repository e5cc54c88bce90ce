"""What keeps a worker's rights while it works: its claims and its leases."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Self

from attrs import define, field

from capacity_core.fleet import CapacityFleet
from capacity_core.ports import Lease, Leases

log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 30.0
BEATS_A_LEASE: Final = 3
BEAT_AGAIN_SECONDS: Final = 1.0


@define(eq=False)
class Heartbeat:
    """Renews claims and leases of `seconds`, three times in that, and tidies up after others.

    Fits the port LeaseKeeper. `owners` are those whose claims are renewed. Its thread lives as
    long as its context.
    """

    _fleet: CapacityFleet
    _leases: Leases
    _owners: Callable[[], Iterable[str]]
    seconds: float = LEASE_SECONDS
    _held: dict[str, Lease] = field(factory=dict, init=False)
    _end: threading.Event = field(factory=threading.Event, init=False)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        self._end.clear()
        self._thread = threading.Thread(target=self._run, name="heartbeat")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @contextmanager
    def keep(self, lease: Lease) -> Iterator[None]:
        self._held[lease.owner] = lease
        try:
            yield
        finally:
            del self._held[lease.owner]

    def beat(self) -> None:
        """Renew first: what is tidied up then is not ours. Raises StoreError."""
        if owners := set(self._owners()):
            self._fleet.renew(owners, self.seconds)
        if held := list(self._held.values()):
            self._leases.renew(held, self.seconds)
        self._fleet.tidy()

    def _run(self) -> None:
        pause = 0.0
        while not self._end.wait(pause):
            try:
                self.beat()
                pause = self.seconds / BEATS_A_LEASE
            except Exception:  # nobody is above this thread, and the next beat may do
                log.warning("claims and leases were not renewed", exc_info=True)
                pause = min(BEAT_AGAIN_SECONDS, self.seconds / BEATS_A_LEASE)
