"""Peers that misbehave at connect: ended in time, with the right reason, and nothing leaks."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.faults import listeners
from tests.faults.listeners import listening
from tests.targets import port_instance, refusal

from capacity_adapters.engines import TargetPolicy
from capacity_core.model import Tls

CONNECT_DEADLINE = 0.6
GRACE = 0.5  # what a conversation may take beyond its deadline

Listener = Callable[[], AbstractContextManager[int]]
CASES: list[tuple[str, str, Listener, str]] = [
    ("postgresql", "closed", listeners.closed, "refused"),
    ("postgresql", "silent", lambda: listening(listeners.silent), "timeout"),
    # SSH's first letter says "TLS it is" in PostgreSQL, and the rest a record that never ends.
    ("postgresql", "garbage", lambda: listening(listeners.garbage), "timeout"),
    ("postgresql", "closer", lambda: listening(listeners.closer), "connection_lost"),
    ("postgresql", "reset", lambda: listening(listeners.reset), "connection_lost"),
    ("postgresql", "http", lambda: listening(listeners.http), "protocol"),
    ("postgresql", "drip", lambda: listening(listeners.drip_postgres), "timeout"),
    ("postgresql", "backlog", listeners.full_backlog, "timeout"),
    ("mysql", "closed", listeners.closed, "refused"),
    ("mysql", "silent", lambda: listening(listeners.silent), "timeout"),
    ("mysql", "garbage", lambda: listening(listeners.garbage), "protocol"),
    ("mysql", "closer", lambda: listening(listeners.closer), "connection_lost"),
    ("mysql", "reset", lambda: listening(listeners.reset), "connection_lost"),
    # Who speaks first? The driver waits for a greeting, the web server for a request.
    ("mysql", "http", lambda: listening(listeners.http), "timeout"),
    ("mysql", "drip", lambda: listening(listeners.drip_mysql), "timeout"),
    ("mysql", "backlog", listeners.full_backlog, "timeout"),
]


@pytest.mark.parametrize(
    ("db_type", "listener", "reason"),
    [pytest.param(case[0], case[2], case[3], id="-".join(case[:2])) for case in CASES],
)
def test_a_misbehaving_peer_ends_in_time_with_its_reason(
    db_type: str, listener: Listener, reason: str
) -> None:
    with listener() as port:
        started = time.monotonic()
        told = refusal(
            port_instance(db_type, port),
            deadline=20.0,
            policy=TargetPolicy(connect_deadline=CONNECT_DEADLINE),
        )
        elapsed = time.monotonic() - started
    assert told == reason
    assert elapsed < CONNECT_DEADLINE + GRACE


@pytest.mark.parametrize(
    ("db_type", "behave", "tls", "reason"),
    [
        ("postgresql", listeners.garbage, "insecure", "protocol"),
        ("postgresql", listeners.drip_postgres, "require", "tls"),  # it says N: no TLS here
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
    assert heard == [b""]


@pytest.mark.parametrize("db_type", ["postgresql", "mysql"])
@pytest.mark.parametrize("behave", [listeners.silent, listeners.drip_mysql, listeners.garbage])
def test_a_hundred_bad_peers_leak_neither_thread_nor_descriptor(
    db_type: str, behave: listeners.Behave
) -> None:
    policy = TargetPolicy(connect_deadline=0.02)
    with listening(behave) as port:
        instance = port_instance(db_type, port)
        refusal(instance, policy=policy)
        threads, descriptors = our_threads(), open_descriptors()
        for _ in range(110):
            refusal(instance, policy=policy)
        assert our_threads() == threads
    assert open_descriptors() <= descriptors


def our_threads() -> list[str]:
    names = (thread.name for thread in threading.enumerate())
    return sorted(name for name in names if name.startswith(("deadline", "sizes", "look-up")))


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
