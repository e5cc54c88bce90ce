"""A client certificate that cannot be used is told before anybody is connected to."""

import getpass
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from tests.certificates import Identity, make_certificates
from tests.faults.listeners import closer, listening
from tests.targets import coordinator_of, port_instance

from capacity_adapters.engines import ENGINES
from capacity_adapters.engines.identities import identity_of
from capacity_core.messages import Language, render
from capacity_core.model import CollectFailed, Reason, Tls, TlsMode

pytestmark = pytest.mark.unit
NETWORK_ENGINES = [name for name, facts in ENGINES.items() if facts.default_port]


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return make_certificates(tmp_path, getpass.getuser()).client


def tls_of(identity: Identity, mode: TlsMode = TlsMode.VERIFY_FULL) -> Tls:
    return Tls(mode, None, str(identity.certificate), str(identity.key))


def foreign_key(identity: Identity) -> None:
    identity.key.write_bytes(identity.key.with_name("foreign.key").read_bytes())


def encrypted_key(identity: Identity) -> None:
    key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    hidden = serialization.BestAvailableEncryption(b"unknown to us")
    identity.key.write_bytes(key.private_bytes(pem, form, hidden))


def pipe_for_a_key(identity: Identity) -> None:
    identity.key.unlink()
    os.mkfifo(identity.key)


def folder_for_a_key(identity: Identity) -> None:
    identity.key.unlink()
    identity.key.mkdir()


SPOILT: dict[str, tuple[Callable[[Identity], object], str]] = {
    "no certificate": (
        lambda each: each.certificate.unlink(),
        "hint.credential_unavailable.client_file",
    ),
    "no key": (lambda each: each.key.unlink(), "hint.credential_unavailable.client_file"),
    "a pipe": (pipe_for_a_key, "hint.credential_unavailable.client_file"),
    "a folder": (folder_for_a_key, "hint.credential_unavailable.client_file"),
    "an open key": (
        lambda each: each.key.chmod(0o644),
        "hint.credential_unavailable.client_key_open",
    ),
    "a key of others": (
        lambda each: each.key.chmod(0o660),
        "hint.credential_unavailable.client_key_open",
    ),
    "nonsense": (
        lambda each: each.certificate.write_text("nonsense"),
        "hint.credential_unavailable.client_certificate",
    ),
    "another key": (foreign_key, "hint.credential_unavailable.client_certificate"),
    "an encrypted key": (encrypted_key, "hint.credential_unavailable.client_certificate"),
}


@pytest.mark.parametrize("db_type", NETWORK_ENGINES)
@pytest.mark.parametrize("spoilt", SPOILT)
def test_what_cannot_be_used_is_told(identity: Identity, spoilt: str, db_type: str) -> None:
    spoil, hint = SPOILT[spoilt]
    spoil(identity)
    with listening(closer) as port:
        for mode in (TlsMode.VERIFY_FULL, TlsMode.REQUIRE):
            coordinator = coordinator_of(port_instance(db_type, port, tls=tls_of(identity, mode)))
            assert not coordinator.connect()
            assert coordinator.failure is not None
            assert coordinator.failure.reason is Reason.CREDENTIAL_UNAVAILABLE
            assert coordinator.failure.hint.key == hint


def test_a_pair_that_was_replaced_is_looked_at_anew(identity: Identity) -> None:
    before = identity_of(tls_of(identity))
    assert before == identity_of(tls_of(identity))
    foreign_key(identity)
    with pytest.raises(CollectFailed):
        identity_of(tls_of(identity))


def test_root_may_share_its_key_with_a_group_that_only_reads(identity: Identity) -> None:
    identity.key.chmod(0o640)
    if os.geteuid() == 0:
        assert identity_of(tls_of(identity))
        return
    with pytest.raises(CollectFailed):
        identity_of(tls_of(identity))


def test_insecure_looks_at_no_file() -> None:
    assert identity_of(Tls(TlsMode.INSECURE, None, "/missing", "/missing")) == ()


def unreadable(path: Path) -> None:
    path.touch(mode=0)


NO_AUTHORITIES: dict[str, Callable[[Path], object]] = {
    "missing": lambda _: None,
    "nonsense": lambda path: path.write_text("nonsense"),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "closed": unreadable,
}


@pytest.mark.parametrize("db_type", NETWORK_ENGINES)
@pytest.mark.parametrize("kind", NO_AUTHORITIES)
def test_authorities_that_cannot_be_read_are_told_with_their_path(
    tmp_path: Path, kind: str, db_type: str
) -> None:
    path = tmp_path / "ca.pem"
    NO_AUTHORITIES[kind](path)
    with listening(closer) as port:
        for mode in (TlsMode.VERIFY_FULL, TlsMode.VERIFY_CA):
            tls = Tls(mode, str(path))
            coordinator = coordinator_of(port_instance(db_type, port, tls=tls))
            assert not coordinator.connect()
            assert coordinator.failure is not None
            assert coordinator.failure.reason is Reason.TLS
            assert str(path) in render(coordinator.failure.hint, Language.EN)
