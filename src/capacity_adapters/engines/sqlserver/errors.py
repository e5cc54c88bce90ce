"""What the error numbers of SQL Server mean to an operator, and what its states and words do."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacity_adapters.engines.meanings import Meaning
from capacity_core.model import Outcome, Reason

WRONG: Final = Meaning(Reason.AUTH_FAILED)
BY_PASSWORD: Final = Meaning(
    Reason.AUTH_FAILED, "method", "CREATE LOGIN {login} WITH PASSWORD = 'a new password'"
)
DISABLED: Final = Meaning(Reason.ACCOUNT_LOCKED, "locked", "ALTER LOGIN {login} ENABLE")
LOCKED: Final = Meaning(
    Reason.ACCOUNT_LOCKED, "locked", "ALTER LOGIN {login} WITH PASSWORD = 'a new password' UNLOCK"
)
EXPIRED: Final = Meaning(
    Reason.ACCOUNT_LOCKED,
    "password_expired",
    "ALTER LOGIN {login} WITH PASSWORD = 'a new password'",
)
MISSING: Final = Meaning(Reason.DATABASE_MISSING)
SHUT: Final = Meaning(
    Reason.DATABASE_MISSING, "or_shut", "USE {database}; CREATE USER {login} FOR LOGIN {login}"
)
DENIED: Final = Meaning(Reason.PERMISSION_DENIED)
NO_STATE: Final = Meaning(
    Reason.PERMISSION_DENIED, cure="USE master; GRANT VIEW SERVER STATE TO {login}"
)
FIREWALL: Final = Meaning(Reason.PERMISSION_DENIED, "firewall")
FULL: Final = Meaning(Reason.TOO_MANY_CONNECTIONS)
LATE: Final = Meaning(Reason.TIMEOUT)
UNSAFE: Final = Meaning(Reason.TLS)
NONSENSE: Final = Meaning(Reason.PROTOCOL)
LOST: Final = Meaning(Reason.CONNECTION_LOST)
STARTING: Final = Meaning(Reason.CONNECTION_LOST, "starting")

# Source: sys.messages, and the list of errors of Azure SQL Database, from 40000 on.
CODES: Mapping[int, Meaning] = MappingProxyType(
    {
        18450: WRONG,
        18452: BY_PASSWORD,
        18456: WRONG,
        40532: WRONG,
        18470: DISABLED,
        18486: LOCKED,
        18487: EXPIRED,
        18488: EXPIRED,
        911: MISSING,
        4060: SHUT,
        4063: MISSING,
        4064: MISSING,
        229: DENIED,
        230: DENIED,
        262: DENIED,
        297: NO_STATE,
        300: NO_STATE,
        371: DENIED,
        916: DENIED,
        15247: DENIED,
        18451: DENIED,  # only administrators may connect now
        40615: FIREWALL,
        40914: FIREWALL,
        47073: FIREWALL,
        10928: FULL,
        10929: FULL,
        10936: FULL,
        17300: FULL,
        17809: FULL,
        17810: FULL,
        18458: FULL,
        18459: FULL,
        18461: FULL,  # single-user mode, and somebody is in
        40501: FULL,
        1205: LATE,
        1222: LATE,
        8645: LATE,
        17835: UNSAFE,
        17828: NONSENSE,
        17832: NONSENSE,
        233: LOST,
        596: LOST,
        3980: LOST,
        6005: STARTING,
        10053: LOST,
        10054: LOST,
        17142: STARTING,  # paused
        18401: STARTING,  # upgrading itself
        40197: STARTING,
        40613: STARTING,
    }
)
# With these the server says twice that a login failed: first why, then that it did.
LOGIN_FAILED = frozenset({18456})
# The driver's own errors carry no number; these say that a protected connection is not to be had.
PHRASES: Mapping[str, Meaning] = MappingProxyType(
    {
        "encryption": Meaning(Reason.TLS, "always"),
        "ENCRYPT_ON": Meaning(Reason.TLS, "always"),
        "connection closed": LOST,
    }
)
# What sys.databases.state says, unless it is 0 (online).
STATES: Mapping[int, Outcome] = MappingProxyType(
    {
        1: Outcome.OFFLINE,  # restoring
        2: Outcome.OFFLINE,  # recovering
        3: Outcome.INVALID,  # recovery pending
        4: Outcome.INVALID,  # suspect
        5: Outcome.INVALID,  # emergency
        6: Outcome.OFFLINE,
        7: Outcome.OFFLINE,  # copying (Azure)
        10: Outcome.OFFLINE,  # offline secondary (Azure)
    }
)
# What a statement's error says of the one database it was about.
OUTCOMES: Mapping[Reason, Outcome] = MappingProxyType(
    {
        Reason.PERMISSION_DENIED: Outcome.DENIED,
        Reason.DATABASE_MISSING: Outcome.VANISHED,
        Reason.TIMEOUT: Outcome.TIMED_OUT,
    }
)


def meaning_of(numbers: tuple[int, ...]) -> Meaning | None:
    """Read the numbers of one failure; what says why comes before what says that it failed."""
    known = sorted((n for n in numbers if n in CODES), key=LOGIN_FAILED.__contains__)
    return CODES[known[0]] if known else None
