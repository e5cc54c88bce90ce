"""What the error numbers of MySQL and MariaDB mean to an operator."""

from collections.abc import Mapping
from types import MappingProxyType

from capacity_core.model import Reason

CODES: Mapping[int, Reason] = MappingProxyType(
    {
        1040: Reason.TOO_MANY_CONNECTIONS,
        1203: Reason.TOO_MANY_CONNECTIONS,
        1226: Reason.TOO_MANY_CONNECTIONS,
        1043: Reason.PROTOCOL,
        2014: Reason.PROTOCOL,
        1044: Reason.PERMISSION_DENIED,
        1130: Reason.PERMISSION_DENIED,
        1142: Reason.PERMISSION_DENIED,
        1143: Reason.PERMISSION_DENIED,
        1227: Reason.PERMISSION_DENIED,
        1045: Reason.AUTH_FAILED,
        1698: Reason.AUTH_FAILED,
        1049: Reason.DATABASE_MISSING,
        1129: Reason.ACCOUNT_LOCKED,
        1820: Reason.ACCOUNT_LOCKED,
        1862: Reason.ACCOUNT_LOCKED,
        3118: Reason.ACCOUNT_LOCKED,
        4151: Reason.ACCOUNT_LOCKED,
        1205: Reason.TIMEOUT,
        1969: Reason.TIMEOUT,
        3024: Reason.TIMEOUT,
        1053: Reason.CONNECTION_LOST,
        1158: Reason.CONNECTION_LOST,
        1159: Reason.CONNECTION_LOST,
        1160: Reason.CONNECTION_LOST,
        1161: Reason.CONNECTION_LOST,
        1927: Reason.CONNECTION_LOST,
        2006: Reason.CONNECTION_LOST,
        2013: Reason.CONNECTION_LOST,
        2055: Reason.CONNECTION_LOST,
        2026: Reason.TLS,
        3159: Reason.TLS,
    }
)
