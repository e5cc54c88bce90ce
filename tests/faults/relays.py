"""Relays on 127.0.0.1 between us and a real server: slow, broken, or a pooler's doorman."""

import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from attrs import field, frozen
from tests.faults.listeners import Behave
from tests.servers import HOST


@frozen
class Relay:
    """Pass everything on; each answer `delay` seconds late, `cut_after` bytes the last of all.

    `rewrite` replaces some words, in both directions, by others of the same length. Words of ours
    that hold `marked` are passed on inside `around`. `answered` has the bytes of every answer.
    """

    port: int
    delay: float = 0.0
    cut_after: int | None = None
    rewrite: tuple[bytes, bytes] = (b"", b"")
    marked: bytes | None = None
    around: Callable[[], AbstractContextManager[None]] = nullcontext
    answered: list[int] = field(factory=list)

    def __call__(self, peer: socket.socket, done: threading.Event) -> None:
        with socket.create_connection((HOST, self.port)) as server:
            self._pass_on(peer, server, done)

    def _pass_on(self, peer: socket.socket, server: socket.socket, done: threading.Event) -> None:
        said = 0
        with selectors.DefaultSelector() as selector:
            selector.register(peer, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, peer)
            while not done.is_set():
                for key, _ in selector.select(0.05):
                    source, sink = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    words = source.recv(65_536)
                    if self.rewrite[0]:
                        words = words.replace(*self.rewrite)
                    if source is server:
                        time.sleep(self.delay)
                        left = len(words) if self.cut_after is None else self.cut_after - said
                        words, said = words[:left], said + len(words)
                        self.answered.append(len(words))
                    if not words:
                        return
                    meant = self.marked is not None and source is peer and self.marked in words
                    with self.around() if meant else nullcontext():
                        sink.sendall(words)
                    if self.cut_after is not None and said >= self.cut_after:
                        return


def doorman(relay: Behave) -> Behave:
    """Refuse start-up options as a pooler does, and let others pass."""

    def behave(peer: socket.socket, done: threading.Event) -> None:
        head = peer.recv(4, socket.MSG_PEEK | socket.MSG_WAITALL)
        (length,) = struct.unpack("!I", head)
        packet = peer.recv(length, socket.MSG_PEEK | socket.MSG_WAITALL)
        if b"\0options\0" in packet:
            said = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
            peer.sendall(b"E" + struct.pack("!I", len(said) + 4) + said)
            return
        relay(peer, done)

    return behave
