"""TLS to real servers: what each mode demands of the certificate."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from tests.certificates import Certificates, make_certificates
from tests.servers import Server, start_mariadb, start_postgres
from tests.targets import connected, coordinator_of, refusal, server_instance

from capacity_core.model import Instance, NetworkAddress, Reason, Tls, TlsMode

pytestmark = pytest.mark.live


@frozen
class Encrypted:
    """A server that offers TLS, and the authorities to trust or not."""

    server: Server
    made: Certificates

    def instance(self, mode: TlsMode, ca: Path | None = None, host: str = "localhost") -> Instance:
        address = NetworkAddress(host, self.server.port)
        tls = Tls(mode, str(ca) if ca else None)
        return evolve(server_instance(self.server), address=address, tls=tls)


def postgres_options(made: Certificates) -> tuple[str, ...]:
    settings = {"ssl": "on", "ssl_cert_file": made.certificate, "ssl_key_file": made.key}
    return tuple(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))


def mariadb_options(made: Certificates) -> tuple[str, ...]:
    return (f"--ssl-ca={made.ca}", f"--ssl-cert={made.certificate}", f"--ssl-key={made.key}")


STARTS: dict[str, tuple[Any, Any, str]] = {
    "postgres": (start_postgres, postgres_options, "postgres"),
    "mariadb": (start_mariadb, mariadb_options, "mysql"),
}


@pytest.fixture(scope="module", params=list(STARTS))
def encrypted(request: pytest.FixtureRequest) -> Iterator[Encrypted]:
    start, options, account = STARTS[request.param]
    folder = Path(tempfile.mkdtemp(prefix="capacity-"))
    try:
        made = make_certificates(folder, account)
        server = start(folder, options=options(made))
        try:
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


def test_the_right_authority_and_name_are_accepted(encrypted: Encrypted) -> None:
    assert is_encrypted(encrypted.instance(TlsMode.VERIFY_FULL, encrypted.made.ca))


def test_a_foreign_authority_is_refused(encrypted: Encrypted) -> None:
    for mode in (TlsMode.VERIFY_FULL, TlsMode.VERIFY_CA):
        assert refusal(encrypted.instance(mode, encrypted.made.other_ca)) == Reason.TLS


def test_the_system_s_authorities_do_not_know_ours(encrypted: Encrypted) -> None:
    assert refusal(encrypted.instance(TlsMode.VERIFY_FULL)) == Reason.TLS


def test_a_wrong_name_is_refused_by_verify_full_alone(encrypted: Encrypted) -> None:
    by_address = {
        mode: encrypted.instance(mode, encrypted.made.ca, "127.0.0.1")
        for mode in (TlsMode.VERIFY_FULL, TlsMode.VERIFY_CA)
    }
    assert refusal(by_address[TlsMode.VERIFY_FULL]) == Reason.TLS
    assert is_encrypted(by_address[TlsMode.VERIFY_CA])


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


def test_require_and_prefer_encrypt_and_insecure_does_not(encrypted: Encrypted) -> None:
    assert is_encrypted(encrypted.instance(TlsMode.REQUIRE))
    assert is_encrypted(encrypted.instance(TlsMode.PREFER))
    assert not is_encrypted(encrypted.instance(TlsMode.INSECURE))


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_a_server_without_tls_is_refused_unless_it_is_merely_preferred(
    request: pytest.FixtureRequest, engine: str
) -> None:
    instance = server_instance(request.getfixturevalue(engine))
    for mode in (TlsMode.REQUIRE, TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL):
        assert refusal(evolve(instance, tls=Tls(mode))) == Reason.TLS
    assert not is_encrypted(evolve(instance, tls=Tls(TlsMode.PREFER)))
