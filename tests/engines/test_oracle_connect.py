"""Connecting to Oracle: our listener stub and the real driver, from the socket to the reason."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import oracledb
import pytest
from oracledb import errors as driver_errors
from tests import tns
from tests.certificates import Certificates, make_certificates
from tests.faults import listeners
from tests.faults.listeners import Behave, listening
from tests.servers import HOST
from tests.targets import coordinator_of, port_instance, refusal

from capacity_adapters.engines import TargetPolicy
from capacity_adapters.engines.engine import classify
from capacity_adapters.engines.oracle import ENGINE
from capacity_adapters.engines.oracle.errors import CAUSES, DPY, ORA
from capacity_core.messages import CATALOGUE
from capacity_core.model import Failure, Instance, Reason, Tls

pytestmark = pytest.mark.unit

SOON = TargetPolicy(connect_deadline=0.6)
GRACE = 0.5

Listener = Callable[[], AbstractContextManager[int]]


def at(port: int, service: str | None = "shop.example", **changes: Any) -> Instance:
    return port_instance("oracle", port, database_name=service, **changes)


def failure(instance: Instance) -> Failure:
    coordinator = coordinator_of(instance)
    try:
        assert not coordinator.connect()
        assert coordinator.failure is not None
        return coordinator.failure
    finally:
        coordinator.disconnect()


@pytest.mark.parametrize(
    ("listener", "tls", "reason"),
    [
        pytest.param(listener, tls, reason, id=f"{name}-{tls}")
        for name, listener, tls, reason in [
            ("closed", listeners.closed, "prefer", "refused"),
            ("silent", lambda: listening(listeners.silent), "prefer", "timeout"),
            ("silent", lambda: listening(listeners.silent), "require", "timeout"),
            ("garbage", lambda: listening(listeners.garbage), "prefer", "protocol"),
            ("garbage", lambda: listening(listeners.garbage), "require", "tls"),
            ("closer", lambda: listening(listeners.closer), "prefer", "connection_lost"),
            ("reset", lambda: listening(listeners.reset), "prefer", "connection_lost"),
            ("http", lambda: listening(listeners.http), "prefer", "protocol"),
            (
                "drip",
                lambda: listening(listeners.dripping(listeners.TNS_WORDS)),
                "prefer",
                "timeout",
            ),
            ("backlog", listeners.full_backlog, "prefer", "timeout"),
        ]
    ],
)
def test_a_misbehaving_peer_ends_in_time_with_its_reason(
    listener: Listener, tls: str, reason: str
) -> None:
    with listener() as port:
        started = time.monotonic()
        told = refusal(at(port, tls=Tls(tls)), deadline=20.0, policy=SOON)
        elapsed = time.monotonic() - started
    assert told == reason
    assert elapsed < 0.6 + GRACE


@pytest.mark.parametrize(
    "behave", [listeners.silent, listeners.dripping(listeners.TNS_WORDS), listeners.closer]
)
def test_bad_peers_leave_neither_thread_nor_descriptor(behave: Behave) -> None:
    policy = TargetPolicy(connect_deadline=0.03)
    with listening(behave) as port:
        refusal(at(port), policy=policy)
        threads, descriptors = _threads(), _descriptors()
        for _ in range(40):
            refusal(at(port), policy=policy)
        assert _threads() == threads
    assert _descriptors() <= descriptors


def _threads() -> int:
    return sum(thread.name == "oracle" for thread in threading.enumerate())


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# What a listener can refuse with, as far as our table knows it.
LISTENERS_CODES = [code for code in ORA if 12000 < code < 13000]


@pytest.mark.parametrize(
    "code", [pytest.param(code, id=f"stub-ORA-{code:05}") for code in LISTENERS_CODES]
)
def test_a_listeners_refusal_has_its_reason(code: int) -> None:
    with listening(tns.refusing(code)) as port:
        told = failure(at(port))
    assert told.reason is ORA[code]
    assert (told.hint.key == "hint.connection_lost.starting") == (code == 12528)


def test_a_refusal_that_no_table_knows_is_other() -> None:
    with listening(tns.refusing(12999)) as port:
        assert refusal(at(port)) == "other"


def test_a_server_before_12_1_is_too_old_and_told_what_is_needed() -> None:
    with listening(tns.too_old()) as port:
        told = failure(at(port))
    assert told.reason is Reason.UNSUPPORTED_VERSION
    assert told.hint.params["least"] == "12.1"


def server_error(code: int) -> oracledb.Error:
    """Make what the driver raises for a server's error: its own way from a message to a class."""
    made = driver_errors._Error(f"ORA-{code:05}: whatever it says", code=code)
    error: oracledb.Error = made.exc_type(made)
    return error


