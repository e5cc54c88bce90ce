"""Peers that send without end what a driver goes on to read, and to keep."""

import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from itertools import cycle
from types import MappingProxyType
from typing import Final

from tests.faults.listeners import Behave

ZEROS: Final = bytes(65_536)
MOST_OF_A_PACKET: Final = 0xFFFFFF  # of MySQL: one so long has a sequel


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _column(name: bytes, oid: int) -> bytes:
    return name + b"\0" + struct.pack("!IHIhih", 0, 0, oid, -1, -1, 0)


def _values(*texts: bytes) -> bytes:
    return struct.pack("!H", len(texts)) + b"".join(struct.pack("!i", len(t)) + t for t in texts)


POSTGRES_LOGIN: Final = (
    _message(b"R", struct.pack("!I", 0))
    + _message(b"S", b"server_version\x0015.0\x00")
    + _message(b"K", bytes(8))
    + _message(b"Z", b"I")
)
POSTGRES_HEAD: Final = (
    _message(b"1", b"")
    + _message(b"2", b"")
    + _message(
        b"T",
        struct.pack("!H", 3)
        + _column(b"oid", 26)
        + _column(b"datname", 19)
        + _column(b"datconnlimit", 23),
    )
)
POSTGRES_ROWS: Final = 2000 * _message(b"D", _values(b"123", b"name", b"-1"))


def flood_of_rows(peer: socket.socket, done: threading.Event) -> None:
    """Be a PostgreSQL whose list of databases has no end."""
    length, code = struct.unpack("!II", peer.recv(8))
    if length == 8 and code == 80877103:  # SSLRequest
        peer.sendall(b"N")
        said = peer.recv(4)
        if not said:  # it comes again, without TLS
            return
        (length,) = struct.unpack("!I", said)
        peer.recv(length - 4)
    else:
        peer.recv(length - 8)
    peer.sendall(POSTGRES_LOGIN)
    peer.recv(65_536)
    peer.sendall(POSTGRES_HEAD)
    _forever(peer, done, POSTGRES_ROWS)


def flood_of_one_packet(peer: socket.socket, done: threading.Event) -> None:
    """Be a MySQL whose greeting has no end."""
    packets = (
        struct.pack("<I", MOST_OF_A_PACKET | number << 24) + bytes(MOST_OF_A_PACKET)
        for number in cycle(range(256))
    )
    for packet in packets:
        if not _send(peer, done, packet):
            return


def flood_of_tds(peer: socket.socket, done: threading.Event) -> None:
    """Be a SQL Server whose first answer has no last packet."""
    _forever(peer, done, struct.pack(">BBHHBB", 4, 0, 4096, 0, 1, 0) + bytes(4088))


def flood_of_zeros(peer: socket.socket, done: threading.Event) -> None:
    """Be a listener of Oracle whose packets have no length."""
    _forever(peer, done, ZEROS)


def _forever(peer: socket.socket, done: threading.Event, words: bytes) -> None:
    while _send(peer, done, words):
        pass


def _send(peer: socket.socket, done: threading.Event, words: bytes) -> bool:
    """Send it all, however long nobody reads; returns False if nobody is to read any more."""
    peer.settimeout(0.1)
    left = memoryview(words)
    while left and not done.is_set():
        with suppress(TimeoutError):
            left = left[peer.send(left) :]
    return not done.is_set()


FLOODS: Mapping[str, Behave] = MappingProxyType(
    {
        "postgresql": flood_of_rows,
        "mysql": flood_of_one_packet,
        "sqlserver": flood_of_tds,
        "oracle": flood_of_zeros,
    }
)
