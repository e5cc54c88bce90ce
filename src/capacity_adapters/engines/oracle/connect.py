"""A connection to Oracle: built of single fields, bounded in time, to a checked address."""

import re
import socket
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import oracledb
from attrs import define

from capacity_adapters.engines.addresses import first_reachable, open_socket
from capacity_adapters.engines.authorities import Stamp, stamp_of
from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import Target
from capacity_adapters.engines.identities import identity_of
from capacity_adapters.engines.oracle.catalogue import quoted
from capacity_adapters.engines.oracle.errors import NO_RIGHT, numbers_of, with_cure
from capacity_adapters.engines.oracle.grants import spelled
from capacity_adapters.engines.oracle.loop import ClientTls, LoopThread, PrivateLoop
from capacity_core.model import CollectFailed, NetworkAddress, Reason, Tls, TlsMode

# The driver asks the server to stop a statement at the deadline; we wait so much for the answer.
BREAK_SECONDS: Final = 0.25
SID: Final = "sid:"
VERIFYING: Final = frozenset({TlsMode.VERIFY_FULL, TlsMode.VERIFY_CA})
# `prefer` has no meaning to a listener: a port speaks TLS (TCPS), or it does not.
PLAIN: Final = frozenset({TlsMode.PREFER, TlsMode.INSECURE})

# A name goes into a descriptor, which is a language of its own: (HOST=...)(SERVICE_NAME=...).
_NAME = re.compile(r"[\w.$#-]{1,128}")


@define(eq=False)
class Link:
    """One open connection, and the loop that it lives in."""

    guard: Guard
    thread: LoopThread
    connection: oracledb.AsyncConnection

    def ask(
        self, query: str, values: Mapping[str, object] | None = None, /
    ) -> list[tuple[Any, ...]]:
        """Raises CollectFailed (permission_denied) where a view is closed to the login."""
        left = self.guard.remaining()

        async def fetch() -> list[tuple[Any, ...]]:
            self.connection.call_timeout = max(1, round(left * 1000))
            return await self.connection.fetchall(query, dict(values or {}))

        try:
            return self.thread.run(fetch, self.guard.limit + BREAK_SECONDS)
        except oracledb.Error as error:
            if numbers_of(error)[0] in NO_RIGHT:
                raise CollectFailed(Reason.PERMISSION_DENIED) from error
            raise

    def close(self) -> None:
        try:
            self.thread.run(self.connection.close, self.guard.limit)
        finally:
            self.thread.close()


def log_in(target: Target, guard: Guard) -> Link:
    """Try once: a second try with a wrong password would bring a lock-out nearer."""
    target.refuse_nul()
    address = target.network
    tls = _client_tls(target.instance.tls, address.host)
    service = _service(target.instance.database_name)
    first: list[socket.socket] = [_reach(target, guard, address.host, address.port)]

    def reach(host: str, port: int) -> socket.socket:
        return first.pop() if first else _reach(target, guard, host, port)

    try:
        params = oracledb.ConnectParams(
            user=target.instance.username,
            password=target.password.reveal(),
            host=first[0].getpeername()[0],
            port=address.port,
            protocol="tcp" if tls is None else "tcps",
            **service,
            retry_count=0,
            tcp_connect_timeout=guard.remaining(),
            ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # the loop puts ours in its place
            ssl_server_dn_match=False,  # likewise
            program="capacity-sync",
        )
        return _connected(params, PrivateLoop(reach, tls), guard)
    except oracledb.Error as error:
        failure = with_cure(error, quoted(spelled(target.instance.username)))
        if failure:
            raise CollectFailed(failure.reason, failure.hint) from error
        raise
    finally:
        for unused in first:
            unused.close()


def _connected(params: oracledb.ConnectParams, loop: PrivateLoop, guard: Guard) -> Link:
    thread = LoopThread(loop)

    async def connect() -> oracledb.AsyncConnection:
        connection: oracledb.AsyncConnection = await oracledb.connect_async(params=params)
        return connection

    try:
        return Link(guard, thread, thread.run(connect, guard.limit))
    except BaseException:
        thread.close()
        raise


def _reach(target: Target, guard: Guard, host: str, port: int) -> socket.socket:
    """Open a connection to the first address of a host that may be connected to and answers."""
    addresses = target.addresses(NetworkAddress(host, port), guard.limit)
    return first_reachable(
        addresses, guard.limit, lambda ip, by: open_socket(ip, port, by), _reason_of
    )


def _reason_of(error: BaseException) -> Reason:
    """What keeps a TCP connection from opening, as far as it decides whether to try the next."""
    return Reason.TIMEOUT if isinstance(error, TimeoutError) else Reason.REFUSED


def _service(name: str | None) -> dict[str, str]:
    """Read `sid:NAME`, or else a service's name; without any the listener takes its default.

    Raises CollectFailed (database_missing) for what no listener could know.
    """
    if not name:
        return {}
    is_sid = name.lower().startswith(SID)
    plain = name[len(SID) :] if is_sid else name
    if not _NAME.fullmatch(plain):
        raise CollectFailed(Reason.DATABASE_MISSING)
    return {"sid" if is_sid else "service_name": plain}


def _client_tls(tls: Tls, name: str) -> ClientTls | None:
    """Make the context of a TCPS connection, or none for plain TCP. Raises CollectFailed."""
    if tls.mode in PLAIN:
        return None
    try:
        stamps = (*((stamp_of(tls.ca),) if tls.ca else ()), *identity_of(tls))
        return ClientTls(_made_context(tls, stamps), name)
    except OSError as error:  # a file that cannot be read, or holds no certificate
        raise CollectFailed(Reason.TLS) from error


@lru_cache(maxsize=64)
def _made_context(tls: Tls, _stamps: tuple[Stamp, ...]) -> ssl.SSLContext:
    """Make the context once a setting and its files: loading the authorities takes 25 ms."""
    context = ssl.create_default_context(cafile=tls.ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certificates that Oracle's tools make fail it
    context.check_hostname = tls.mode is TlsMode.VERIFY_FULL
    context.verify_mode = ssl.CERT_REQUIRED if tls.mode in VERIFYING else ssl.CERT_NONE
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key, password=_no_password)
    return context


def _no_password() -> str:
    """A key that needs a pass phrase cannot be used: nobody is there to type it."""
    return ""
