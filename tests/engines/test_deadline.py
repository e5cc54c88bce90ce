"""The guard: a blocked call returns at the limit, and nothing of the guard stays behind."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from capacity_adapters.engines.deadline import Guard
from capacity_core.model import CollectFailed, Reason

pytestmark = pytest.mark.unit

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        yield ours, theirs


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_blocked_read_returns_at_the_limit(pair: Pair) -> None:
    ours, _ = pair
    started = time.monotonic()
    with Guard.starting_now(0.2, 60.0) as guard:
        guard.watch(ours.fileno())
        assert ours.recv(1) == b""
        assert guard.fired
        assert guard.expired
        with pytest.raises(CollectFailed) as caught:
            guard.remaining()
    assert 0.2 <= time.monotonic() - started < 0.7
    assert caught.value.failure.reason is Reason.TIMEOUT


def test_the_whole_deadline_counts_once_connected(pair: Pair) -> None:
    ours, theirs = pair
    with Guard.starting_now(0.1, 60.0) as guard:
        guard.watch(ours.fileno())
        guard.connected()
        time.sleep(0.15)
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"
        assert not guard.fired
        assert 59 < guard.remaining() < 60


def test_a_connect_never_outlives_the_whole_deadline() -> None:
    with Guard.starting_now(10.0, 0.5) as guard:
        assert guard.remaining() <= 0.5


def test_a_late_connect_is_no_connect() -> None:
    with Guard.starting_now(0.0, 60.0) as guard, pytest.raises(CollectFailed):
        guard.connected()


def test_a_socket_watched_too_late_is_shut_at_once(pair: Pair) -> None:
    ours, _ = pair
    other, another = socket.socketpair()
    with closing(other), closing(another), Guard.starting_now(0.0, 60.0) as guard:
        guard.watch(other.fileno())
        assert other.recv(1) == b""
        guard.watch(ours.fileno())
        assert ours.recv(1) == b""


def test_a_reused_descriptor_is_not_hit(pair: Pair) -> None:
    ours, theirs = pair
    watched, peer = socket.socketpair()
    with closing(peer), Guard.starting_now(0.1, 60.0) as guard:
        guard.watch(watched.fileno())
        watched.close()
        reused = ours.dup()
        with closing(reused):
            time.sleep(0.2)
            assert guard.fired
            theirs.sendall(b"x")
            assert reused.recv(1) == b"x"


def test_hurrying_shortens_and_never_lengthens(pair: Pair) -> None:
    ours, _ = pair
    with Guard.starting_now(60.0, 60.0) as guard:
        guard.watch(ours.fileno())
        guard.hurry(0.1)
        guard.hurry(60.0)
        assert ours.recv(1) == b""


def test_a_peer_that_sends_without_end_is_shut_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capacity_adapters.engines.deadline.MOST_BYTES", 1_000_000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    with closing(ours), closing(theirs), Guard.starting_now(60.0, 60.0) as guard:
        guard.watch(ours.fileno())
        sender = threading.Thread(target=_send_until_shut, args=(theirs,))
        sender.start()
        received = 0
        with suppress(ConnectionResetError):  # the other end of a shut connection
            while words := ours.recv(65_536):
                received += len(words)
        sender.join()
        assert received > 1_000_000
        with pytest.raises(CollectFailed) as caught:
            guard.remaining()
    assert caught.value.failure.reason is Reason.PROTOCOL


def _send_until_shut(peer: socket.socket) -> None:
    with suppress(OSError):
        while True:
            peer.sendall(bytes(65_536))


def test_many_guards_leave_neither_thread_nor_descriptor(pair: Pair) -> None:
    ours, _ = pair
    before = open_descriptors()
    for number in range(300):
        with Guard.starting_now(0.0 if number % 2 else 60.0, 60.0) as guard:
            guard.watch(ours.fileno())
    assert open_descriptors() == before
    assert "deadline" not in {thread.name for thread in threading.enumerate()}
