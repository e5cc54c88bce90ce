"""TLS to real servers: what each mode demands of the certificate."""

import os
import re
import shutil
import socket
import ssl
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from tests.certificates import Certificates, Identity, make_certificates
from tests.servers import HOST, PG_HBA, Server, start_mariadb, start_postgres
from tests.targets import (
    connected,
    coordinator_of,
    mariadb_admin,
    postgres_admin,
    refusal,
    server_instance,
)

from capacity_core.model import Instance, NetworkAddress, Reason, Tls, TlsMode

pytestmark = pytest.mark.live


@frozen
class Encrypted:
    """A server that offers TLS, and the authorities to trust or not."""

    server: Server
    made: Certificates

    def instance(
        self,
        mode: TlsMode,
        ca: Path | None = None,
        host: str = "localhost",
        *,
        identity: Identity | None = None,
        **changes: Any,
    ) -> Instance:
        address = NetworkAddress(host, self.server.port)
        files = (identity.certificate, identity.key) if identity else (None, None)
        tls = Tls(mode, *(str(path) if path else None for path in (ca, *files)))
        return evolve(server_instance(self.server), address=address, tls=tls, **changes)

    @contextmanager
    def showing(self, certificate: Path) -> Iterator[None]:
        """Have the server show that certificate instead of its good one."""
        good = self.made.certificate.read_bytes()
        self._show(certificate.read_bytes())
        try:
            yield
        finally:
            self._show(good)

    def _show(self, certificate: bytes) -> None:
        self.made.certificate.write_bytes(certificate)
        if self.server.scheme == "mysql":
            with mariadb_admin(self.server) as cursor:
                cursor.execute("FLUSH SSL")
            return
        with postgres_admin(self.server) as connection:
            connection.execute("SELECT pg_reload_conf()")
        wanted = ssl.PEM_cert_to_DER_cert(certificate.decode())
        for _ in range(200):  # the server's main process reads it when it comes to it
            if shown_by_postgres(self.server) == wanted:
                return
            time.sleep(0.05)
        raise RuntimeError("the server shows another certificate")


def shown_by_postgres(server: Server) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((server.host, server.port), 5.0) as plain:
        plain.sendall(struct.pack("!II", 8, 80877103))
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain) as peer:
            return peer.getpeercert(binary_form=True)


# Whoever has a certificate of our authority comes in as `app` with it alone.
PG_HBA_TLS = f"""\
hostssl all app,other {HOST}/32 cert
hostssl all proven {HOST}/32 scram-sha-256 clientcert=verify-ca
{PG_HBA}"""


def postgres_options(made: Certificates) -> tuple[str, ...]:
    hba = made.ca.with_name("hba")
    hba.write_text(PG_HBA_TLS)
    settings = {
        "ssl": "on",
        "ssl_ca_file": made.ca,
        "ssl_cert_file": made.certificate,
        "ssl_key_file": made.key,
        "hba_file": hba,
    }
    return tuple(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))


def mariadb_options(made: Certificates) -> tuple[str, ...]:
    return (f"--ssl-ca={made.ca}", f"--ssl-cert={made.certificate}", f"--ssl-key={made.key}")


STARTS: dict[str, tuple[Any, Any, str]] = {
    "postgres": (start_postgres, postgres_options, "postgres"),
    "mariadb": (start_mariadb, mariadb_options, "mysql"),
}
LOGINS: dict[str, tuple[str, ...]] = {
    "postgresql": (
        "CREATE ROLE app LOGIN; CREATE ROLE other LOGIN",
        "CREATE ROLE proven LOGIN PASSWORD 'bench'",
    ),
    "mysql": (
        f"CREATE USER app@'{HOST}' IDENTIFIED BY 'bench' REQUIRE SUBJECT '/CN=app'",
        f"CREATE USER other@'{HOST}' IDENTIFIED BY 'bench' REQUIRE SUBJECT '/CN=other'",
        f"CREATE USER proven@'{HOST}' IDENTIFIED BY 'bench' REQUIRE X509",
    ),
}


@pytest.fixture(scope="module", params=list(STARTS))
def encrypted(request: pytest.FixtureRequest) -> Iterator[Encrypted]:
    start, options, account = STARTS[request.param]
    folder = Path(tempfile.mkdtemp(prefix="capacity-"))
    try:
        made = make_certificates(folder, account)
        server = start(folder, options=options(made))
        try:
            admin = mariadb_admin if server.scheme == "mysql" else postgres_admin
            with admin(server) as session:
                for statement in LOGINS[server.scheme]:
                    session.execute(statement)
            yield Encrypted(server, made)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def is_encrypted(instance: Instance) -> bool:
    with connected(coordinator_of(instance)) as coordinator:
        conversation = coordinator._conversation  # type: ignore[attr-defined]  # a look inside
        if instance.db_type == "postgresql":
            return bool(conversation.main.connection.pgconn.ssl_in_use)
        ((_, cipher),) = conversation._ask("SHOW STATUS LIKE 'Ssl_cipher'")
        return bool(cipher)


