"""A connection to SQL Server: our own socket, TLS as it was asked for, one try to log in.

The driver's own `connect` tries again over the same socket, which locks accounts, remembers every
server for ever, and follows a server that sends it elsewhere: so its parts are put together here.
"""

import socket
from collections.abc import Callable, Sequence
from datetime import UTC
from ipaddress import ip_address
from typing import Any, Final

from attrs import define
from OpenSSL import SSL
from OpenSSL.crypto import X509
from pytds.connection import NonMarsConnection
from pytds.row_strategies import tuple_row_strategy
from pytds.tds_base import (
    TDS74,
    TDS_ODBC_ON,
    DatabaseError,
    PreLoginEnc,
    _TdsLogin,
)
from pytds.tds_socket import _TdsSocket
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)

from capacity_adapters.engines.authorities import stamp_of
from capacity_adapters.engines.engine import CERTIFICATE_CAUSES, Target
from capacity_adapters.engines.identities import identity_of
from capacity_adapters.engines.sqlserver.errors import meaning_of
from capacity_adapters.engines.sqlserver.rights import quoted
from capacity_core.messages import text
from capacity_core.model import CollectFailed, Failure, Reason, Tls, TlsMode

LEAST_VERSION: Final = 11  # SQL Server 2012
MAX_CHARACTERS: Final = 128  # of a user, password or database in a login
HOME: Final = "master"
VERIFIED: Final = frozenset({TlsMode.VERIFY_FULL, TlsMode.VERIFY_CA})
OLD_CIPHERS: Final = b"DEFAULT:@SECLEVEL=0"

Row = tuple[Any, ...]


@define(eq=False)
class Link:
    """An open connection, and the socket under it, which the driver may leave open."""

    connection: NonMarsConnection
    sock: socket.socket

    def ask(self, question: str) -> list[Row]:
        """Return the rows of the one answer."""
        with self.connection.cursor() as cursor:
            cursor.execute(question)
            return list(cursor.fetchall())

    def ask_each(self, question: str, take: Callable[[Row], None]) -> None:
        """Hand over the rows of every answer of a batch, as they come."""
        with self.connection.cursor() as cursor:
            cursor.execute(question)
            more: bool | None = True
            while more:
                if cursor.description:
                    for row in cursor:
                        take(row)
                more = cursor.nextset()

    def tell(self, statement: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)

    def close(self) -> None:
        try:
            self.connection.close()
        finally:
            self.sock.close()


def refuse_unsendable(target: Target) -> None:
    """Refuse what a login cannot carry: the driver would cut it, or write it over other fields.

    Raises CollectFailed.
    """
    target.refuse_nul()
    if not _fits(target.password.reveal()):
        raise CollectFailed(Reason.CREDENTIAL_UNAVAILABLE)
    if not all(map(_fits, (target.instance.username, target.instance.database_name or HOME))):
        raise CollectFailed(Reason.OTHER)


def _fits(value: str) -> bool:
    """Lengths are sent in characters of 16 bits, and the driver counts others as one."""
    return len(value) <= MAX_CHARACTERS and all(each <= "\uffff" for each in value)


def log_in(target: Target, sock: socket.socket) -> Link:
    """Log in over this socket, which is closed if that fails.

    All is encrypted in every mode, for the password itself is sent; the modes differ in what they
    ask of the certificate. Raises CollectFailed and the driver's errors.
    """
    try:
        context = _context(target.instance.tls, target.network.host)
        return Link(_logged_in(sock, _login(target, context)), sock)
    except BaseException:
        sock.close()
        raise


def _logged_in(sock: socket.socket, login: _TdsLogin) -> NonMarsConnection:
    user = login.user_name
    tds = _TdsSocket(sock=sock, login=login, autocommit=True, row_strategy=tuple_row_strategy)
    try:
        route = tds.login()
    except DatabaseError as error:
        meaning = meaning_of(_numbers(tds))
        if meaning is None:
            raise
        failure = meaning.failure(login=quoted(user), database=quoted(login.database))
        raise CollectFailed(failure.reason, failure.hint) from error
    finally:
        login.password = ""
    if route is not None:
        # Nobody but who the instance names gets its password.
        raise CollectFailed(Reason.ADDRESS_REFUSED, text("hint.address_refused.routed"))
    if tds.mars_enabled:  # which we did not ask for
        raise CollectFailed(Reason.PROTOCOL)
    _refuse_old(tds.product_version)
    return NonMarsConnection(pooling=False, key=(), tds_socket=tds)


