"""The nouns of capacity: frozen values, sizes in whole bytes, times with a zone."""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum, auto
from types import MappingProxyType
from typing import Final, NoReturn, Self

from attrs import define, field, frozen

from capacity_core.errors import CapacityError
from capacity_core.filters import FilterRules
from capacity_core.messages import Text, text

MAX_BYTES: Final = 2**63 - 1
MOST_SUM_BYTES: Final = 2**63 - 1024  # the largest double within 64 bits
DEFAULT_ZONE: Final = "default"


class Reason(StrEnum):
    """Why a target could not be asked: the contract's closed list."""

    UNREACHABLE = auto()
    REFUSED = auto()
    NAME_RESOLUTION = auto()
    ADDRESS_REFUSED = auto()
    PATH_MISSING = auto()
    TIMEOUT = auto()
    TLS = auto()
    AUTH_FAILED = auto()
    ACCOUNT_LOCKED = auto()
    CREDENTIAL_UNAVAILABLE = auto()
    TOO_MANY_CONNECTIONS = auto()
    PERMISSION_DENIED = auto()
    DATABASE_MISSING = auto()
    UNSUPPORTED_VERSION = auto()
    PROTOCOL = auto()
    CONNECTION_LOST = auto()
    DRIVER_MISSING = auto()
    EMPTY = auto()
    OTHER = auto()


_HINT_BLANKS: Mapping[Reason, Mapping[str, object]] = MappingProxyType(
    {
        Reason.PERMISSION_DENIED: {"cure": ""},
        Reason.TLS: {"path": "?"},
        Reason.CREDENTIAL_UNAVAILABLE: {"ref": "-"},
        Reason.UNSUPPORTED_VERSION: {"version": "?", "least": "?"},
        Reason.DRIVER_MISSING: {"package": "?"},
    }
)


@frozen
class Failure:
    """Why a target could not be asked, and what an operator should do about it."""

    reason: Reason = field(converter=Reason)
    hint: Text

    @classmethod
    def of(cls, reason: Reason, cause: str = "", /, **blanks: object) -> Self:
        """Take the reason's own hint from the catalogue, or the one for this cause of it.

        Blanks not given are said as unknown.
        """
        key = f"hint.{reason}.{cause}" if cause else f"hint.{reason}"
        return cls(reason, text(key, **{**_HINT_BLANKS.get(reason, {}), **blanks}))


class CollectFailed(CapacityError, RuntimeError):  # noqa: N818 -- the contract's own word
    """The conversation with a target failed. `hint` may be left out or be a free text."""

    def __init__(self, reason: Reason, hint: Text | str | None = None) -> None:
        blank = Failure.of(reason)
        self.failure = Failure(reason, Text(hint) if isinstance(hint, str) else hint or blank.hint)
        super().__init__(self.failure.hint)


def sql_cure(sql: str) -> Text:
    """Say which statement an administrator should run."""
    return text("cure.sql", sql=sql)


class Outcome(StrEnum):
    """What became of one known database in one sync that reached collection."""

    MEASURED = auto()
    DENIED = auto()
    OFFLINE = auto()
    INVALID = auto()
    VANISHED = auto()
    TIMED_OUT = auto()
    NOT_VISIBLE = auto()
    ERROR = auto()


class TlsMode(StrEnum):
    """How a connection to a target is protected; libpq's words, and `insecure` for none at all."""

    VERIFY_FULL = "verify-full"
    VERIFY_CA = "verify-ca"
    REQUIRE = "require"
    PREFER = "prefer"
    INSECURE = "insecure"


@frozen
class Tls:
    """`ca` is the path of a PEM file, None for the system's authorities.

    `cert` and `key` are paths of the PEM files that we show to servers that ask who we are.
    """

    mode: TlsMode = field(default=TlsMode.PREFER, converter=TlsMode)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    @property
    def state(self) -> str:
        """What a reader should know: verified, unverified, or none."""
        return _TLS_STATES[self.mode]


_TLS_STATES: Mapping[TlsMode, str] = MappingProxyType(
    {
        TlsMode.VERIFY_FULL: "verified",
        TlsMode.VERIFY_CA: "verified",
        TlsMode.REQUIRE: "unverified",
        TlsMode.PREFER: "unverified or none",
        TlsMode.INSECURE: "none",
    }
)


@frozen
class NetworkAddress:
    host: str
    port: int


@frozen
class FileAddress:
    path: str


Address = NetworkAddress | FileAddress


@define(repr=False, eq=False)
class Secret:
    """A password on its short way: never printed, compared or pickled by accident."""

    _value: str

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