VERIFIED = (TlsMode.VERIFY_FULL, TlsMode.VERIFY_CA)
UNVERIFIED = (TlsMode.REQUIRE, TlsMode.PREFER)
# What the server shows, and the modes that have to refuse it.
REFUSED: dict[str, tuple[TlsMode, ...]] = {
    "good": (),
    "wrong name": (TlsMode.VERIFY_FULL,),
    "expired": VERIFIED,
    "self-signed": VERIFIED,
    "wrong CA": VERIFIED,
}


@pytest.mark.parametrize("shown", REFUSED)
def test_what_a_mode_demands_of_the_certificate(encrypted: Encrypted, shown: str) -> None:
    made = encrypted.made
    ca = made.other_ca if shown == "wrong CA" else made.ca
    with encrypted.showing(made.bad.get(shown, made.certificate)):
        for mode in (*VERIFIED, *UNVERIFIED):
            instance = encrypted.instance(mode, ca)
            if mode in REFUSED[shown]:
                assert refusal(instance) == Reason.TLS, mode
            else:
                assert is_encrypted(instance), mode
        assert not is_encrypted(encrypted.instance(TlsMode.INSECURE))


def test_the_system_s_authorities_do_not_know_ours(encrypted: Encrypted) -> None:
    for mode in VERIFIED:
        assert refusal(encrypted.instance(mode)) == Reason.TLS


def test_an_address_is_not_the_name_in_the_certificate(encrypted: Encrypted) -> None:
    by_address = {
        mode: encrypted.instance(mode, encrypted.made.ca, "127.0.0.1") for mode in VERIFIED
    }
    assert refusal(by_address[TlsMode.VERIFY_FULL]) == Reason.TLS
    assert is_encrypted(by_address[TlsMode.VERIFY_CA])


@pytest.mark.parametrize("mode", [*VERIFIED, *UNVERIFIED])
@pytest.mark.parametrize("login", ["app", "proven"])
def test_a_client_certificate_is_shown_to_a_server_that_demands_one(
    encrypted: Encrypted, login: str, mode: TlsMode
) -> None:
    made = encrypted.made
    instance = encrypted.instance(mode, made.ca, identity=made.client, username=login)
    assert is_encrypted(instance)


# MariaDB says no more than that access is denied, whatever it is that the account lacks.
LACKING = {"postgresql": Reason.TLS, "mysql": Reason.AUTH_FAILED}


def test_a_server_that_demands_a_client_certificate_lets_nobody_in_without_one(
    encrypted: Encrypted,
) -> None:
    instance = encrypted.instance(TlsMode.VERIFY_FULL, encrypted.made.ca, username="proven")
    assert refusal(instance) == LACKING[instance.db_type]


def test_a_certificate_of_another_login_is_refused_by_the_server(encrypted: Encrypted) -> None:
    made = encrypted.made
    instance = encrypted.instance(
        TlsMode.VERIFY_FULL, made.ca, identity=made.client, username="other"
    )
    assert refusal(instance) == Reason.AUTH_FAILED


def test_a_certificate_of_another_authority_is_refused_by_the_server(encrypted: Encrypted) -> None:
    made = encrypted.made
    instance = encrypted.instance(
        TlsMode.VERIFY_FULL, made.ca, identity=made.foreign, username="proven"
    )
    assert refusal(instance) == Reason.TLS


def test_an_authority_that_is_not_there_is_told(encrypted: Encrypted) -> None:
    missing = encrypted.made.ca.with_name("missing")
    assert refusal(encrypted.instance(TlsMode.VERIFY_FULL, missing)) == Reason.TLS


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "no certificate"])
def test_an_authority_that_is_no_certificate_is_told_in_time(
    encrypted: Encrypted, tmp_path: Path, kind: str
) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "ca"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "no certificate":
        path.write_text("nothing of the kind")
    assert refusal(encrypted.instance(TlsMode.VERIFY_FULL, path)) == Reason.TLS


def test_an_authority_that_is_replaced_is_read_anew(encrypted: Encrypted, tmp_path: Path) -> None:
    path = tmp_path / "ca"
    path.write_bytes(encrypted.made.other_ca.read_bytes())
    assert refusal(encrypted.instance(TlsMode.VERIFY_FULL, path)) == Reason.TLS
    path.write_bytes(encrypted.made.ca.read_bytes())
    assert is_encrypted(encrypted.instance(TlsMode.VERIFY_FULL, path))


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_a_server_without_tls_is_refused_unless_it_is_merely_preferred(
    request: pytest.FixtureRequest, engine: str
) -> None:
    instance = server_instance(request.getfixturevalue(engine))
    for mode in (TlsMode.REQUIRE, TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL):
        assert refusal(evolve(instance, tls=Tls(mode))) == Reason.TLS
    for mode in (TlsMode.PREFER, TlsMode.INSECURE):
        assert not is_encrypted(evolve(instance, tls=Tls(mode)))


@pytest.mark.parametrize("mode", [*VERIFIED, *UNVERIFIED])
def test_a_refused_login_is_tried_once(encrypted: Encrypted, mode: TlsMode) -> None:
    login = f"stranger-{mode}"
    ca = encrypted.made.ca if mode in VERIFIED else None
    assert refusal(encrypted.instance(mode, ca, username=login)) == Reason.AUTH_FAILED
    log = (encrypted.server.folder / "server.log").read_text()
    refusals = re.findall(f"(?:failed|denied) for user [\"']{login}[\"']", log)
    assert len(refusals) == 1