def _numbers(tds: _TdsSocket) -> tuple[int, ...]:
    messages: Sequence[Any] = tds.main_session.messages
    return tuple(each["msgno"] for each in messages if each["priv_msg_type"])


def _refuse_old(version: int) -> None:
    major, minor = version >> 24, version >> 16 & 0xFF
    if major < LEAST_VERSION:
        least = f"{LEAST_VERSION}.0 (2012)"
        failure = Failure.of(Reason.UNSUPPORTED_VERSION, version=f"{major}.{minor}", least=least)
        raise CollectFailed(failure.reason, failure.hint)


def _login(target: Target, context: SSL.Context) -> _TdsLogin:
    instance = target.instance
    login = _TdsLogin()
    login.client_host_name = socket.gethostname()[:MAX_CHARACTERS]
    login.library = "python-tds"
    login.server_name = target.network.host
    login.user_name = instance.username
    login.password = target.password.reveal()
    login.app_name = "capacity-sync"
    login.database = instance.database_name or HOME
    login.tds_version = TDS74
    login.option_flag2 = TDS_ODBC_ON  # the settings that views and XML rely on
    login.client_tz = UTC
    login.readonly = True
    login.bytes_to_unicode = True
    login.tls_ctx = context
    login.enc_flag = PreLoginEnc.ENCRYPT_ON
    login.validate_host = False  # done while the handshake lasts, and rightly
    return login


def _context(tls: Tls, host: str) -> SSL.Context:
    """Set up TLS 1.2, for before version 8 the protocol carries no newer one.

    Who does without security may have older ones: SQL Server 2012 without its updates has no other.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    if tls.mode is TlsMode.INSECURE:
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_cipher_list(OLD_CIPHERS)
    else:
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
    if tls.cert and tls.key and identity_of(tls):
        _show(context, tls.cert, tls.key)
    if tls.mode not in VERIFIED:
        context.set_verify(SSL.VERIFY_NONE)
        return context
    named = host if tls.mode is TlsMode.VERIFY_FULL else None
    context.set_verify(SSL.VERIFY_PEER, _verifier(named))
    try:
        if tls.ca is None:
            context.set_default_verify_paths()
        else:
            stamp_of(tls.ca)
            context.load_verify_locations(tls.ca)
    except SSL.Error as error:  # a file that cannot be read, or holds no certificate
        raise CollectFailed(Reason.TLS) from error
    return context


def _show(context: SSL.Context, cert: str, key: str) -> None:
    try:
        context.use_certificate_chain_file(cert)
        context.use_privatekey_file(key)
    except SSL.Error as error:
        raise CollectFailed(Reason.TLS) from error


def _verifier(host: str | None) -> Callable[[SSL.Connection, X509, int, int, int], bool]:
    def verify(_: SSL.Connection, certificate: X509, error: int, depth: int, good: int) -> bool:
        if not good:
            raise _refused(CERTIFICATE_CAUSES.get(error, ""))
        if host is not None and depth == 0 and not _is_of(certificate, host):
            raise _refused("name")
        return True

    return verify


def _refused(cause: str) -> CollectFailed:
    """What a verifier raises comes out of the handshake."""
    return CollectFailed(Reason.TLS, Failure.of(Reason.TLS, cause).hint)


def _is_of(certificate: X509, host: str) -> bool:
    shown = certificate.to_cryptography()
    try:
        try:
            ip_address(host)
        except ValueError:
            verify_certificate_hostname(shown, host)
        else:
            verify_certificate_ip_address(shown, host)
    except (VerificationError, CertificateError):
        return False
    return True