class Scenario(StrEnum):
    """Every way a sync can end; the keys of the decision table."""

    INSTANCE_MISSING = auto()
    ENGINE_NOT_SUPPORTED = auto()
    CONNECT_FAILED = auto()
    INVENTORY_FAILED = auto()
    INVENTORY_ONLY = auto()
    COLLECT_FAILED = auto()
    NOTHING_MEASURED = auto()
    COMPLETE = auto()
    IN_PROGRESS = auto()
    INTERNAL_ERROR = auto()


@frozen
class LastSync:
    """The latest attempt to sync an instance: when (UTC), how it ended, and why if it failed."""

    at: datetime
    scenario: Scenario = field(converter=Scenario)
    reason: Reason | None = None


class Level(StrEnum):
    """What an instance's databases are; an engine without tablespaces knows the first only."""

    DATABASE = auto()
    TABLESPACE = auto()


@frozen
class SealedPassword:
    """A kept password as its store sealed it, which alone can open it."""

    key_id: str
    nonce: bytes = field(repr=False)
    sealed: bytes = field(repr=False)


@frozen
class Place:
    """What was asked, and as whom: what one answers is never kept as another's."""

    db_type: str
    address: Address
    username: str
    database_name: str | None
    level: Level


@frozen(kw_only=True)
class Instance:
    """One database server, or folder of files, whose capacity we follow.

    `zone` names the network from which it can be reached: workers may serve some zones only. A
    `sealed_password` may come along with the instance that a sync reads; else its store is asked.
    """

    id: int
    name: str
    db_type: str
    address: Address
    username: str = ""
    database_name: str | None = None
    level: Level = field(default=Level.DATABASE, converter=Level)
    password_ref: str | None = None
    tls: Tls = field(factory=Tls)
    timezone: str | None = None
    filters: FilterRules = field(factory=FilterRules)
    description: str = ""
    tags: tuple[str, ...] = ()
    zone: str = DEFAULT_ZONE
    is_active: bool = True
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    last_sync: LastSync | None = None
    sealed_password: SealedPassword | None = field(default=None, eq=False, repr=False)

    @property
    def place(self) -> Place:
        return Place(self.db_type, self.address, self.username, self.database_name, self.level)


@frozen
class EngineFacts:
    """What the rules of registration need to know of an engine; no port means files."""

    db_type: str
    aliases: tuple[str, ...] = ()
    default_port: int | None = None
    levels: tuple[Level, ...] = (Level.DATABASE,)


@frozen
class SeenDatabase:
    """A database as the inventory of a target shows it."""

    name: str
    is_system: bool = False


@frozen
class Inventory:
    """The databases that a login sees; if not all there are, `cure` says how it could."""

    databases: tuple[SeenDatabase, ...] = ()
    complete: bool = True
    cure: Text = field(factory=lambda: text(""))


class Freshness(StrEnum):
    """How old a size may be when we get it."""

    LIVE = auto()
    CACHED = auto()
    ESTIMATE = auto()


@frozen
class DatabaseSize:
    """How large one database is, in bytes, and how that was found out (`pg.database_size`...).

    `used_size_bytes` is what its files hold, `ceiling_bytes` how large they may become by
    themselves. `outcome` is offline or invalid if the bytes are known and the database is not
    usable. `duration_ms` is how long the statement took that told it, in milliseconds; a
    statement may tell of many databases. `identity` is what the engine itself knows the database
    by, where it knows: one that is dropped and made anew has another.
    """

    name: str
    size_bytes: int
    method: str
    data_size_bytes: int | None = None
    log_size_bytes: int | None = None
    used_size_bytes: int | None = None
    ceiling_bytes: int | None = None
    freshness: Freshness = field(default=Freshness.LIVE, converter=Freshness)
    duration_ms: int | None = None
    outcome: Outcome = Outcome.MEASURED
    identity: str | None = None


@frozen
class Unmeasured:
    """A database without a size: what became of it, and what to do."""

    name: str
    outcome: Outcome
    hint: Text

    @classmethod
    def of(cls, name: str, outcome: Outcome, cure: Text | None = None) -> Self:
        """Take the outcome's own hint from the catalogue; `cure` completes it."""
        return cls(name, outcome, text(f"outcome.{outcome}", cure=cure or ""))


@frozen
class CapacityReport:
    """What a target said about the databases it was asked to measure."""

    sizes: tuple[DatabaseSize, ...] = ()
    unmeasured: tuple[Unmeasured, ...] = ()


@frozen
class Moment:
    """When a sync happens: the instant (UTC) and the business day it is booked on."""

    at: datetime
    day: date
