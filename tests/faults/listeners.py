"""Peers on 127.0.0.1 that misbehave, each in its own way."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.servers import HOST, free_port

Behave = Callable[[socket.socket, threading.Event], None]
DRIP_SECONDS = 0.05

# The first bytes of a real greeting, so that the drivers want more.
POSTGRES_WORDS = (
    b"N" + b"R\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00" + b"S\x00\x00\x10\x00"
)
SSL_REQUEST = (80877103).to_bytes(4)
MYSQL_WORDS = b"\x6e\x00\x00\x00\x0a5.5.5-10.11.19-MariaDB\x00" + b"\x01" * 100
TNS_WORDS = b"\x00\x6e\x00\x00\x02\x00\x00\x00\x01\x3a" + b"\x00" * 90  # ACCEPT
TDS_WORDS = b"\x04\x01\x00\x6e\x00\x00\x01\x00" + b"\x00\x00\x15\x00\x06" + b"\x00" * 90  # PRELOGIN


def silent(_peer: socket.socket, done: threading.Event) -> None:
    done.wait()


def garbage(peer: socket.socket, done: threading.Event) -> None:
    peer.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")
    done.wait()


def closer(_peer: socket.socket, _done: threading.Event) -> None:
    pass


def reset(peer: socket.socket, _done: threading.Event) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def http(peer: socket.socket, _done: threading.Event) -> None:
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def dripping(words: bytes) -> Behave:
    """Say that byte by byte, and nothing more."""

    def behave(peer: socket.socket, done: threading.Event) -> None:
        for byte in words:
            peer.sendall(bytes([byte]))
            if done.wait(DRIP_SECONDS):
                return
        done.wait()

    return behave


def dripping_like_postgres(peer: socket.socket, done: threading.Event) -> None:
    """Say N to those only who ask for TLS, as a server without it does."""
    asks_for_tls = peer.recv(8, socket.MSG_PEEK)[4:] == SSL_REQUEST
    dripping(POSTGRES_WORDS if asks_for_tls else POSTGRES_WORDS[1:])(peer, done)


def saying(words: bytes) -> Behave:
    """Say that, whatever the peer says, and hang up."""

    def behave(peer: socket.socket, _done: threading.Event) -> None:
        peer.sendall(words)
        with suppress(TimeoutError):
            peer.settimeout(0.05)
            while peer.recv(4096):
                pass

    return behave


def asking_postgres(heard: list[bytes]) -> Behave:
    """Have no TLS, and ask for the password as it is."""

    def behave(peer: socket.socket, _done: threading.Event) -> None:
        length, code = struct.unpack("!II", peer.recv(8))
        if length == 8 and code == 80877103:  # SSLRequest
            peer.sendall(b"N")
            peer.recv(4096)
        else:
            peer.recv(length - 8)
        peer.sendall(b"R" + struct.pack("!II", 8, 3))
        heard.append(peer.recv(4096))

    return behave


def asking_mysql(plugin: bytes, heard: list[bytes]) -> Behave:
    """Have no TLS, and switch to a plugin that sends the password as it is."""
    able = 0x1 | 0x200 | 0x8000 | 0x80000
    greeting = b"".join(
        (
            b"\x0a5.5.5-10.6.12-MariaDB\0" + bytes(4) + b"12345678\0",
            struct.pack("<HBHH", able & 0xFFFF, 33, 2, able >> 16),
            bytes([21]) + bytes(10) + b"123456789012\0mysql_native_password\0",
        )
    )

    def behave(peer: socket.socket, _done: threading.Event) -> None:
        peer.sendall(struct.pack("<I", len(greeting)) + greeting)
        peer.recv(4096)
        switch = b"\xfe" + plugin + b"\0" + b"\x01Password: "
        peer.sendall(struct.pack("<I", len(switch) | 2 << 24) + switch)
        heard.append(peer.recv(4096))

    return behave


@contextmanager
def listening(behave: Behave) -> Iterator[int]:
    """Lend the port of a listener that treats every peer like that."""
    done = threading.Event()
    threads: list[threading.Thread] = []
    with socket.create_server((HOST, 0)) as server:
        acceptor = threading.Thread(target=_accept, args=(server, behave, done, threads))
        acceptor.start()
        try:
            yield server.getsockname()[1]
        finally:
            done.set()
            server.shutdown(socket.SHUT_RDWR)
            for thread in (acceptor, *threads):
                thread.join()


def _accept(
    server: socket.socket, behave: Behave, done: threading.Event, threads: list[threading.Thread]
) -> None:
    while not done.is_set():
        try:
            peer, _ = server.accept()
        except OSError:
            return
        thread = threading.Thread(target=_treat, args=(peer, behave, done))
        threads.append(thread)
        thread.start()


def _treat(peer: socket.socket, behave: Behave, done: threading.Event) -> None:
    with peer, suppress(OSError):
        behave(peer, done)


@contextmanager
def full_backlog() -> Iterator[int]:
    """Lend a port whose queue is full: connecting never ends."""
    waiting: list[socket.socket] = []
    with socket.create_server((HOST, 0), backlog=0) as server:
        try:
            while True:
                peer = socket.socket()
                waiting.append(peer)
                peer.settimeout(0.2)
                try:
                    peer.connect(server.getsockname())
                except TimeoutError:
                    break
            yield server.getsockname()[1]
        finally:
            for peer in waiting:
                peer.close()


@contextmanager
def closed() -> Iterator[int]:
    yield free_port()