def driver_error(number: int) -> oracledb.Error:
    made = driver_errors._Error(f"DPY-{number:04}: whatever it says")
    error: oracledb.Error = made.exc_type(made)
    return error


@pytest.mark.parametrize(
    "code", [pytest.param(code, id=f"documented-ORA-{code:05}") for code in ORA]
)
def test_a_servers_code_has_its_reason(code: int) -> None:
    assert classify(server_error(code), ENGINE).reason is ORA[code]


@pytest.mark.parametrize(
    "number", [pytest.param(number, id=f"documented-DPY-{number}") for number in DPY]
)
def test_a_drivers_code_has_its_reason_under_the_error_that_wraps_it(number: int) -> None:
    outer = driver_error(6005)
    outer.__cause__ = driver_error(number)
    assert classify(outer, ENGINE).reason is DPY[number]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (driver_error(5004), "protocol"),
        (driver_error(4999), "other"),
        (oracledb.DatabaseError(), "other"),
        (oracledb.DatabaseError("ORA-01017 in mere words"), "other"),
        (IndexError(), "protocol"),
        (ssl.SSLCertVerificationError(), "tls"),
        (socket.gaierror(), "name_resolution"),
        (TimeoutError(), "timeout"),
        (server_error(600), "connection_lost"),
        (server_error(1555), "other"),
    ],
    ids=str,
)
def test_whatever_else_is_raised_has_its_reason(error: Exception, reason: str) -> None:
    assert classify(error, ENGINE).reason == reason
    assert isinstance(error, ENGINE.errors)


CURES = {
    1045: 'GRANT CREATE SESSION TO "READER"',
    1035: 'GRANT RESTRICTED SESSION TO "READER"',
    28000: 'ALTER USER "READER" ACCOUNT UNLOCK',
    28001: 'ALTER USER "READER" IDENTIFIED BY "a new password"',
}


@pytest.mark.parametrize("code", [pytest.param(code, id=f"stub-ORA-{code:05}") for code in CURES])
def test_what_cures_a_login_is_told_with_its_name(code: int) -> None:
    with listening(tns.refusing(code)) as port:
        told = failure(at(port))
    cure = told.hint.params["cure"]
    assert getattr(cure, "params", {}) == {"sql": CURES[code]}
    assert told.reason is ORA[code]


@pytest.mark.parametrize("code", CAUSES)
def test_a_known_cause_has_the_reason_of_its_code_and_a_hint(code: int) -> None:
    assert CAUSES[code].reason is ORA[code]
    assert CAUSES[code].failure().hint.key in CATALOGUE


def test_a_database_that_is_not_open_is_told_so() -> None:
    assert classify(server_error(1109), ENGINE).hint.key == "outcome.offline"


def test_one_login_is_one_connection() -> None:
    """A second try with a wrong password would bring a lock-out nearer."""
    heard = tns.Heard()
    with listening(tns.refusing(1017, heard)) as port:
        assert refusal(at(port)) == "auth_failed"
    assert len(heard.packets) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sales.eu.example.com", "(SERVICE_NAME=sales.eu.example.com)"),
        ("g1234_shop_high.adb.oraclecloud.com", "(SERVICE_NAME=g1234_shop_high.adb."),
        ("sid:ORCL", "(SID=ORCL)"),
        ("SID:orcl$1", "(SID=orcl$1)"),
        (None, "(CONNECT_DATA=(CID="),
    ],
)
def test_the_database_name_is_a_service_or_a_sid(name: str | None, said: str) -> None:
    heard = tns.Heard()
    with listening(tns.refusing(12514, heard)) as port:
        assert refusal(at(port, name)) == "database_missing"
    assert said in heard.text()


@pytest.mark.parametrize(
    "name",
    [
        "x)(ADDRESS=(PROTOCOL=tcp)(HOST=evil)(PORT=1)",
        "x)(SECURITY=(SSL_SERVER_DN_MATCH=OFF)",
        "a b",
        "x\n",
        'x"',
        "sid:",
        "sid:a)(b",
        "x" * 129,
        "日本=",
    ],
)
def test_a_value_cannot_add_to_the_descriptor(name: str) -> None:
    heard = tns.Heard()
    with listening(tns.refusing(12514, heard)) as port:
        assert refusal(at(port, name)) == "database_missing"
    assert heard.packets == []


