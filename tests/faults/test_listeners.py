"""Peers that misbehave at connect: ended in time, with the right reason, and nothing leaks."""

import socket
import threading

import pytest
from tests.faults import listeners
from tests.faults.listeners import listening
from tests.faults.matrix import expected, faults_of, holdings, left_behind, meet, network_engines
from tests.targets import port_instance, refusal

from capacity_core.model import Tls

CONNECT_DEADLINE = 0.6
ENGINES = network_engines()


@pytest.mark.parametrize(
    ("db_type", "fault"), [(name, fault) for name in ENGINES for fault in faults_of(name)]
)
def test_a_misbehaving_peer_ends_in_time_with_its_reason(db_type: str, fault: str) -> None:
    seen = meet(db_type, fault, seconds=CONNECT_DEADLINE)
    assert seen.fits(expected(db_type, fault)), seen


@pytest.mark.parametrize(
    ("db_type", "behave", "tls", "reason"),
    [
        ("postgresql", listeners.garbage, "insecure", "protocol"),
        (
            "postgresql",
            listeners.dripping(listeners.POSTGRES_WORDS),
            "require",
            "tls",
        ),  # it says N: no TLS here
        ("mysql", listeners.garbage, "insecure", "protocol"),
        ("mysql", listeners.saying(listeners.MYSQL_WORDS), "require", "tls"),
    ],
)
def test_the_tls_mode_decides_what_a_peer_may_say(
    db_type: str, behave: listeners.Behave, tls: str, reason: str
) -> None:
    with listening(behave) as port:
        assert refusal(port_instance(db_type, port, tls=Tls(tls))) == reason


@pytest.mark.parametrize("tls", ["prefer", "insecure"])
@pytest.mark.parametrize("plugin", ["", "mysql_clear_password", "dialog"])
def test_nobody_unknown_is_told_the_password_itself(plugin: str, tls: str) -> None:
    heard: list[bytes] = []
    asking = (
        listeners.asking_mysql(plugin.encode(), heard)
        if plugin
        else listeners.asking_postgres(heard)
    )
    with listening(asking) as port:
        instance = port_instance("mysql" if plugin else "postgresql", port, tls=Tls(tls))
        assert refusal(instance, "hunter2") == "tls"
    assert set(heard) == {b""}


@pytest.mark.parametrize("fault", ["silent", "drip", "garbage"])
@pytest.mark.parametrize("db_type", ENGINES)
def test_a_hundred_bad_peers_leak_neither_thread_nor_descriptor(db_type: str, fault: str) -> None:
    meet(db_type, fault, seconds=0.02)
    seen = meet(db_type, fault, seconds=0.02, rounds=100)
    assert not seen.leaks


def test_what_stays_behind_is_seen() -> None:
    before, forgotten, done = holdings(), socket.socket(), threading.Event()
    thread = threading.Thread(target=done.wait, name="forgotten")
    thread.start()
    try:
        assert left_behind(before) == ("forgotten", "socket")
    finally:
        done.set()
        thread.join()
        forgotten.close()
    assert not left_behind(before)
