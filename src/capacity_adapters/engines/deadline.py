"""The deadline guard: ends a conversation with a target in time, whatever the target does.

Drivers' own limits have holes (a peer that drips bytes, a frozen server), so the guard works from
outside: when the time is over it shuts the connection's socket, and the driver's call returns. It
shuts a duplicate of the descriptor, since the driver may have closed its own, and the system may
have given that number to somebody else.
"""

import os
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import Final, Self

from attrs import define, field

from capacity_core.model import CollectFailed, Reason

MOST_BYTES: Final = 64 * 1024**2  # that one peer may send: half a million databases are less
LOOK_SECONDS: Final = 0.1  # between two looks at how much that is
_TCP_INFO: Final = getattr(socket, "TCP_INFO", None)
_RECEIVED: Final = slice(128, 136)  # tcpi_bytes_received of struct tcp_info, in linux/tcp.h


@define(eq=False)
class Guard:
    """Bounds one conversation: first its connect, then all of it.

    Limits are absolute times of `time.monotonic`, in seconds. Use it as a context manager, or
    close it: until then it holds a thread and a descriptor for every watched socket.
    """

    connect_by: float
    end_by: float
    fired: bool = field(default=False, init=False)
    reason: Reason = field(default=Reason.TIMEOUT, init=False)
    _limit: float = field(init=False)
    _closed: bool = field(default=False, init=False)
    _sockets: list[socket.socket] = field(factory=list, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _changed: threading.Condition = field(factory=threading.Condition, init=False)

    def __attrs_post_init__(self) -> None:
        self._limit = self.connect_by

    @classmethod
    def starting_now(cls, connect_deadline: float, deadline: float) -> Self:
        """Give the connect, and the whole conversation, so many seconds from now."""
        now = time.monotonic()
        return cls(now + min(connect_deadline, deadline), now + deadline)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def limit(self) -> float:
        """When the present phase has to be over."""
        return self._limit

    @property
    def expired(self) -> bool:
        return self.fired or time.monotonic() >= self._limit

    def remaining(self) -> float:
        """Return the seconds left of the present phase, more than 0. Raises CollectFailed."""
        left = self._limit - time.monotonic()
        if self.fired or left <= 0:
            raise CollectFailed(self.reason)
        return left

    def watch(self, descriptor: int) -> None:
        """Shut this socket when the time is over, or now if it is."""
        duplicate = socket.socket(fileno=os.dup(descriptor))
        with self._changed:
            self._sockets.append(duplicate)
            if self.fired:
                _shut(duplicate)
            elif self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadline", daemon=True)
                self._thread.start()

    def connected(self) -> None:
        """End the phase of connecting: from here on the whole deadline counts."""
        self.remaining()
        self._set_limit(self.end_by)

    def hurry(self, seconds: float) -> None:
        """Leave at most so many seconds for what is still to be done."""
        self._set_limit(min(self._limit, time.monotonic() + seconds))

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        for each in self._sockets:
            each.close()
        self._sockets.clear()

    def _set_limit(self, limit: float) -> None:
        with self._changed:
            self._limit = limit
            self._changed.notify_all()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                left = self._limit - time.monotonic()
                if any(_received(each) > MOST_BYTES for each in self._sockets):
                    self.reason = Reason.PROTOCOL
                elif left > 0:
                    self._changed.wait(min(left, LOOK_SECONDS))
                    continue
                self.fired = True
                for each in self._sockets:
                    _shut(each)
                return


def _received(each: socket.socket) -> int:
    """Return how many bytes the peer has sent, or 0 where the system does not tell."""
    if _TCP_INFO is None:
        return 0
    with suppress(OSError):
        told = each.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _RECEIVED.stop)
        return int.from_bytes(told[_RECEIVED], sys.byteorder)
    return 0


def _shut(each: socket.socket) -> None:
    with suppress(OSError):  # the peer may be gone already
        each.shutdown(socket.SHUT_RDWR)
