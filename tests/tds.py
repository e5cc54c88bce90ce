"""A stand-in for SQL Server: enough of TDS 7.4 for the real driver, with answers by script.

Written after MS-TDS, the protocol's open specification. It proves what we send and how we read
answers; whether a real server likes our SQL it cannot tell.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from attrs import field, frozen
from tests.faults.listeners import listening

PRELOGIN, LOGIN, BATCH, ATTENTION, REPLY = 0x12, 0x10, 0x01, 0x06, 0x04
OFF, ON, NOT_SUPPORTED, REQUIRED = range(4)
ERROR, INFO, LOGINACK, ENVCHANGE = 0xAA, 0xAB, 0xAD, 0xE3
DONE_MORE, DONE_ERROR, DONE_COUNT, DONE_ATTENTION = 0x1, 0x2, 0x10, 0x20
PACKET = 4096


@frozen
class Rows:
    """One answer of a batch; a column's type is that of its first value that is not None."""

    rows: Sequence[Sequence[object]]


@frozen
class Failed:
    """An error of the server; what follows it in a batch is still said."""

    number: int
    message: str = "no"


class HangUp(Exception):  # noqa: N818 -- what a script does, not what goes wrong
    """Say what was said so far, and close."""


Part = Rows | Failed
Answer = Callable[[str], Sequence[Part]]


def nothing(_query: str) -> Sequence[Part]:
    return ()


@frozen
class Login:
    user: str
    password: str
    database: str
    application: str
    read_only: bool
    encrypted: bool


@frozen
class TdsServer:
    """How to behave, and what was heard. `refusal` are the errors that a login gets."""

    answer: Answer = nothing
    refusal: Sequence[Failed] = ()
    encryption: int = NOT_SUPPORTED
    tls: ssl.SSLContext | None = None
    version: tuple[int, int, int] = (15, 0, 4430)
    routed_to: str = ""
    mangled: Callable[[bytes], bytes] = bytes  # what becomes of an answer on its way
    queries: list[str] = field(factory=list, init=False)
    logins: list[Login] = field(factory=list, init=False)

    def behave(self, sock: socket.socket, done: threading.Event) -> None:
        """Serve one connection; fits tests.faults.listeners."""
        peer = _Peer(sock)
        with suppress(EOFError, ssl.SSLError, HangUp):
            wish = _encryption_wish(peer.read()[1])
            peer.write(_prelogin(self.encryption))
            encrypts = self.tls is not None and self.encryption != NOT_SUPPORTED
            if encrypts and self.tls is not None:
                peer.shake_hands(self.tls)
            self.logins.append(_login(peer.read()[1], encrypted=encrypts))
            if self.encryption == OFF and wish == OFF:
                peer.secure = None
            peer.write(self.mangled(self._login_answer(self.logins[-1].database)))
            while not (done.is_set() or self.refusal):
                self._serve(peer)

    def _login_answer(self, database: str) -> bytes:
        if self.refusal:
            errors = b"".join(_message(ERROR, each) for each in self.refusal)
            return errors + _done(DONE_ERROR)
        major, minor, build = self.version
        ack = b"\x01\x74\x00\x00\x04" + _short("Stub") + struct.pack(">BBH", major, minor, build)
        name = b"\x01" + _short(database) + _short("")
        route = b""
        if self.routed_to:
            where = struct.pack("<BHH", 0, 1433, len(self.routed_to)) + _wide(self.routed_to)
            route = _token(ENVCHANGE, b"\x14" + struct.pack("<H", len(where)) + where + bytes(2))
        return _token(ENVCHANGE, name) + _token(LOGINACK, ack) + route + _done(0)

    def _serve(self, peer: "_Peer") -> None:
        kind, words = peer.read()
        if kind == ATTENTION:
            peer.write(_done(DONE_ATTENTION))
            return
        headers = struct.unpack_from("<I", words)[0]
        query = words[headers:].decode("utf-16-le")
        self.queries.append(query)
        told: list[bytes] = []
        try:
            told.extend(map(_part, self.answer(query)))
        except HangUp as end:
            told.extend(map(_part, end.args))
            peer.write(b"".join(each + _done(DONE_MORE) for each in told), last=False)
            raise
        closed = [each + _done(DONE_MORE | _error_bit(each)) for each in told[:-1]]
        last = told[-1] if told else b""
        peer.write(self.mangled(b"".join(closed) + last + _done(_error_bit(last))))


@frozen(eq=False)
class _Stream:
    tls: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO


class _Peer:
    """Packets in and out, through TLS once hands were shaken."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.secure: _Stream | None = None

    def read(self) -> tuple[int, bytes]:
        words = b""
        while True:
            kind, status, length = struct.unpack(">BBH4x", self._exactly(8))
            words += self._exactly(length - 8)
            if status & 1:
                return kind, words

    def write(self, words: bytes, kind: int = REPLY, *, last: bool = True) -> None:
        room = PACKET - 8
        parts = [words[at : at + room] for at in range(0, len(words), room)] or [b""]
        for number, part in enumerate(parts):
            ends = last and number == len(parts) - 1
            header = struct.pack(">BBHHBB", kind, int(ends), len(part) + 8, 0, number % 256, 0)
            self._send(header + part)

    def shake_hands(self, context: ssl.SSLContext) -> None:
        """TLS within the packets of the prelogin, as version 7 has it."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    self.write(outgoing.read(), PRELOGIN)
                incoming.write(self.read()[1])
            else:
                break
        self.write(outgoing.read(), PRELOGIN)
        self.secure = _Stream(tls, incoming, outgoing)

    def _exactly(self, count: int) -> bytes:
        words = b""
        while len(words) < count:
            words += self._receive(count - len(words))
        return words

    def _receive(self, most: int) -> bytes:
        while self.secure is not None:
            try:
                words = self.secure.tls.read(most)
            except ssl.SSLWantReadError:
                self.secure.incoming.write(_some(self.sock, 65536))
            else:
                if words:
                    return words
                raise EOFError  # the peer ended TLS in good order
        return _some(self.sock, most)

    def _send(self, words: bytes) -> None:
        if self.secure is not None:
            self.secure.tls.write(words)
            words = self.secure.outgoing.read()
        self.sock.sendall(words)


def _some(sock: socket.socket, most: int) -> bytes:
    words = sock.recv(most)
    if not words:
        raise EOFError
    return words


def _wide(words: str) -> bytes:
    return words.encode("utf-16-le")


def _short(words: str) -> bytes:
    return bytes([len(words)]) + _wide(words)


def _token(kind: int, words: bytes) -> bytes:
    return struct.pack("<BH", kind, len(words)) + words


def _done(status: int) -> bytes:
    return struct.pack("<BHHQ", 0xFD, status, 0, 0)


def _message(kind: int, said: Failed) -> bytes:
    severity = 14 if kind == ERROR else 0
    words = struct.pack("<iBBH", said.number, 1, severity, len(said.message))
    words += _wide(said.message) + _short("stub") + _short("") + struct.pack("<i", 1)
    return _token(kind, words)


def _error_bit(words: bytes) -> int:
    return DONE_ERROR if words[:1] == bytes([ERROR]) else 0


def _part(part: Part) -> bytes:
    if isinstance(part, Failed):
        return _message(ERROR, part)
    columns = list(zip(*part.rows, strict=True)) if part.rows else [(None,)]
    kinds = [_column_type(column) for column in columns]
    told = struct.pack("<BH", 0x81, len(kinds))
    for kind in kinds:
        told += struct.pack("<IH", 0, 1) + kind + _short("x")
    for row in part.rows:
        cells = (_cell(kind, value) for kind, value in zip(kinds, row, strict=True))
        told += b"\xd1" + b"".join(cells)
    return told


_BIGINT, _BIT = b"\x26\x08", b"\x68\x01"
_NVARCHAR = b"\xe7" + struct.pack("<H", 8000) + b"\x09\x04\xd0\x00\x34"


def _column_type(values: Sequence[object]) -> bytes:
    known = next((value for value in values if value is not None), None)
    if isinstance(known, str):
        return _NVARCHAR
    return _BIT if isinstance(known, bool) else _BIGINT


def _cell(kind: bytes, value: object) -> bytes:
    if kind is _NVARCHAR:
        words = None if value is None else _wide(str(value))
        return b"\xff\xff" if words is None else struct.pack("<H", len(words)) + words
    if not isinstance(value, int):
        return b"\x00"
    return b"\x01" + bytes([value]) if kind is _BIT else b"\x08" + struct.pack("<q", value)


def _prelogin(encryption: int) -> bytes:
    """Version and encryption; each has a type, an offset and a length."""
    options = struct.pack(">BHH", 0, 11, 6) + struct.pack(">BHH", 1, 17, 1) + b"\xff"
    return options + b"\x0f\x00\x10\xd6\x00\x00" + bytes([encryption])


def _encryption_wish(words: bytes) -> int:
    at = 0
    while words[at] != 0xFF:
        kind, offset, _ = struct.unpack_from(">BHH", words, at)
        if kind == 1:
            return int(words[offset])
        at += 5
    return NOT_SUPPORTED


def _login(words: bytes, *, encrypted: bool) -> Login:
    def field_at(place: int) -> bytes:
        offset, length = struct.unpack_from("<HH", words, place)
        return words[offset : offset + 2 * length]

    def swapped(each: int) -> int:
        plain = each ^ 0xA5
        return plain >> 4 | (plain & 0xF) << 4

    user, application, database = (field_at(place).decode("utf-16-le") for place in (40, 48, 68))
    password = bytes(map(swapped, field_at(44))).decode("utf-16-le")
    return Login(user, password, database, application, bool(words[26] & 0x20), encrypted)


@contextmanager
def serving(server: TdsServer) -> Iterator[int]:
    """Lend the port at which it listens."""
    with listening(server.behave) as port:
        yield port
