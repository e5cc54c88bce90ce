"""A private certificate authority, and a certificate for a server, made in a folder."""

import os
import pwd
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@frozen
class Certificates:
    """Paths of PEM files. The server is known as `localhost`, and by no address."""

    ca: Path
    other_ca: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path, account: str) -> Certificates:
    """Make them so that the account, which runs the server, may read its key."""
    made = Certificates(*(folder / name for name in ("ca", "other", "cert", "key")))
    key, ca = _authority("ours")
    made.ca.write_bytes(_pem(ca))
    made.other_ca.write_bytes(_pem(_authority("theirs")[1]))
    server_key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    builder = _builder("localhost", server_key.public_key(), ca.subject)
    made.certificate.write_bytes(
        _pem(builder.add_extension(names, critical=False).sign(key, hashes.SHA256()))
    )
    made.key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    made.key.chmod(0o600)
    if os.geteuid() == 0:
        user = pwd.getpwnam(account)
        for path in (folder, made.key):
            os.chown(path, user.pw_uid, user.pw_gid)
    return made


def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, key.public_key(), _name(name))
    is_ca = x509.BasicConstraints(ca=True, path_length=None)
    return key, builder.add_extension(is_ca, critical=True).sign(key, hashes.SHA256())


def _builder(
    name: str, public_key: ec.EllipticCurvePublicKey, issuer: x509.Name
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
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
