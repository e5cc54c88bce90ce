"""A connection to MySQL or MariaDB: prepared for its TLS setting, and what kind of server it is."""

import re
import ssl
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import pymysql
from attrs import frozen
from pymysql.constants import CLIENT

from capacity_adapters.engines.authorities import Stamp, stamp_of
from capacity_adapters.engines.engine import Target
from capacity_adapters.engines.identities import identity_of
from capacity_adapters.engines.mysql.logins import PLUGINS, CarefulConnection
from capacity_core.model import CollectFailed, Reason, Tls, TlsMode

LOCK_SECONDS: Final = 2  # how long to wait for one table that somebody is altering
FILE_VIEWS: Final = ("innodb_sys_tablespaces", "innodb_tablespaces")
VERIFYING: Final = frozenset({TlsMode.VERIFY_FULL, TlsMode.VERIFY_CA})

# Enterprise puts a number of its own between the version and the name.
_MARIADB: Final = re.compile(r"(\d+)\.(\d+)\.\d+(?:-\d+)?-MariaDB", re.IGNORECASE)

Connection = pymysql.Connection


@frozen
class Flavour:
    """What kind of server it is, as far as the questions differ."""

    is_mariadb: bool
    version: tuple[int, int]

    @property
    def is_mysql_8(self) -> bool:
        return not self.is_mariadb and self.version >= (8, 0)

    @property
    def least(self) -> tuple[int, int]:
        return (10, 0) if self.is_mariadb else (5, 7)

    def session(self, seconds: float, *, fresh: bool = True) -> str:
        """Bound every statement; MySQL 8 would tell sizes of yesterday if we let it."""
        limit = (
            f"max_statement_time = {seconds:.3f}"
            if self.is_mariadb
            else f"max_execution_time = {round(seconds * 1000)}"
        )
        expiry = ", information_schema_stats_expiry = 0" if fresh and self.is_mysql_8 else ""
        return f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}, {limit}{expiry}"

    def file_views(self) -> Sequence[str]:
        return FILE_VIEWS[::-1] if self.is_mysql_8 else FILE_VIEWS


def flavour_of(version: str) -> Flavour | None:
    """Read a server's version; old clients are told `5.5.5-` before MariaDB's own."""
    found = _MARIADB.search(version) or re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        return None
    return Flavour("mariadb" in version.lower(), (int(found[1]), int(found[2])))


def prepare(target: Target) -> Connection:
    """Set everything up but the socket, which is our own. Raises CollectFailed."""
    target.refuse_nul()
    address = target.network
    tls = target.instance.tls
    encrypted = tls.mode is not TlsMode.INSECURE
    connection = CarefulConnection(
        host=address.host,  # the name in the certificate
        port=address.port,
        password=target.password.reveal().encode(),
        charset="utf8mb4",
        autocommit=True,
        local_infile=False,
        defer_connect=True,
        ssl=_context(tls) if encrypted else None,
        ssl_disabled=not encrypted,
        program_name="capacity-sync",
        auth_plugin_map=dict(PLUGINS[tls.mode]),
    )
    connection.user = target.instance.username.encode()  # an empty one is not to become ours
    if tls.mode is TlsMode.PREFER:
        # PyMySQL prefers by itself only with a context that it makes anew, for 25 ms a connect.
        connection._ssl_required = False  # type: ignore[attr-defined]  # noqa: SLF001 -- no public switch
        connection.client_flag &= ~CLIENT.SSL
    return connection


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        return _made_context(tls, (stamp_of(tls.ca) if tls.ca else None, *identity_of(tls)))
    except OSError as error:  # a file that cannot be read, or holds no certificate
        raise CollectFailed(Reason.TLS) from error


@lru_cache(maxsize=64)
def _made_context(tls: Tls, _stamps: tuple[Stamp | None, ...]) -> ssl.SSLContext:
    """Make it once for these files: loading the system's authorities takes 25 ms."""
    context = ssl.create_default_context(cafile=tls.ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certificates that MySQL makes fail it
    context.check_hostname = tls.mode is TlsMode.VERIFY_FULL
    context.verify_mode = ssl.CERT_REQUIRED if tls.mode in VERIFYING else ssl.CERT_NONE
    if tls.cert and tls.key:
        context.load_cert_chain(tls.cert, tls.key)
    return context
