"""What PostgreSQL's codes and words mean to an operator."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from capacity_adapters.engines.meanings import Meaning
from capacity_core.model import Outcome, Reason

WRONG_PASSWORD: Final = Meaning(
    Reason.AUTH_FAILED, "or_expired", "ALTER ROLE {login} VALID UNTIL 'infinity'"
)
NO_LOGIN: Final = Meaning(Reason.ACCOUNT_LOCKED, "no_login", "ALTER ROLE {login} LOGIN")
NO_USER_OR_LOGIN: Final = Meaning(Reason.AUTH_FAILED, "or_no_login", "ALTER ROLE {login} LOGIN")
NOT_LET_IN: Final = Meaning(Reason.PERMISSION_DENIED, "hba", "SELECT pg_reload_conf()")
NO_CONNECT: Final = Meaning(
    Reason.PERMISSION_DENIED, "", "GRANT CONNECT ON DATABASE {database} TO {login}"
)
CLOSED: Final = Meaning(
    Reason.DATABASE_MISSING, "closed", "ALTER DATABASE {database} ALLOW_CONNECTIONS true"
)
INVALID: Final = Meaning(Reason.DATABASE_MISSING, "invalid")
SERVER_FULL: Final = Meaning(Reason.TOO_MANY_CONNECTIONS)
LOGIN_FULL: Final = Meaning(
    Reason.TOO_MANY_CONNECTIONS, "login", "ALTER ROLE {login} CONNECTION LIMIT -1"
)
DATABASE_FULL: Final = Meaning(
    Reason.TOO_MANY_CONNECTIONS, "database", "ALTER DATABASE {database} CONNECTION LIMIT -1"
)
STARTING: Final = Meaning(Reason.CONNECTION_LOST, "starting")
TIMEOUT: Final = Meaning(Reason.TIMEOUT)
LOST: Final = Meaning(Reason.CONNECTION_LOST)
NONSENSE: Final = Meaning(Reason.PROTOCOL)

# Codes of errcodes.txt, then their classes (the first two characters).
SQLSTATES: Mapping[str, Meaning] = MappingProxyType(
    {
        "25P03": LOST,  # idle_in_transaction_session_timeout
        "25P04": TIMEOUT,  # transaction_timeout
        "28000": Meaning(Reason.AUTH_FAILED),
        "28P01": WRONG_PASSWORD,
        "3D000": Meaning(Reason.DATABASE_MISSING),
        "42501": Meaning(Reason.PERMISSION_DENIED),
        "53300": SERVER_FULL,
        "55P03": TIMEOUT,  # lock_timeout
        "57014": TIMEOUT,  # statement_timeout, or somebody's cancel
        "57P01": LOST,
        "57P02": LOST,
        "57P03": STARTING,
        "57P04": Meaning(Reason.DATABASE_MISSING),  # dropped while we were in it
        "57P05": LOST,
        "08": LOST,
        "0B": NONSENSE,
    }
)
# A code and the server's own function that raised it, a name that no server translates.
ROUTINES: Mapping[tuple[str, str], Meaning] = MappingProxyType(
    {
        ("0A000", "ProcessStartupPacket"): Meaning(Reason.UNSUPPORTED_VERSION),
        ("28000", "ClientAuthentication"): NOT_LET_IN,
        ("28000", "InitializeSessionUserId"): NO_USER_OR_LOGIN,
        ("42501", "CheckMyDatabase"): NO_CONNECT,
        ("53300", "InitializeSessionUserId"): LOGIN_FULL,
        ("53300", "CheckMyDatabase"): DATABASE_FULL,
        ("55000", "CheckMyDatabase"): CLOSED,
        ("55000", "InitPostgres"): INVALID,
    }
)
# For these the words say more than code and function, where we know the language.
SPOKEN: Final = frozenset({"28000"})
# libpq's own words; and a server's or pooler's, where there is no code. The first that occurs
# counts.
PHRASES: Mapping[str, Meaning] = MappingProxyType(
    {
        "password authentication failed": WRONG_PASSWORD,
        "no password supplied": Meaning(Reason.AUTH_FAILED, "no_password"),
        "authentication failed for user": Meaning(Reason.AUTH_FAILED),
        "SASL authentication failed": WRONG_PASSWORD,
        "no such user": Meaning(Reason.AUTH_FAILED, "user"),
        "is not permitted to log in": NO_LOGIN,
        "requires a valid client certificate": Meaning(Reason.TLS, "client"),
        "no pg_hba.conf entry": NOT_LET_IN,
        "pg_hba.conf rejects": NOT_LET_IN,
        "permission denied for database": NO_CONNECT,
        "is not currently accepting connections": CLOSED,
        "database does not allow connections": CLOSED,
        "cannot connect to invalid database": INVALID,
        "no such database": Meaning(Reason.DATABASE_MISSING),
        "too many connections for role": LOGIN_FULL,
        "too many connections for database": DATABASE_FULL,
        "too many connections": SERVER_FULL,
        "too many clients": SERVER_FULL,
        "remaining connection slots": SERVER_FULL,
        "no more connections allowed": SERVER_FULL,
        "query_wait_timeout": TIMEOUT,
        "the database system is": STARTING,
        "unsupported frontend protocol": Meaning(Reason.UNSUPPORTED_VERSION),
        "does not match host name": Meaning(Reason.TLS, "name"),
        "certificate verify failed: certificate has expired": Meaning(Reason.TLS, "expired"),
        "certificate verify failed: certificate is not yet valid": Meaning(Reason.TLS, "expired"),
        "certificate verify failed": Meaning(Reason.TLS, "authority"),
        "server does not support SSL": Meaning(Reason.TLS, "none"),
        "certificate required": Meaning(Reason.TLS, "client"),
        "root certificate": Meaning(Reason.TLS),
        "client certificate": Meaning(Reason.TLS),
        "server requested a cleartext password": Meaning(Reason.TLS, "password_asked"),
        "SSL error": Meaning(Reason.TLS),
        "response to SSL negotiation": NONSENSE,
        "expected authentication request": NONSENSE,
        "invalid authentication request": NONSENSE,
        "lost synchronization with server": NONSENSE,
        "unexpected message from server": NONSENSE,
        "Connection refused": Meaning(Reason.REFUSED),
        "Connection reset by peer": LOST,
        "Broken pipe": LOST,
        "No route to host": Meaning(Reason.UNREACHABLE),
        "Network is unreachable": Meaning(Reason.UNREACHABLE),
        "Connection timed out": TIMEOUT,
        "server closed the connection": LOST,
        "could not receive data": LOST,
        "could not send data": LOST,
        "SSL SYSCALL error": LOST,
        "connection has been closed": LOST,
        "the connection is closed": LOST,
        "the connection is lost": LOST,
    }
)
# What a statement's error says of the one database it was about.
OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {"42501": Outcome.DENIED, "3D000": Outcome.VANISHED, "57014": Outcome.TIMED_OUT}
)

# As libpq tells an error verbosely: severity, two blanks, code; below it the place in the source.
_CODE: Final = re.compile(r":  ([0-9A-Z]{5}): ")
_ROUTINE: Final = re.compile(r":  (\w+), [\w./-]+:\d+$", re.MULTILINE)


def codes_in(message: str) -> list[str]:
    """List the codes that a server, once reached, refused a connect with."""
    return _CODE.findall(message)


def meaning_of(sqlstate: str | None, message: str) -> Meaning | None:
    """Read a statement's code, or what a failed connect says; None if it is in no table.

    A connect may have been tried twice, with TLS and without. That pg_hba.conf did not let us in
    the one way says less than what the other way was told.
    """
    if sqlstate is not None:
        return _meaning(sqlstate, "", message)
    told = [each for each in _told(message) if each is not None]
    if not told:
        return _by_words(message)
    return next((each for each in told if each is not NOT_LET_IN), told[0])


def _told(message: str) -> Iterator[Meaning | None]:
    _, *parts = _CODE.split(message)
    for code, words in zip(parts[::2], parts[1::2], strict=True):
        routine = _ROUTINE.search(words)
        yield _meaning(code, routine[1] if routine else "", words)


def _meaning(code: str, routine: str, words: str) -> Meaning | None:
    said = _by_words(words) if code in SPOKEN else None
    exact = said or ROUTINES.get((code, routine)) or SQLSTATES.get(code)
    return exact or _by_words(words) or SQLSTATES.get(code[:2])


def _by_words(message: str) -> Meaning | None:
    found = (meaning for phrase, meaning in PHRASES.items() if phrase in message)
    return next(found, None) or _missing(message)


def _missing(message: str) -> Meaning | None:
    """Tell `role "x" does not exist` from `database "x" does not exist`."""
    first = message.partition("\n")[0].rstrip()
    if not first.endswith("does not exist"):
        return None
    is_role = re.search(r'(?:^|FATAL:  )role "', first)
    return Meaning(Reason.AUTH_FAILED, "user") if is_role else Meaning(Reason.DATABASE_MISSING)
