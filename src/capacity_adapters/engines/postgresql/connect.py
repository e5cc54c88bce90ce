"""A connection to PostgreSQL: opened in time, reading only, and free of the environment."""

import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import pq, sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGconn

from capacity_adapters.engines.addresses import IPAddress
from capacity_adapters.engines.authorities import stamp_of
from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import Target
from capacity_adapters.engines.identities import identity_of
from capacity_adapters.engines.postgresql.ahead import Connection
from capacity_adapters.engines.postgresql.errors import codes_in, meaning_of
from capacity_adapters.engines.postgresql.link import Link, drive, milliseconds_until
from capacity_adapters.engines.postgresql.verbosity import tell_codes
from capacity_core.model import CollectFailed, Failure, Reason, Tls, TlsMode

KIND_OF_CONNECTION: Final = "28000"  # pg_hba.conf may mind that it is encrypted
SEARCH_PATH: Final = "search_path=pg_catalog"

# Everything that libpq would otherwise read from the environment or the home directory.
NOWHERE: Final = "/dev/null/none"
_KNOWN = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
FIXED: Final = make_conninfo(
    "",
    **{
        keyword: value
        for keyword, value in {
            "application_name": "capacity-sync",
            "channel_binding": "prefer",
            "client_encoding": "SQL_ASCII",  # as stored: no encoding of a database fits all names
            "gssdelegation": "0",
            "gssencmode": "disable",
            "gsslib": "",
            "krbsrvname": "postgres",
            "load_balance_hosts": "disable",
            "max_protocol_version": "3.0",
            "min_protocol_version": "3.0",
            "passfile": NOWHERE,
            "requirepeer": "",
            "ssl_max_protocol_version": "",
            "ssl_min_protocol_version": "TLSv1.2",
            "sslcert": NOWHERE,
            "sslcertmode": "disable",
            "sslcompression": "0",
            "sslcrl": NOWHERE,
            "sslcrldir": "",
            "sslkey": NOWHERE,
            "sslnegotiation": "postgres",
            "sslsni": "1",
            "target_session_attrs": "any",
        }.items()
        if keyword in _KNOWN
    },
)
VERIFYING: Final = frozenset({TlsMode.VERIFY_FULL, TlsMode.VERIFY_CA})


class _TextLoader(Loader):
    """Texts may hold bytes that are no UTF-8; they show as escapes, so they can be stored."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode("utf-8", "backslashreplace")


def log_in(target: Target, guard: Guard, address: IPAddress, by: float) -> Link:
    """Connect to that very address. A pooler may refuse the settings; it gets none then."""
    limit = milliseconds_until(guard.end_by)
    settings = ("default_transaction_read_only=on", f"statement_timeout={limit}", SEARCH_PATH)
    options = " ".join(f"-c {setting}" for setting in settings)
    with _explained(target):
        pgconn, pooled = _started(target, address, options, by)
    guard.watch(pgconn.socket)
    connection: Connection = psycopg.Connection(pgconn)
    for kind in ("name", "text"):
        connection.adapters.register_loader(kind, _TextLoader)
    connection.autocommit = True
    connection.prepare_threshold = None
    cancel = pgconn.cancel_conn() if psycopg.capabilities.has_cancel_safe() else None
    return Link(connection, guard, pooled, cancel)


def _started(target: Target, address: IPAddress, options: str, by: float) -> tuple[PGconn, bool]:
    """Start with the options, or without where a pooler refuses them; say which it was."""
    try:
        return _protected(target, address, options, by), False
    except psycopg.OperationalError as error:
        if "unsupported startup parameter" not in str(error):
            raise
    return _protected(target, address, "", by), True


def _protected(target: Target, address: IPAddress, options: str, by: float) -> PGconn:
    """Start with the instance's TLS mode.

    libpq's own `prefer` would try a login that was refused over TLS once more without: a wrong
    password would count twice towards a lock-out.
    """
    mode = target.instance.tls.mode
    if mode is not TlsMode.PREFER:
        return _start(_conninfo(target, address, options, mode), by)
    try:
        return _start(_conninfo(target, address, options, TlsMode.REQUIRE), by)
    except psycopg.OperationalError as error:
        refused = codes_in(str(error))
        if set(refused) - {KIND_OF_CONNECTION}:
            raise
        first = f"{error}\n" if refused else ""
    try:
        return _start(_conninfo(target, address, options, TlsMode.INSECURE), by)
    except psycopg.OperationalError as error:
        raise psycopg.OperationalError(first + str(error)) from error


@contextmanager
def _explained(target: Target) -> Iterator[None]:
    """Have a refusal name the cure for this login and this database."""
    try:
        yield
    except psycopg.OperationalError as error:
        meaning = meaning_of(error.sqlstate, str(error))
        if meaning is None:
            raise
        database, login = target.instance.database_name or "postgres", target.instance.username
        failure = meaning.failure(database=quoted(database), login=quoted(login))
        raise CollectFailed(failure.reason, failure.hint) from error


def _start(conninfo: str, by: float) -> PGconn:
    """Connect through libpq's non-blocking calls: its own time limit is whole seconds, 2 at least.

    Raises TimeoutError, psycopg.OperationalError.
    """
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    tell_codes(pgconn)
    try:
        drive(pgconn, pgconn.connect_poll, by)
    except BaseException:
        pgconn.finish()
        raise
    pgconn.nonblocking = 1
    return pgconn


def _conninfo(target: Target, address: IPAddress, options: str, mode: TlsMode) -> str:
    instance = target.instance
    tls = instance.tls
    authorities = NOWHERE
    if tls.mode in VERIFYING:
        if tls.ca:
            stamp_of(tls.ca)
        authorities = tls.ca or ssl.get_default_verify_paths().cafile or "system"
    ours = make_conninfo(
        "",
        host=target.network.host,
        hostaddr=str(address),
        port=target.network.port,
        user=instance.username,
        password=target.password.reveal(),
        dbname=instance.database_name or "postgres",
        options=options,
        sslmode="disable" if mode is TlsMode.INSECURE else str(mode),
        sslrootcert=authorities,
        **_identity(tls),
        **methods(tls.mode),
    )
    return f"{FIXED} {ours}"  # what is said twice counts as it was said last


def _identity(tls: Tls) -> dict[str, str]:
    """Name our own certificate; libpq shows it to a server that asks."""
    if tls.cert is None or tls.key is None or not identity_of(tls):
        return {}
    shown = {"sslcert": tls.cert, "sslkey": tls.key, "sslcertmode": "allow"}
    return {name: value for name, value in shown.items() if name in _KNOWN}


def methods(mode: TlsMode, known: Collection[str] = _KNOWN) -> dict[str, str]:
    """Tell libpq which ways to log in will do: the password itself only to whom we know.

    Raises CollectFailed if it is too old (before 16) to be told.
    """
    if "require_auth" in known:
        return {"require_auth": "!sspi" if mode in VERIFYING else "!sspi,!password"}
    if mode in VERIFYING:
        return {}
    failure = Failure.of(Reason.DRIVER_MISSING, package="psycopg[binary]")
    raise CollectFailed(failure.reason, failure.hint)


def quoted(name: str) -> str:
    return sql.Identifier(name).as_string()
