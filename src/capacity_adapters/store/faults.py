"""What a driver's error means for whoever runs the store: a code each, and what to do."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from capacity_core.errors import StoreError
from capacity_core.messages import text

# SQLite's primary result codes, by name: an extended one only adds to it.
SQLITE_FAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SQLITE_PERM": "store.readonly",
        "SQLITE_READONLY": "store.readonly",
        "SQLITE_BUSY": "store.locked",
        "SQLITE_LOCKED": "store.locked",
        "SQLITE_CANTOPEN": "store.cannot_open",
        "SQLITE_NOTADB": "store.not_a_database",
        "SQLITE_CORRUPT": "store.damaged",
        "SQLITE_FULL": "store.full",
        "SQLITE_IOERR": "store.full",
    }
)

# PostgreSQL's SQLSTATEs, or their first two characters: the class.
POSTGRESQL_FAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "08": "store.unreachable",
        "25006": "store.readonly",
        "25P03": "store.unreachable",  # the session was idle in its transaction for too long
        "28": "store.login",
        "3D000": "store.no_database",
        "42501": "store.denied",
        "53100": "store.full",
        "53300": "store.too_many_connections",
        "55P03": "store.locked",
        "57014": "store.locked",
        "57P": "store.unreachable",
    }
)


def store_error(error: SQLAlchemyError, where: str) -> StoreError:
    """Say it in our words; the driver's own text stays in the cause, for the log."""
    return StoreError(text(_key_for(error), where=where))


def _key_for(error: SQLAlchemyError) -> str:
    if isinstance(error, PoolTimeoutError):
        return "store.locked"
    if not isinstance(error, DBAPIError) or error.orig is None:
        return "store.failed"
    if is_sqlite(error.orig):
        name = getattr(error.orig, "sqlite_errorname", "")
        return SQLITE_FAULTS.get("_".join(name.split("_")[:2]), "store.failed")
    return _postgresql_key(error.orig)


def is_sqlite(error: BaseException) -> bool:
    """Tell by the module's name: importing it takes a megabyte that PostgreSQL has no use for."""
    return type(error).__module__ == "sqlite3"


def _postgresql_key(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None)
    if state is None:
        return _connect_key(error)
    for length in (5, 3, 2):
        if key := POSTGRESQL_FAULTS.get(state[:length]):
            return key
    return "store.failed"


def _connect_key(error: BaseException) -> str:
    """Read a failed connect, of which libpq hands on only the text and how far it came."""
    said = str(error)
    if "does not exist" in said and "database" in said:
        return "store.no_database"
    if "too many" in said or "remaining connection slots" in said:
        return "store.too_many_connections"
    attempt = getattr(error, "pgconn", None)
    tried_password = attempt is not None and (attempt.used_password or attempt.needs_password)
    return "store.login" if tried_password or "pg_hba" in said else "store.unreachable"
