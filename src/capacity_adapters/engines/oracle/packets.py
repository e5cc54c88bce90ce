"""Packets of TNS, looked at before the driver sees them.

The driver never ends reading a packet that says it has no bytes, with the interpreter's lock held:
eight zeros from any peer would stop the whole process. It makes buffers as large as the server's
ACCEPT says: none at all ends the process, as a redirect to nowhere does, and 4 GiB fill its
memory. It also keeps whatever it receives.
"""

import asyncio
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field

from capacity_adapters.engines.deadline import MOST_BYTES

HEADER: Final = 8
ACCEPT, REDIRECT = 2, 5
KIND_AT: Final = 4
KINDS: Final = range(1, 32)  # where a peer that speaks anything else has a letter
VERSION: Final = slice(8, 10)  # of an ACCEPT
LEAST_VERSION: Final = 315  # of 12.1; the driver refuses what is older
SDU: Final = slice(32, 36)  # how long packets are going to be
ADDRESS_LENGTH: Final = slice(8, 10)  # of a REDIRECT
LOOKED_AT: Final = MappingProxyType({ACCEPT: SDU.stop, REDIRECT: ADDRESS_LENGTH.stop})
SDU_LIMITS: Final = range(512, 2 * 1024**2 + 1)  # Net Services Reference: SDU
NARROW, WIDE = 2, 4  # bytes that tell a packet's length: before the server's ACCEPT, and after it


@define(eq=False)
class Checked(asyncio.Protocol):
    """Passes on what `driver` may read; ends the connection, and says so, at the first nonsense."""

    driver: Any
    on_nonsense: Callable[[], None]
    _transport: asyncio.Transport | None = field(default=None, init=False)
    _width: int = field(default=NARROW, init=False)
    _head: bytes = field(default=b"", init=False)
    _to_skip: int = field(default=0, init=False)
    _accepted: bool = field(default=False, init=False)
    _received: int = field(default=0, init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's, as we are of streams
        self.driver.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received <= MOST_BYTES and self._makes_sense(data):
            self.driver.data_received(data)
            return
        self.on_nonsense()
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> bool | None:
        return bool(self.driver.eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        self.driver.connection_lost(exc)

    def pause_writing(self) -> None:
        self.driver.pause_writing()

    def resume_writing(self) -> None:
        self.driver.resume_writing()

    def _makes_sense(self, data: bytes) -> bool:
        """Follow the packets; what is shorter than its own header or of no kind is none."""
        if self._accepted:  # the driver knows since then, for it has answered
            self._width = WIDE
        rest = memoryview(data)
        while rest:
            if self._to_skip:
                skipped = min(self._to_skip, len(rest))
                self._to_skip -= skipped
                rest = rest[skipped:]
                continue
            wanted = self._wanted() - len(self._head)
            self._head += bytes(rest[:wanted])
            rest = rest[wanted:]
            if len(self._head) < HEADER:
                break
            length = self._length()
            if length < HEADER or self._head[KIND_AT] not in KINDS:
                return False
            if len(self._head) < self._wanted():
                continue
            if not self._is_usable():
                return False
            self._accepted |= self._head[KIND_AT] == ACCEPT
            self._to_skip, self._head = length - len(self._head), b""
        return True

    def _wanted(self) -> int:
        """Tell how many bytes of a packet to look at."""
        if len(self._head) < HEADER:
            return HEADER
        return min(self._length(), LOOKED_AT.get(self._head[KIND_AT], HEADER))

    def _length(self) -> int:
        return int.from_bytes(self._head[: self._width])

    def _is_usable(self) -> bool:
        def number(place: slice) -> int:
            return int.from_bytes(self._head[place])

        kind = self._head[KIND_AT]
        if kind == ACCEPT:
            return number(VERSION) < LEAST_VERSION or number(SDU) in SDU_LIMITS
        return kind != REDIRECT or number(ADDRESS_LENGTH) > 0
