"""Peers that begin as the engine would and go on with nonsense: ended in time, with a reason."""

import random
import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence

import pytest
from attrs import frozen
from tests.faults.floods import POSTGRES_HEAD, POSTGRES_LOGIN
from tests.faults.listeners import Behave, listening
from tests.faults.matrix import GRACE, GREETINGS, conversation, network_engines
from tests.targets import coordinator_of, port_instance

from capacity_core.model import Reason, Tls

pytestmark = pytest.mark.unit

DEADLINE = 0.2
SEEDS = range(40)  # of each engine
# Words that lead further into a conversation than the first greeting.
FURTHER: Mapping[str, Sequence[bytes]] = {
    "postgresql": [POSTGRES_LOGIN + POSTGRES_HEAD],
    "oracle": [
        struct.pack("!HHBBH", 48, 0, 2, 0, 0)
        + struct.pack("!HHHH", 319, 0, 8192, 8192)
        + bytes(32),
        struct.pack("!HHBBH", 48, 0, 5, 0, 0) + bytes(40),
    ],
}


@frozen
class Hostile:
    """What one peer does; the same for the same seed."""

    words: bytes
    hears_first: bool
    hangs: bool
    tls: str

    def behave(self) -> Behave:
        def behave(peer: socket.socket, done: threading.Event) -> None:
            if self.hears_first:
                peer.recv(4096)
            peer.sendall(self.words)
            if self.hangs:
                done.wait()

        return behave


def hostile(db_type: str, seed: int) -> Hostile:
    chance = random.Random(f"{db_type} {seed}")  # noqa: S311 -- the same every time
    words = chance.choice([GREETINGS[db_type], *FURTHER.get(db_type, ())])
    changed = bytearray(words)
    for _ in range(chance.randrange(1, 6)):
        changed[chance.randrange(len(changed))] = chance.choice([0, 1, 255, chance.randrange(256)])
    return Hostile(
        chance.choice(
            [
                chance.randbytes(chance.randrange(1, 200)),
                bytes([chance.choice([0, 1, 4, 255])]) * chance.randrange(1, 300),
                words * chance.randrange(1, 4) + bytes(chance.randrange(50)),
                bytes(changed),
            ]
        ),
        hears_first=db_type != "mysql" and chance.random() < 0.5,  # there the server speaks first
        hangs=chance.random() < 0.3,
        tls=chance.choice(["insecure", "prefer", "require"]),
    )


@pytest.mark.parametrize("db_type", network_engines())
def test_nonsense_ends_in_time_with_a_reason_and_hurts_nobody(db_type: str) -> None:
    for seed in SEEDS:
        peer = hostile(db_type, seed)
        with listening(peer.behave()) as port:
            instance = port_instance(db_type, port, tls=Tls(peer.tls))
            started = time.monotonic()
            told = conversation(coordinator_of(instance, deadline=DEADLINE))
            elapsed = time.monotonic() - started
        assert told in set(Reason), (seed, told)
        assert elapsed < DEADLINE + GRACE, (seed, told)
