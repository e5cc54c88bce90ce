"""Whatever a peer does, no password shows in a log, a failure or a repr."""

import logging
import socket
import struct
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.faults import listeners
from tests.faults.listeners import Behave, listening
from tests.rogues import CLEAR, MD5, SASL, Rogue
from tests.targets import port_instance

from capacity_adapters.engines import ENGINES, TargetPolicy, coordinators
from capacity_adapters.engines.engine import Target
from capacity_core.messages import Language, render
from capacity_core.model import Secret, Tls, TlsMode

pytestmark = pytest.mark.unit

NETWORK_ENGINES = [name for name, facts in ENGINES.items() if facts.default_port]
# Long enough to be in no text by chance; quotes and escapes are spelled in ways of their own.
SECRETS = st.builds(
    "hunter2{}{}".format,
    st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=4, max_size=30),
    st.sampled_from(["", "'", '"', "\\", "'\"", "\n", "密码", "%s", "{0}"]),
)


def echo(peer: socket.socket, _done: threading.Event) -> None:
    peer.settimeout(0.2)
    while said := peer.recv(4096):
        peer.sendall(said)


def telling(words: Callable[[bytes], bytes]) -> Callable[[str], Behave]:
    return lambda secret: listeners.saying(words(secret.encode()))


def mysql_error(secret: bytes) -> bytes:
    body = b"\xff" + struct.pack("<H", 1045) + b"#28000denied: " + secret
    return struct.pack("<I", len(body)) + body


def mysql_greeting(secret: bytes) -> bytes:
    """An unknown plugin, named like the password."""
    body = b"\x0a8.0.36\0" + bytes(4) + b"12345678\0" + struct.pack("<HBHH", 0x8201, 33, 2, 8)
    body += bytes([21]) + bytes(10) + b"123456789012\0" + secret + b"\0"
    return struct.pack("<I", len(body)) + body


def postgres_error(secret: bytes) -> bytes:
    body = b"SFATAL\0VFATAL\0C28P01\0Mdenied: " + secret + b"\0\0"
    return b"N" + b"E" + struct.pack("!I", len(body) + 4) + body


PEERS: dict[str, Callable[[str], Behave]] = {
    "closer": lambda _: listeners.closer,
    "garbage": lambda _: listeners.garbage,
    "http": lambda _: listeners.http,
    "echo": lambda _: echo,
    "the secret": telling(lambda secret: secret),
    "mysql error": telling(mysql_error),
    "mysql greeting": telling(mysql_greeting),
    "postgres error": telling(postgres_error),
    "postgres clear": lambda _: Rogue().postgres((CLEAR,)),
    "postgres md5": lambda _: Rogue().postgres((MD5, SASL)),
    "mysql clear": lambda _: Rogue().mysql("mysql_native_password", "mysql_clear_password"),
    "mysql sha2": lambda _: Rogue().mysql("caching_sha2_password"),
}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("db_type", NETWORK_ENGINES)
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(secret=SECRETS, mode=st.sampled_from(TlsMode))
def test_no_failure_tells_the_password(
    caplog: pytest.LogCaptureFixture, peer: str, db_type: str, secret: str, mode: TlsMode
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    policy = TargetPolicy(connect_deadline=0.2)
    prepare = coordinators(policy, lambda _instance: Secret(secret))
    with listening(PEERS[peer](secret)) as port:
        instance = port_instance(db_type, port, username="app", tls=Tls(mode))
        coordinator = prepare(instance, deadline=0.2)
        assert not coordinator.connect()
    assert coordinator.failure is not None
    formatter = logging.Formatter()
    told = [formatter.format(record) for record in caplog.records]
    told += [render(coordinator.failure.hint, language) for language in Language]
    told += [repr(coordinator), repr(Target(instance, Secret(secret), policy))]
    assert not [each for each in told if "hunter2" in each]
