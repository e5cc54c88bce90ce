"""What the error numbers of Oracle, its listener and its driver mean to an operator."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import oracledb

from capacity_adapters.engines.engine import NONSENSE
from capacity_adapters.engines.meanings import Meaning
from capacity_core.messages import text
from capacity_core.model import Failure, Reason

# Numbers of the server and its listener: ORA-...
ORA: Mapping[int, Reason] = MappingProxyType(
    {
        18: Reason.TOO_MANY_CONNECTIONS,
        20: Reason.TOO_MANY_CONNECTIONS,
        2391: Reason.TOO_MANY_CONNECTIONS,
        12516: Reason.TOO_MANY_CONNECTIONS,
        12518: Reason.TOO_MANY_CONNECTIONS,
        12519: Reason.TOO_MANY_CONNECTIONS,
        12520: Reason.TOO_MANY_CONNECTIONS,
        942: Reason.PERMISSION_DENIED,
        1031: Reason.PERMISSION_DENIED,
        1035: Reason.PERMISSION_DENIED,
        1045: Reason.PERMISSION_DENIED,
        12526: Reason.PERMISSION_DENIED,
        12527: Reason.PERMISSION_DENIED,
        41900: Reason.PERMISSION_DENIED,
        1005: Reason.AUTH_FAILED,
        1017: Reason.AUTH_FAILED,
        28000: Reason.ACCOUNT_LOCKED,
        28001: Reason.ACCOUNT_LOCKED,
        12504: Reason.DATABASE_MISSING,
        12505: Reason.DATABASE_MISSING,
        12514: Reason.DATABASE_MISSING,
        12521: Reason.DATABASE_MISSING,
        28040: Reason.UNSUPPORTED_VERSION,
        1013: Reason.TIMEOUT,
        12170: Reason.TIMEOUT,
        12535: Reason.TIMEOUT,
        12606: Reason.TIMEOUT,
        12608: Reason.TIMEOUT,
        28: Reason.CONNECTION_LOST,
        1012: Reason.CONNECTION_LOST,
        1033: Reason.CONNECTION_LOST,
        1034: Reason.CONNECTION_LOST,
        1089: Reason.CONNECTION_LOST,
        1090: Reason.CONNECTION_LOST,
        1092: Reason.CONNECTION_LOST,
        1109: Reason.CONNECTION_LOST,
        2396: Reason.CONNECTION_LOST,
        3113: Reason.CONNECTION_LOST,
        3114: Reason.CONNECTION_LOST,
        3135: Reason.CONNECTION_LOST,
        12528: Reason.CONNECTION_LOST,
        12537: Reason.CONNECTION_LOST,
        12547: Reason.CONNECTION_LOST,
        12570: Reason.CONNECTION_LOST,
        12571: Reason.CONNECTION_LOST,
        12650: Reason.TLS,
        12660: Reason.TLS,
        28759: Reason.TLS,
        28860: Reason.TLS,
        28864: Reason.TLS,
        29024: Reason.TLS,
        12569: Reason.PROTOCOL,
        12592: Reason.PROTOCOL,
    }
)
# Numbers of the driver, where it has no number of the server: DPY-...
DPY: Mapping[int, Reason] = MappingProxyType(
    {
        4001: Reason.AUTH_FAILED,
        3015: Reason.AUTH_FAILED,
        6001: Reason.DATABASE_MISSING,
        6003: Reason.DATABASE_MISSING,
        3010: Reason.UNSUPPORTED_VERSION,
        4024: Reason.TIMEOUT,
        4011: Reason.CONNECTION_LOST,
        3001: Reason.TLS,  # the server wants its native encryption, which the driver lacks
        6002: Reason.TLS,
        6006: Reason.TLS,
        6009: Reason.TLS,
        4035: Reason.PROTOCOL,
        6008: Reason.PROTOCOL,
    }
)
RENEW: Final = 'ALTER USER {login} IDENTIFIED BY "a new password"'
# Of these the cause is known, and of some the cure.
CAUSES: Mapping[int, Meaning] = MappingProxyType(
    {
        1035: Meaning(Reason.PERMISSION_DENIED, cure="GRANT RESTRICTED SESSION TO {login}"),
        1045: Meaning(Reason.PERMISSION_DENIED, cure="GRANT CREATE SESSION TO {login}"),
        2391: Meaning(Reason.TOO_MANY_CONNECTIONS, "login"),
        28000: Meaning(Reason.ACCOUNT_LOCKED, "locked", "ALTER USER {login} ACCOUNT UNLOCK"),
        28001: Meaning(Reason.ACCOUNT_LOCKED, "password_expired", RENEW),
        1033: Meaning(Reason.CONNECTION_LOST, "starting"),
        1034: Meaning(Reason.CONNECTION_LOST, "starting"),
        1089: Meaning(Reason.CONNECTION_LOST, "starting"),
        1090: Meaning(Reason.CONNECTION_LOST, "starting"),
        12528: Meaning(Reason.CONNECTION_LOST, "starting"),
    }
)
# The account has a password in a form of before 12.1 only.
OLD_VERIFIER: Final = 3015
OLD_PASSWORD: Final = Meaning(Reason.AUTH_FAILED, "method", RENEW)
# The server is there, but the database in it is not open.
NOT_OPEN: Final = 1109
# The view is closed to us; a server tells a missing right as a missing view.
NO_RIGHT: Final = frozenset({942, 1031, 41900})
MOST_CAUSES: Final = 5  # an error may be tied into a loop of causes
LEAST_VERSION: Final = "12.1"
INTERNAL: Final = range(5000, 6000)  # the driver did not understand the peer
ERRORS: Final = (oracledb.Error, OSError, RuntimeError, *NONSENSE)

_DRIVER = re.compile(r"DPY-(\d{4})\Z")
_IN_WORDS = re.compile(r"Similar to ORA-(\d{1,5})\)")


def failure_of(error: BaseException) -> Failure | None:
    if isinstance(error, NONSENSE) and not isinstance(error, OSError):
        return Failure.of(Reason.PROTOCOL)
    if not isinstance(error, oracledb.Error):
        return None
    server, driver = numbers_of(error)
    reason = ORA.get(server) or DPY.get(driver)
    if reason is None:
        return Failure.of(Reason.PROTOCOL) if driver in INTERNAL else None
    meaning = _meaning(server, driver)
    return meaning.failure() if meaning else _plain(reason, server)


def _plain(reason: Reason, server: int) -> Failure:
    if server == NOT_OPEN:
        return Failure(reason, text("outcome.offline"))
    if reason is Reason.UNSUPPORTED_VERSION:
        return Failure.of(reason, least=LEAST_VERSION)
    return Failure.of(reason)


def with_cure(error: BaseException, login: str) -> Failure | None:
    """Say what failed at a login with the statement that cures it, if there is one."""
    each: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if isinstance(each, oracledb.Error):
            meaning = _meaning(*numbers_of(each))
            if meaning and meaning.cure:
                return meaning.failure(login=login)
        each = each and (each.__cause__ or each.__context__)
    return None


def _meaning(server: int, driver: int) -> Meaning | None:
    return CAUSES.get(server) or (OLD_PASSWORD if driver == OLD_VERIFIER else None)


def numbers_of(error: BaseException) -> tuple[int, int]:
    """Give the server's number and the driver's, 0 where there is none.

    A listener's refusal has the server's number in its words only (DPY-6000).
    """
    told = error.args[0] if error.args else None
    server, named = getattr(told, "code", 0), getattr(told, "full_code", "")
    driver = _DRIVER.match(named) if isinstance(named, str) else None
    words = _IN_WORDS.search(str(error))
    if isinstance(server, int) and server:
        return server, int(driver[1]) if driver else 0
    return int(words[1]) if words else 0, int(driver[1]) if driver else 0
