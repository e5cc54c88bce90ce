"""Peers on 127.0.0.1 that pose as a database to be told a password, and keep all they hear."""

import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from attrs import define, field
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.faults.listeners import Behave

PATIENCE: Final = 2.0  # seconds for the next word of a peer that may have hung up
SALT: Final = b"12345678901234567890"
SSL_REQUEST: Final = 80877103

CLEAR, MD5, GSS, SSPI, SASL = 3, 5, 7, 9, 10
_FOLLOWING: Final = {MD5: b"salt", SASL: b"SCRAM-SHA-256\0\0"}
_PROTOCOL_VIOLATION: Final = (
    b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter in options: statement_timeout\0\0"
)
# LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH; and SSL.
_ABLE: Final = 0x1 | 0x200 | 0x8000 | 0x80000
_SSL: Final = 0x800
_OK: Final = bytes(3) + b"\x02" + bytes(3)


@define(eq=False)
class Ear:
    """One peer, heard through TLS where it speaks it; every byte is kept."""

    peer: socket.socket
    heard: bytearray
    context: ssl.SSLContext | None

    def hear(self, most: int = 4096, least: int = 1) -> bytes:
        """Raises OSError if there is nothing more to hear."""
        self.peer.settimeout(PATIENCE)
        said = self.peer.recv(most)
        if len(said) < least:
            raise ConnectionError("the peer hung up")
        self.heard += said
        return said

    def close(self) -> None:
        self.peer.close()

    def say(self, words: bytes) -> None:
        self.peer.sendall(words)

    def encrypt(self) -> None:
        assert self.context is not None
        self.peer = self.context.wrap_socket(self.peer, server_side=True)


@define(eq=False)
class Rogue:
    """What it heard of all its peers; `certificate` (certificate, key) lets it offer TLS."""

    certificate: tuple[Path, Path] | None = None
    heard: bytearray = field(factory=bytearray, init=False)
    sealed: list[bytes] = field(factory=list, init=False)
    _private: rsa.RSAPrivateKey | None = field(default=None, init=False)

    def ear(self, peer: socket.socket) -> Ear:
        if self.certificate is None:
            return Ear(peer, self.heard, None)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate)
        return Ear(peer, self.heard, context)

    def postgres(self, asks: Sequence[int], *, pooler: bool = False) -> Behave:
        """Pose as PostgreSQL and ask in these ways, one after the other; a pooler refuses first."""

        def behave(peer: socket.socket, _done: threading.Event) -> None:
            ear = self.ear(peer)
            with suppress(OSError), closing(ear):
                _greeted_by_postgres(ear)
                if pooler and b"statement_timeout" in self.heard.rpartition(b"user\0")[2]:
                    _send(ear, b"E", _PROTOCOL_VIOLATION)
                    return
                for ask in asks:
                    _send(ear, b"R", struct.pack("!I", ask) + _FOLLOWING.get(ask, b""))
                    ear.hear()

        return behave

    def mysql(self, greeted: str, switched: str | None = None, *, content: bool = False) -> Behave:
        """Pose as MySQL: greet with one plugin, switch to another, and want all that there is.

        One that is `content` takes a hash, lets the peer in and hangs up.
        """

        def behave(peer: socket.socket, _done: threading.Event) -> None:
            ear = self.ear(peer)
            with suppress(OSError), closing(ear):
                number = _greeted_by_mysql(ear, greeted)
                if switched is not None:
                    words = b"\xfe" + switched.encode() + b"\0" + _question(switched)
                    number = self._ask(ear, number, words)
                if content:
                    ear.say(_packet(number, b"\x01\x03") + _packet(number + 1, _OK))
                    ear.hear()
                    return
                if "caching" in (switched or greeted):
                    number = self._ask(ear, number, b"\x01\x04")  # a hash is not enough
                self._ask(ear, number, b"\x01" + self.public_key())  # whoever asked for it
                self._ask(ear, number + 2, b"\x01" + self.public_key())

        return behave

    def _ask(self, ear: Ear, number: int, words: bytes) -> int:
        ear.say(_packet(number, words))
        said = ear.hear(least=4)
        self.sealed.append(said[4:])
        return said[3] + 1

    def public_key(self) -> bytes:
        if self._private is None:
            self._private = rsa.generate_private_key(65537, 2048)
        return self._private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def learned(self) -> bytes:
        """Everything that was said, and everything that can be opened with the rogue's own key."""
        opened = [bytes(self.heard)]
        for each in self.sealed:
            with suppress(ValueError):
                opened.append(_unsalted(self._opened(each)))
        return b"\n".join(opened)

    def _opened(self, sealed: bytes) -> bytes:
        if self._private is None:
            raise ValueError
        return self._private.decrypt(
            sealed,
            padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),  # noqa: S303 -- the protocol's
        )


def _unsalted(message: bytes) -> bytes:
    return bytes(byte ^ SALT[place % len(SALT)] for place, byte in enumerate(message))


def _greeted_by_postgres(ear: Ear) -> None:
    said = ear.hear(8, 8)
    if struct.unpack("!II", said) == (8, SSL_REQUEST):
        ear.say(b"N" if ear.context is None else b"S")
        if ear.context is not None:
            ear.encrypt()
        said = ear.hear(8, 8)
    length, _ = struct.unpack("!II", said)
    ear.hear(length - 8)


def _send(ear: Ear, kind: bytes, body: bytes) -> None:
    ear.say(kind + struct.pack("!I", len(body) + 4) + body)


def _greeted_by_mysql(ear: Ear, plugin: str) -> int:
    """Return the number of the next packet."""
    able = _ABLE | (0 if ear.context is None else _SSL)
    greeting = b"".join(
        (
            b"\x0a8.0.36\0" + bytes(4) + SALT[:8] + b"\0",
            struct.pack("<HBHH", able & 0xFFFF, 33, 2, able >> 16),
            bytes([21]) + bytes(10) + SALT[8:] + b"\0" + plugin.encode() + b"\0",
        )
    )
    ear.say(_packet(0, greeting))
    said = ear.hear(36, 36)
    if struct.unpack("<I", said[4:8])[0] & _SSL:
        ear.encrypt()
    encrypted = isinstance(ear.peer, ssl.SSLSocket)
    ear.hear()
    return 3 if encrypted else 2


def _question(plugin: str) -> bytes:
    return b"\x04Password: " if plugin == "dialog" else SALT + b"\0"


def _packet(number: int, words: bytes) -> bytes:
    return struct.pack("<I", len(words) | number << 24) + words


def forms_of(password: str) -> list[bytes]:
    """The password as it is, and what is worth as much."""
    plain = password.encode()
    return [plain, plain[::-1], plain.hex().encode(), hashlib.sha1(plain).digest()]  # noqa: S324 -- what must not be seen
