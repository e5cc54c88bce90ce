"""Private certificate authorities, and certificates of a server and of clients, in a folder."""

import os
import pwd
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey


@frozen
class Identity:
    """A certificate and its key."""

    certificate: Path
    key: Path


@frozen
class Certificates:
    """Paths of PEM files. The server is known as `localhost`, and by no address.

    `bad` are further certificates of the server's key: of another name, expired, self-signed.
    `client` is a client's identity, its name `app`, `foreign` one that our authority did not sign.
    """

    ca: Path
    other_ca: Path
    certificate: Path
    key: Path
    bad: Mapping[str, Path]
    client: Identity
    foreign: Identity


def make_certificates(folder: Path, account: str) -> Certificates:
    """Make them so that the account, which runs the server, may read its key."""
    signer, ca = _authority("ours")
    other_signer, other_ca = _authority("theirs")
    key = ec.generate_private_key(ec.SECP256R1())
    expired = timedelta(days=-2)
    made = Certificates(
        ca=_written(folder / "ca", _pem(ca)),
        other_ca=_written(folder / "other", _pem(other_ca)),
        certificate=_written(folder / "cert", _pem(_signed("localhost", key, signer, ca))),
        key=_written(folder / "key", _key_pem(key)),
        bad={
            "wrong name": _written(folder / "name", _pem(_signed("elsewhere", key, signer, ca))),
            "expired": _written(
                folder / "expired", _pem(_signed("localhost", key, signer, ca, expired))
            ),
            "self-signed": _written(folder / "self", _pem(_signed("localhost", key, key, None))),
        },
        client=_identity(folder / "client", signer, ca),
        foreign=_identity(folder / "foreign", other_signer, other_ca),
    )
    made.key.chmod(0o600)
    if os.geteuid() == 0:
        user = pwd.getpwnam(account)
        for path in (folder, made.key):
            os.chown(path, user.pw_uid, user.pw_gid)
    return made


def _identity(path: Path, signer: Key, ca: x509.Certificate) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _written(path, _pem(_signed("app", key, signer, ca)))
    identity = Identity(certificate, _written(path.with_suffix(".key"), _key_pem(key)))
    identity.key.chmod(0o600)
    return identity


def _signed(
    name: str,
    key: Key,
    signer: Key,
    ca: x509.Certificate | None,
    later: timedelta = timedelta(0),
) -> x509.Certificate:
    issuer = _name(name) if ca is None else ca.subject
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    builder = _builder(name, key.public_key(), issuer, later)
    return builder.add_extension(names, critical=False).sign(signer, hashes.SHA256())


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _authority(name: str) -> tuple[Key, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, key.public_key(), _name(name))
    is_ca = x509.BasicConstraints(ca=True, path_length=None)
    return key, builder.add_extension(is_ca, critical=True).sign(key, hashes.SHA256())


def _builder(
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    later: timedelta = timedelta(0),
) -> x509.CertificateBuilder:
    now = datetime.now(UTC) + later
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
