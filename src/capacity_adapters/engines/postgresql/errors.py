"""What PostgreSQL's codes and words mean to an operator."""

from collections.abc import Mapping
from types import MappingProxyType

from capacity_core.model import Outcome, Reason

# By code, then by its class (the first two characters).
SQLSTATES: Mapping[str, Reason] = MappingProxyType(
    {
        "28000": Reason.AUTH_FAILED,
        "28P01": Reason.AUTH_FAILED,
        "3D000": Reason.DATABASE_MISSING,
        "42501": Reason.PERMISSION_DENIED,
        "53300": Reason.TOO_MANY_CONNECTIONS,
        "57014": Reason.TIMEOUT,
        "57P01": Reason.CONNECTION_LOST,
        "57P02": Reason.CONNECTION_LOST,
        "57P03": Reason.CONNECTION_LOST,
        "57P05": Reason.CONNECTION_LOST,
        "08": Reason.CONNECTION_LOST,
        "0B": Reason.PROTOCOL,
    }
)
# A failed connect carries no code, so its words have to do. The first that occurs counts.
PHRASES: Mapping[str, Reason] = MappingProxyType(
    {
        "password authentication failed": Reason.AUTH_FAILED,
        "no password supplied": Reason.AUTH_FAILED,
        "authentication failed for user": Reason.AUTH_FAILED,
        "is not permitted to log in": Reason.ACCOUNT_LOCKED,
        "no pg_hba.conf entry": Reason.PERMISSION_DENIED,
        "pg_hba.conf rejects": Reason.PERMISSION_DENIED,
        "permission denied for database": Reason.PERMISSION_DENIED,
        "is not currently accepting connections": Reason.DATABASE_MISSING,
        "too many connections": Reason.TOO_MANY_CONNECTIONS,
        "too many clients": Reason.TOO_MANY_CONNECTIONS,
        "remaining connection slots": Reason.TOO_MANY_CONNECTIONS,
        "no more connections allowed": Reason.TOO_MANY_CONNECTIONS,
        "the database system is": Reason.CONNECTION_LOST,
        "unsupported frontend protocol": Reason.UNSUPPORTED_VERSION,
        "certificate verify failed": Reason.TLS,
        "does not match host name": Reason.TLS,
        "server does not support SSL": Reason.TLS,
        "root certificate": Reason.TLS,
        "client certificate": Reason.TLS,
        "server requested a cleartext password": Reason.TLS,
        "SSL error": Reason.TLS,
        "response to SSL negotiation": Reason.PROTOCOL,
        "expected authentication request": Reason.PROTOCOL,
        "lost synchronization with server": Reason.PROTOCOL,
        "unexpected message from server": Reason.PROTOCOL,
        "Connection refused": Reason.REFUSED,
        "No route to host": Reason.UNREACHABLE,
        "Network is unreachable": Reason.UNREACHABLE,
        "Connection timed out": Reason.TIMEOUT,
        "server closed the connection": Reason.CONNECTION_LOST,
        "could not receive data": Reason.CONNECTION_LOST,
        "could not send data": Reason.CONNECTION_LOST,
        "SSL SYSCALL error": Reason.CONNECTION_LOST,
        "connection has been closed": Reason.CONNECTION_LOST,
        "the connection is closed": Reason.CONNECTION_LOST,
        "the connection is lost": Reason.CONNECTION_LOST,
    }
)
# What a statement's error says of the one database it was about.
OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {"42501": Outcome.DENIED, "3D000": Outcome.VANISHED, "57014": Outcome.TIMED_OUT}
)


def reason_of(sqlstate: str | None, message: str) -> Reason | None:
    """Read the code, or without one the words; None if they are not in the tables."""
    if sqlstate is not None:
        return SQLSTATES.get(sqlstate) or SQLSTATES.get(sqlstate[:2])
    found = (reason for phrase, reason in PHRASES.items() if phrase in message)
    return next(found, None) or _missing(message)


def _missing(message: str) -> Reason | None:
    """Tell `role "x" does not exist` from `database "x" does not exist`."""
    if not message.rstrip().endswith("does not exist"):
        return None
    is_role = 'FATAL:  role "' in message
    return Reason.AUTH_FAILED if is_role else Reason.DATABASE_MISSING
