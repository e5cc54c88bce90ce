"""A listener of Oracle's, as far as it goes before the login: refuses, redirects, or is too old.

What comes after is not imitated: the protocol of the thin driver is documented nowhere.
"""

import socket
import struct
import threading

from attrs import field, frozen
from tests.faults.listeners import Behave

ACCEPT, REFUSE, REDIRECT, DATA = 2, 4, 5, 6
CONNECT = b"\x01"
OLD_PROTOCOL = 312  # Oracle 11.2; 12.1 says 315


@frozen
class Heard:
    """What drivers said: the connect packets, whole."""

    packets: list[bytes] = field(factory=list)

    def text(self) -> str:
        return b"\n".join(self.packets).decode("latin-1")


def refusing(code: int, heard: Heard | None = None) -> Behave:
    """Refuse as a listener does, with an ORA number in its descriptor."""
    stack = f"(ERROR_STACK=(ERROR=(CODE={code})(EMFI=4)))"
    words = f"(DESCRIPTION=(TMP=)(VSNNUM=0)(ERR={code}){stack})".encode()
    return _answering([_packet(REFUSE, struct.pack("!BBH", 0, 0, len(words)) + words)], heard)


def too_old(heard: Heard | None = None) -> Behave:
    """Accept, and speak the protocol of a server before 12.1."""
    body = struct.pack("!HHHH", OLD_PROTOCOL, 0, 8192, 8192) + bytes(40)
    return _answering([_packet(ACCEPT, body)], heard)


def redirecting(host: str, port: int, heard: Heard | None = None) -> Behave:
    """Send to another listener, as one does that serves several machines."""
    address = f"(ADDRESS=(PROTOCOL=tcp)(HOST={host})(PORT={port}))"
    words = f"{address}\0(DESCRIPTION={address}(CONNECT_DATA=(SERVICE_NAME=x)))".encode()
    first = _packet(REDIRECT, struct.pack("!H", len(words)))
    return _answering([first, _packet(DATA, b"\0\0" + words)], heard)


def _answering(packets: list[bytes], heard: Heard | None) -> Behave:
    def behave(peer: socket.socket, done: threading.Event) -> None:
        said = peer.recv(8192)
        while said[4:5] == CONNECT and not said.endswith(b")"):  # a long descriptor comes apart
            said += peer.recv(8192)
        if heard is not None:
            heard.packets.append(said)
        for packet in packets:
            peer.sendall(packet)
        peer.settimeout(0.05)
        while not done.is_set():
            try:
                if not peer.recv(8192):
                    return
            except TimeoutError:
                continue

    return behave


def _packet(kind: int, body: bytes) -> bytes:
    return struct.pack("!HHBBH", len(body) + 8, 0, kind, 0, 0) + body
