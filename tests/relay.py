"""A TCP relay between us and a real server, which a test can hold or cut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from attrs import define, field

BUFFER = 65_536
HOST = "127.0.0.1"


@define
class Relay:
    """`hold` stops the server's answers until `let_go`; `cut_at` ends the connection at a word."""

    server_port: int
    port: int = field(default=0, init=False)
    cut_at: bytes | None = None
    held: threading.Event = field(factory=threading.Event, init=False)
    _flow: threading.Event = field(factory=threading.Event, init=False)
    hold_at: bytes | None = None

    def __attrs_post_init__(self) -> None:
        self._flow.set()

    def let_go(self) -> None:
        self.hold_at = None
        self._flow.set()

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((HOST, self.server_port))
                for one, other, asks in ((client, server, True), (server, client, False)):
                    threading.Thread(
                        target=self._pump, args=(one, other), kwargs={"asks": asks}, daemon=True
                    ).start()

    def _pump(self, source: socket.socket, sink: socket.socket, *, asks: bool) -> None:
        with suppress(OSError):
            while data := source.recv(BUFFER):
                if asks and self.cut_at and self.cut_at in data:
                    break
                if asks and self.hold_at and self.hold_at in data:
                    self._flow.clear()
                    self.held.set()
                if not asks:
                    self._flow.wait()
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):  # the other direction may have been here before
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@contextmanager
def relay_to(
    server_port: int, *, cut_at: bytes | None = None, hold_at: bytes | None = None
) -> Iterator[Relay]:
    """Listen on a free port, and end with the block."""
    relay = Relay(server_port, cut_at, hold_at)
    with socket.create_server((HOST, 0)) as listener:
        relay.port = listener.getsockname()[1]
        thread = threading.Thread(target=relay.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            relay.let_go()
            listener.shutdown(socket.SHUT_RDWR)
    thread.join()
