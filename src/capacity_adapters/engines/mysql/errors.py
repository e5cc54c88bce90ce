"""What the error numbers of MySQL and MariaDB mean to an operator."""

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

import pymysql

from capacity_adapters.engines.meanings import Meaning
from capacity_core.model import CollectFailed, Failure, Reason, sql_cure

REFUSED: Final = 1045
# Whoever logs in does not learn which host its account has; `%` is the usual one.
FIND_ACCOUNT: Final = "SELECT user, host FROM mysql.user WHERE user = {text}"

SERVER_FULL: Final = Meaning(Reason.TOO_MANY_CONNECTIONS)
DENIED: Final = Meaning(Reason.PERMISSION_DENIED)
LOCKED: Final = Meaning(
    Reason.ACCOUNT_LOCKED, "locked", "ALTER USER {login} ACCOUNT UNLOCK", FIND_ACCOUNT
)
EXPIRED: Final = Meaning(
    Reason.ACCOUNT_LOCKED,
    "password_expired",
    "ALTER USER {login} IDENTIFIED BY 'a new password'",
    FIND_ACCOUNT,
)
BY_PASSWORD: Final = Meaning(
    Reason.AUTH_FAILED,
    "method",
    "ALTER USER {login} IDENTIFIED BY 'a new password'",
    FIND_ACCOUNT,
)
TIMEOUT: Final = Meaning(Reason.TIMEOUT)
LOST: Final = Meaning(Reason.CONNECTION_LOST)
NO_PASSWORD: Final = Meaning(Reason.AUTH_FAILED, "none_or_host")
STARTING: Final = Meaning(Reason.CONNECTION_LOST, "starting")
NONSENSE: Final = Meaning(Reason.PROTOCOL)

# The servers' error reference, and from 2000 on the client's own.
CODES: Mapping[int, Meaning] = MappingProxyType(
    {
        1040: SERVER_FULL,
        1203: Meaning(
            Reason.TOO_MANY_CONNECTIONS,
            "login",
            "ALTER USER {login} WITH MAX_USER_CONNECTIONS 10",
            FIND_ACCOUNT,
        ),
        1226: Meaning(
            Reason.TOO_MANY_CONNECTIONS,
            "login",
            "ALTER USER {login} WITH {resource} 0",
            FIND_ACCOUNT,
        ),
        1043: NONSENSE,
        1047: NONSENSE,
        2012: NONSENSE,
        2014: NONSENSE,
        2027: NONSENSE,
        1044: DENIED,
        1142: DENIED,
        1143: DENIED,
        1227: DENIED,
        1130: Meaning(Reason.PERMISSION_DENIED, "host"),
        1129: Meaning(Reason.PERMISSION_DENIED, "blocked", "FLUSH HOSTS"),
        REFUSED: Meaning(Reason.AUTH_FAILED, "or_host"),
        1251: BY_PASSWORD,
        1275: BY_PASSWORD,
        1524: BY_PASSWORD,
        1698: BY_PASSWORD,
        2049: BY_PASSWORD,
        2059: BY_PASSWORD,
        1049: Meaning(Reason.DATABASE_MISSING),
        1820: EXPIRED,
        1862: EXPIRED,
        3118: LOCKED,
        4151: LOCKED,
        3955: Meaning(
            Reason.ACCOUNT_LOCKED, "blocked", "ALTER USER {login} ACCOUNT UNLOCK", FIND_ACCOUNT
        ),
        4150: Meaning(Reason.ACCOUNT_LOCKED, "blocked", "FLUSH PRIVILEGES"),
        1205: TIMEOUT,
        1969: TIMEOUT,
        3024: TIMEOUT,
        1053: STARTING,
        3032: Meaning(Reason.CONNECTION_LOST, "offline"),
        1152: LOST,
        1158: LOST,
        1159: LOST,
        1160: LOST,
        1161: LOST,
        1184: LOST,
        1927: LOST,
        3169: LOST,
        4031: LOST,
        2006: LOST,
        2013: LOST,
        2055: LOST,
        2026: Meaning(Reason.TLS, "none"),
        3159: Meaning(Reason.TLS, "required"),
    }
)
# What PyMySQL says without a number when a peer does not keep to the protocol.
PHRASES: Mapping[str, Meaning] = MappingProxyType(
    {
        "Packet sequence number wrong": NONSENSE,
        "unexpected packet during authentication": NONSENSE,
        "received unknown auth switch request": NONSENSE,
        "received multiple auth switch requests": NONSENSE,
    }
)
# What 1226 may be about.
_RESOURCE: Final = re.compile(
    r"max_(?:queries_per_hour|updates_per_hour|connections_per_hour|user_connections)"
)


def code_of(error: pymysql.Error) -> int:
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def is_alert(error: BaseException | None) -> bool:
    """Tell a peer that refuses our certificate, or our TLS, from one that hangs up."""
    return type(error) is ssl.SSLError  # its children are hang-ups and time limits


def meaning_of(error: pymysql.Error) -> Meaning | None:
    if is_alert(error.__cause__ or error.__context__):
        return Meaning(Reason.TLS)
    said = (meaning for phrase, meaning in PHRASES.items() if phrase in str(error))
    return CODES.get(code_of(error)) or next(said, None)


@contextmanager
def explained(username: str, *, has_password: bool = True) -> Iterator[None]:
    """Have a refusal name the cure for an account of that name. Raises CollectFailed."""
    try:
        yield
    except pymysql.Error as error:
        meaning = meaning_of(error)
        if meaning is None:
            raise
        if code_of(error) == REFUSED and not has_password:
            meaning = NO_PASSWORD
        about = _RESOURCE.search(str(error))
        failure = meaning.failure(
            login=f"{_quoted(username, '`')}@`%`",
            text=literal(username),
            resource=(about[0] if about else "max_user_connections").upper(),
        )
        raise CollectFailed(failure.reason, failure.hint) from error


def anonymous(host: str) -> CollectFailed:
    """Say that the server took a login for its anonymous account of that host."""
    cure = sql_cure(f"DROP USER ''@{literal(host)}")
    failure = Failure.of(Reason.AUTH_FAILED, "anonymous", cure=cure)
    return CollectFailed(failure.reason, failure.hint)


def literal(value: str) -> str:
    """Spell a string as SQL does."""
    return _quoted(value.replace("\\", "\\\\"), "'")


def _quoted(name: str, quote: str) -> str:
    return quote + name.replace(quote, quote * 2) + quote