@pytest.mark.parametrize("forbidden", ["169.254.169.254", "224.0.0.1", "0.0.0.0"])  # noqa: S104 -- refused
def test_a_redirect_leads_to_allowed_addresses_only(forbidden: str) -> None:
    with listening(tns.redirecting(forbidden, 80)) as port:
        assert refusal(at(port)) == "address_refused"


def test_a_redirect_stays_inside_the_networks() -> None:
    policy = TargetPolicy(networks=(ip_network("127.0.0.1/32"),))
    heard = tns.Heard()
    with listening(tns.refusing(12519, heard)) as other:
        with listening(tns.redirecting("127.0.0.2", other)) as port:
            assert refusal(at(port), policy=policy) == "address_refused"
        with listening(tns.redirecting(HOST, other)) as port:
            assert refusal(at(port), policy=policy) == "too_many_connections"
    assert len(heard.packets) == 1


def test_redirects_in_a_circle_come_to_an_end() -> None:
    heard = tns.Heard()
    ring: list[int] = []

    def around(peer: socket.socket, done: threading.Event) -> None:
        tns.redirecting(HOST, ring[0], heard)(peer, done)

    with listening(around) as port:
        ring.append(port)
        assert refusal(at(port), policy=SOON) in {"connection_lost", "timeout"}
    assert 1 < len(heard.packets) < 10


def test_an_address_outside_the_networks_is_not_connected_to() -> None:
    heard = tns.Heard()
    policy = TargetPolicy(networks=(ip_network("10.0.0.0/8"),))
    with listening(tns.refusing(12514, heard)) as port:
        assert refusal(at(port), policy=policy) == "address_refused"
    assert heard.packets == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tns"), "nobody")


@pytest.fixture
def tcps(certificates: Certificates) -> Iterator[int]:
    """Lend a listener behind TLS. Who gets to hear its refusal got through TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    plain = tns.refusing(12519)

    def behave(peer: socket.socket, done: threading.Event) -> None:
        with context.wrap_socket(peer, server_side=True) as secured:
            plain(secured, done)

    with listening(behave) as port:
        yield port


@pytest.mark.parametrize(
    ("mode", "authority", "host", "reason"),
    [
        ("verify-full", "ca", "localhost", "too_many_connections"),
        ("verify-full", "ca", HOST, "tls"),
        ("verify-full", "other_ca", "localhost", "tls"),
        ("verify-full", None, "localhost", "tls"),
        ("verify-ca", "ca", HOST, "too_many_connections"),
        ("verify-ca", "other_ca", HOST, "tls"),
        ("require", "other_ca", HOST, "too_many_connections"),
        ("require", None, HOST, "too_many_connections"),
    ],
)
def test_a_mode_verifies_what_it_says(
    tcps: int,
    certificates: Certificates,
    mode: str,
    authority: str | None,
    host: str,
    reason: str,
) -> None:
    ca = str(getattr(certificates, authority)) if authority else None
    assert refusal(at(tcps, host=host, tls=Tls(mode, ca))) == reason


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "require"])
def test_no_mode_that_wants_tls_goes_without(mode: str, certificates: Certificates) -> None:
    heard = tns.Heard()
    with listening(tns.refusing(12514, heard)) as port:
        tls = Tls(mode, str(certificates.ca))
        assert refusal(at(port, host="localhost", tls=tls)) == "tls"
    assert b"CONNECT_DATA" not in b"".join(heard.packets)


@pytest.mark.parametrize("mode", ["prefer", "insecure"])
def test_a_plain_mode_is_plain_tcp(mode: str) -> None:
    heard = tns.Heard()
    with listening(tns.refusing(12519, heard)) as port:
        assert refusal(at(port, tls=Tls(mode))) == "too_many_connections"
    assert "(PROTOCOL=tcp)" in heard.text()


def test_a_client_certificate_that_is_none_is_told_as_such(
    tcps: int, certificates: Certificates, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing")
    tls = Tls("require", None, str(certificates.certificate), missing)
    assert refusal(at(tcps, tls=tls)) == "credential_unavailable"
