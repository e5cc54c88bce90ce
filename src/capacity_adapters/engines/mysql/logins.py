"""The ways to log in that will do: the password itself goes only to whom we know.

A peer chooses the way, so a rogue one would choose the worst. What each plugin sends is in the
manuals: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
"""

import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn

import pymysql
from pymysql import _auth
from pymysql.constants import CR

from capacity_adapters.engines.mysql.errors import is_alert
from capacity_core.messages import text
from capacity_core.model import CollectFailed, Reason, TlsMode

FULL_LOGIN: Final = b"\x04"  # what caching_sha2_password says when a hash is not enough for it


class _Refuse:
    """What this peer asks for, it gets only over TLS that is verified."""

    def __init__(self, connection: object) -> None:
        pass

    def authenticate(self, _packet: object) -> NoReturn:
        raise CollectFailed(Reason.TLS, text("hint.tls.password_asked"))


class _HashOnly:
    """caching_sha2_password without its other half, which would hand over the password.

    That half encrypts it with TLS, or with a public key that the peer sends: worth nothing if
    the peer may be anybody.
    """

    def __init__(self, connection: Any) -> None:  # inner calls that no stub has
        self._connection = connection

    def authenticate(self, packet: Any) -> Any:
        if packet.is_auth_switch_request():
            salt = packet.read_all().removesuffix(b"\0")
            secret = self._connection.password
            self._connection.write_packet(_auth.scramble_caching_sha2(secret, salt))
        elif packet.get_all_data()[1:2] == FULL_LOGIN:
            raise CollectFailed(Reason.TLS, text("hint.tls.password_asked"))
        answer = self._connection._read_packet()  # noqa: SLF001 -- as its own plugins do
        answer.check_error()
        return answer


def _last_word(sock: socket.socket) -> OSError | None:
    """Read what a peer said before it hung up: with TLS 1.3 it checks us after the handshake."""
    try:
        sock.settimeout(0)
        sock.recv(1)
    except OSError as error:
        return error if is_alert(error) else None
    return None


_CLEAR_TEXT: Mapping[str, type] = MappingProxyType(
    dict.fromkeys(("mysql_clear_password", "dialog", "mysql_old_password"), _Refuse)
)
_UNVERIFIED: Mapping[str, type] = MappingProxyType(
    {**_CLEAR_TEXT, "sha256_password": _Refuse, "caching_sha2_password": _HashOnly}
)
# `insecure` is the operator's own word: a password may be sealed for a key that nobody vouches for.
PLUGINS: Mapping[TlsMode, Mapping[str, type]] = MappingProxyType(
    {
        TlsMode.VERIFY_FULL: {},
        TlsMode.VERIFY_CA: {},
        TlsMode.REQUIRE: _UNVERIFIED,
        TlsMode.PREFER: _UNVERIFIED,
        TlsMode.INSECURE: _CLEAR_TEXT,
    }
)


class CarefulConnection(pymysql.Connection):
    """Does not follow a greeting that names a plugin which sends the password at once.

    Nor does it miss the last word of a server that refuses our certificate and hangs up.
    """

    def _write_bytes(self, data: bytes) -> None:
        sock: socket.socket = self._sock  # type: ignore[attr-defined]  # not in the stubs
        try:
            sock.sendall(data)
        except OSError as error:
            said = _last_word(sock) or error
            self._force_close()  # type: ignore[attr-defined]  # likewise
            raise pymysql.OperationalError(CR.CR_SERVER_GONE_ERROR, repr(said)) from said

    def _get_server_information(self) -> None:
        super()._get_server_information()  # type: ignore[misc]  # not in the stubs
        greeted = self._auth_plugin_name  # type: ignore[has-type]  # likewise
        if self._auth_plugin_map.get(greeted) is _Refuse:  # type: ignore[attr-defined]  # likewise
            self._auth_plugin_name = "mysql_native_password"  # a server may still switch to it
