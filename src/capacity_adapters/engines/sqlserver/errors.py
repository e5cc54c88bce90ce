"""What the error numbers of SQL Server mean to an operator, and what its states and words do."""

from collections.abc import Mapping
from types import MappingProxyType

from capacity_core.model import Outcome, Reason

# Source: sys.messages, and the list of errors of Azure SQL Database, from 40000 on.
CODES: Mapping[int, Reason] = MappingProxyType(
    {
        18450: Reason.AUTH_FAILED,
        18452: Reason.AUTH_FAILED,
        18456: Reason.AUTH_FAILED,
        40532: Reason.AUTH_FAILED,
        18470: Reason.ACCOUNT_LOCKED,
        18486: Reason.ACCOUNT_LOCKED,
        18487: Reason.ACCOUNT_LOCKED,
        18488: Reason.ACCOUNT_LOCKED,
        911: Reason.DATABASE_MISSING,
        4060: Reason.DATABASE_MISSING,
        4063: Reason.DATABASE_MISSING,
        4064: Reason.DATABASE_MISSING,
        229: Reason.PERMISSION_DENIED,
        230: Reason.PERMISSION_DENIED,
        262: Reason.PERMISSION_DENIED,
        297: Reason.PERMISSION_DENIED,
        300: Reason.PERMISSION_DENIED,
        371: Reason.PERMISSION_DENIED,
        916: Reason.PERMISSION_DENIED,
        15247: Reason.PERMISSION_DENIED,
        18451: Reason.PERMISSION_DENIED,  # only administrators may connect now
        40615: Reason.PERMISSION_DENIED,  # a firewall of Azure, as the next two
        40914: Reason.PERMISSION_DENIED,
        47073: Reason.PERMISSION_DENIED,
        10928: Reason.TOO_MANY_CONNECTIONS,
        10929: Reason.TOO_MANY_CONNECTIONS,
        10936: Reason.TOO_MANY_CONNECTIONS,
        17300: Reason.TOO_MANY_CONNECTIONS,
        17809: Reason.TOO_MANY_CONNECTIONS,
        17810: Reason.TOO_MANY_CONNECTIONS,
        18458: Reason.TOO_MANY_CONNECTIONS,
        18459: Reason.TOO_MANY_CONNECTIONS,
        18461: Reason.TOO_MANY_CONNECTIONS,  # single-user mode, and somebody is in
        40501: Reason.TOO_MANY_CONNECTIONS,
        1205: Reason.TIMEOUT,
        1222: Reason.TIMEOUT,
        8645: Reason.TIMEOUT,
        17835: Reason.TLS,
        17828: Reason.PROTOCOL,
        17832: Reason.PROTOCOL,
        233: Reason.CONNECTION_LOST,
        596: Reason.CONNECTION_LOST,
        3980: Reason.CONNECTION_LOST,
        6005: Reason.CONNECTION_LOST,
        10053: Reason.CONNECTION_LOST,
        10054: Reason.CONNECTION_LOST,
        17142: Reason.CONNECTION_LOST,  # paused
        18401: Reason.CONNECTION_LOST,  # upgrading itself
        40197: Reason.CONNECTION_LOST,
        40613: Reason.CONNECTION_LOST,
    }
)
# With these the server says twice that a login failed: first why, then that it did.
LOGIN_FAILED = frozenset({18456})
# The driver's own errors carry no number; these say that a protected connection is not to be had.
PHRASES: Mapping[str, Reason] = MappingProxyType(
    {
        "encryption": Reason.TLS,
        "ENCRYPT_ON": Reason.TLS,
        "connection closed": Reason.CONNECTION_LOST,
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


def reason_of(numbers: tuple[int, ...]) -> Reason | None:
    """Read the numbers of one failure; what says why comes before what says that it failed."""
    known = sorted((n for n in numbers if n in CODES), key=LOGIN_FAILED.__contains__)
    return CODES[known[0]] if known else None
