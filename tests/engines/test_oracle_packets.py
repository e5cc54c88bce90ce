"""What an Oracle peer says is followed by packets: none without a length reaches the driver."""

import asyncio
import socket
import struct
import threading
import time

import pytest
from attrs import define, field
from tests.faults.listeners import Behave, listening
from tests.faults.matrix import GRACE
from tests.targets import port_instance, refusal

from capacity_adapters.engines.oracle.packets import ACCEPT, REDIRECT, Checked

pytestmark = pytest.mark.unit

DATA = 6


def accepting(version: int = 319, sdu: int = 8192) -> bytes:
    header = struct.pack("!HHBBH", 40, 0, ACCEPT, 0, 0)
    return header + struct.pack("!HH", version, 0) + bytes(20) + struct.pack("!I", sdu) + bytes(4)


ACCEPTED = accepting()
NOWHERE = struct.pack("!HHBBHH", 48, 0, REDIRECT, 0, 0, 0) + bytes(38)


@define(eq=False)
class Driver(asyncio.Protocol):
    heard: list[bytes] = field(factory=list)
    nonsense: int = 0

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)

    def hear_nonsense(self) -> None:
        self.nonsense += 1


def narrow(length: int) -> bytes:
    return struct.pack("!HHBBH", length, 0, DATA, 0, 0) + bytes(max(0, length - 8))


def wide(length: int) -> bytes:
    return struct.pack("!IBBH", length, DATA, 0, 0) + bytes(max(0, length - 8))


@pytest.mark.parametrize(
    "chunks",
    [
        [narrow(8), narrow(9), narrow(300) + narrow(8)],
        [ACCEPTED, wide(8), wide(70_000) + wide(9)],
        [bytes([each]) for each in narrow(20) + narrow(8)],
        [accepting(sdu=512), wide(8)],
        [accepting(sdu=2 * 1024**2), wide(8)],
        [accepting(version=312, sdu=0)],
        [bytes([each]) for each in ACCEPTED] + [wide(8)],
        [ACCEPTED, *(bytes([each]) for each in wide(20) + wide(8))],
    ],
)
def test_whole_packets_pass_as_they_come(chunks: list[bytes]) -> None:
    driver = Driver()
    checked = Checked(driver, driver.hear_nonsense)
    for chunk in chunks:
        checked.data_received(chunk)
    assert driver.heard == chunks
    assert not driver.nonsense


@pytest.mark.parametrize(
    "chunks",
    [
        [bytes(8)],
        [narrow(7)],
        [wide(20)],  # the driver would read its first two bytes
        [narrow(12) + bytes(8)],
        [bytes(4), bytes(4)],
        [ACCEPTED, bytes(8)],
        [accepting(sdu=0)],
        [NOWHERE],
        [accepting(sdu=511)],
        [accepting(sdu=2**32 - 1)],
        [accepting(sdu=0)[:20], accepting(sdu=0)[20:36]],
        [ACCEPTED + wide(20)],  # too early: the driver has not read the ACCEPT yet
    ],
)
def test_a_packet_shorter_than_its_header_does_not_reach_the_driver(chunks: list[bytes]) -> None:
    driver = Driver()
    checked = Checked(driver, driver.hear_nonsense)
    for chunk in chunks:
        checked.data_received(chunk)
    assert driver.heard == chunks[:-1]
    assert driver.nonsense == 1


def test_what_has_no_end_does_not_reach_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capacity_adapters.engines.oracle.packets.MOST_BYTES", 1000)
    driver = Driver()
    checked = Checked(driver, driver.hear_nonsense)
    checked.data_received(narrow(1000))
    checked.data_received(narrow(8))
    assert driver.heard == [narrow(1000)]
    assert driver.nonsense == 1


@pytest.mark.timeout(30, method="signal")
@pytest.mark.parametrize(
    "words",
    [accepting(sdu=2**32 - 1), bytes(8), narrow(4), b"\0\1\0\0" + bytes(20), accepting(sdu=0)],
)
def test_no_packet_stops_or_fills_the_process(words: bytes) -> None:
    with listening(_saying(words)) as port:
        started = time.monotonic()
        assert refusal(port_instance("oracle", port), deadline=1.0) == "protocol"
        assert time.monotonic() - started < 1.0 + GRACE


def _saying(words: bytes) -> Behave:
    def behave(peer: socket.socket, done: threading.Event) -> None:
        peer.recv(4096)
        peer.sendall(words)
        done.wait()

    return behave
