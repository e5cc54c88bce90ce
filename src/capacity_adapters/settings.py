"""The settings: read once from the environment or a TOML file, then passed on as one value.

SETTINGS is the whole list; the reference in the docs is made from it.
"""

import os
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum, auto
from errno import EFBIG, EINVAL
from math import isfinite
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO
from zoneinfo import ZoneInfo

from attrs import field, frozen

from capacity_adapters.target_rules import (
    Network,
    PortRule,
    engine_limits,
    networks,
    port_rules,
)
from capacity_core.errors import SettingsError
from capacity_core.instances import check_labels, unique
from capacity_core.messages import Language, Text

PREFIX = "CAPACITY_"
CONFIG = "CAPACITY_CONFIG"
STORE_URL = "CAPACITY_STORE_URL"
SCHEDULE = "CAPACITY_SCHEDULE"
FLEET_WORKERS = "CAPACITY_FLEET_WORKERS"
ZONES = "CAPACITY_ZONES"
KEY_BYTES = 32
MAX_SECONDS = 86_400
MAX_CONFIG_BYTES = 1 << 20
STORE_SCHEMES = ("sqlite", "postgresql", "postgres", "postgresql+psycopg")


class Queue(StrEnum):
    EMBEDDED = auto()
    PROCRASTINATE = auto()


@frozen(kw_only=True)
class Settings:
    """Every setting, checked. `data_directory` holds the default store and the key file.

    Deadlines are in seconds. `secret_key` None means the key file, `store_url` None the SQLite
    file in the data directory; without a `sqlite_root` nobody may register files over HTTP.
    The `data_directory` is None where nobody has a home, as in some containers.
    """

    data_directory: Path | None
    store_url: str | None = field(default=None, repr=False)
    timezone: str = "UTC"
    language: Language = Language.ZH
    connect_deadline: float = 10.0
    sync_deadline: float = 300.0
    size_connections: int = 1
    workers: int = 8
    queue: Queue = Queue.EMBEDDED
    zones: tuple[str, ...] = ()
    schedule: str | None = None
    schedule_jitter: float = 60.0
    fleet_workers: int = 16
    host_limit: int = 8
    engine_limits: Mapping[str, int] = field(factory=dict)
    secret_key: bytes | None = field(default=None, repr=False)
    secret_folder: Path | None = None
    sqlite_root: Path | None = None
    target_networks: tuple[Network, ...] = ()
    target_ports: tuple[PortRule, ...] = ()

    def data_folder(self) -> Path:
        """Give the data directory. Raises SettingsError if there is none."""
        if self.data_directory is None:
            raise _wrong(
                "There is no home folder to keep data in: set XDG_DATA_HOME, "
                f"or both {STORE_URL} and CAPACITY_SECRET_KEY"
            )
        return self.data_directory


@frozen
class Setting:
    """One row of the list: `parse` raises ValueError for what is not `allowed`."""

    name: str
    parse: Callable[[str], object]
    default: str
    allowed: str
    meaning: str
    is_secret: bool = False

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()


def _store_url(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if scheme not in STORE_SCHEMES or not separator or not rest.strip("/"):
        raise ValueError(scheme)
    return value


def _timezone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (LookupError, OSError) as error:
        raise ValueError(value) from error


def _seconds(value: str) -> float:
    seconds = float(value)
    if not isfinite(seconds) or not 0 < seconds <= MAX_SECONDS:
        raise ValueError(value)
    return seconds


def _count_to(most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        count = int(value)
        if not 1 <= count <= most:
            raise ValueError(value)
        return count

    return parse


def _secret_key(value: str) -> bytes:
    try:
        key = b64decode(value, validate=True)
    except Base64Error as error:
        raise ValueError from error
    if len(key) != KEY_BYTES:
        raise ValueError(len(key))
    return key


def _folder(value: str) -> Path:
    folder = Path(value)
    if not folder.is_absolute():
        raise ValueError(value)
    return folder


def _zones(value: str) -> tuple[str, ...]:
    zones = unique(filter(None, map(str.strip, value.split(","))))
    check_labels((), *zones)
    return zones


def _cron(value: str) -> str:
    from capacity_adapters.queues.schedule import checked_cron  # noqa: PLC0415 -- few have one

    return checked_cron(value)


def _jitter(value: str) -> float:
    seconds = float(value)
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(value)
    return seconds


_A_DEADLINE = f"a number of seconds, more than 0 and at most {MAX_SECONDS}"
_A_FOLDER = "the absolute path of a folder"

SETTINGS = (
    Setting(
        "store_url",
        _store_url,
        "a SQLite file in the data directory",
        "sqlite:///PATH (an absolute path makes four slashes) or postgresql://USER@HOST/DATABASE",
        "Where sizes, instances and tokens are kept; `--store` wins over it.",
        is_secret=True,
    ),
    Setting(
        "timezone",
        _timezone,
        "UTC",
        "an IANA time zone such as Europe/Berlin",
        "Decides the business day of instances that have no time zone of their own.",
    ),
    Setting(
        "language",
        Language,
        "zh",
        "zh or en",
        "Language of messages over HTTP; a request's Accept-Language wins over it.",
    ),
    Setting(
        "connect_deadline",
        _seconds,
        "10",
        _A_DEADLINE,
        "Seconds in which name look-up, connection, TLS and login of a target must be done.",
    ),
    Setting(
        "sync_deadline",
        _seconds,
        "300",
        _A_DEADLINE,
        "Seconds that the whole conversation with a target may take.",
    ),
    Setting(
        "size_connections",
        _count_to(16),
        "1",
        "a whole number from 1 to 16",
        "Connections that share the size query of one PostgreSQL instance; "
        "a second one pays from about 50 databases.",
    ),
    Setting(
        "workers",
        _count_to(256),
        "8",
        "a whole number from 1 to 256",
        "So many syncs and examinations run at once over HTTP; others wait.",
    ),
    Setting(
        "queue",
        Queue,
        "embedded",
        "embedded or procrastinate",
        "How items of a run come to workers: each process looks by itself, or, on a PostgreSQL "
        "store and with the extra `procrastinate`, by jobs that `capacity worker` takes.",
    ),
    Setting(
        "zones",
        _zones,
        "none: all zones",
        "network zones, separated by commas, such as `default, dmz`",
        "Of these zones only does this process collect instances; a service, a worker and "
        "`sync --all` alike.",
    ),
    Setting(
        "schedule",
        _cron,
        "none: nothing is collected by itself",
        "a cron expression of five fields such as `0 3 * * *`",
        "When all active instances are collected, in the time zone of CAPACITY_TIMEZONE; "
        "once, however many services and workers have it, and what was missed is caught up once.",
    ),
    Setting(
        "schedule_jitter",
        _jitter,
        "60",
        f"a number of seconds from 0 to {MAX_SECONDS}",
        "A scheduled collection starts up to so many seconds late, so that not all start at once.",
    ),
    Setting(
        "fleet_workers",
        _count_to(256),
        "16",
        "a whole number from 1 to 256",
        "So many instances of a run does one process sync at once.",
    ),
    Setting(
        "host_limit",
        _count_to(256),
        "8",
        "a whole number from 1 to 256",
        "So many instances on one host does one process sync at once, with the embedded queue.",
    ),
    Setting(
        "engine_limits",
        engine_limits,
        "none",
        "engines with numbers such as oracle:4, mysql:8",
        "So many instances of one engine does one process sync at once, with the embedded queue.",
    ),
    Setting(
        "secret_key",
        _secret_key,
        "a key file, mode 0600, in the data directory, made on first need",
        "32 random bytes in base64, as `openssl rand -base64 32` makes them",
        "Seals the passwords in the store; all processes that share a store need the same.",
        is_secret=True,
    ),
    Setting(
        "secret_folder",
        _folder,
        "none: `file:` references are refused",
        _A_FOLDER,
        "Where the files named by a password_ref `file:NAME` lie.",
    ),
    Setting(
        "sqlite_root",
        _folder,
        "none: no files over HTTP",
        _A_FOLDER,
        "Only below it may SQLite instances be registered over HTTP.",
    ),
    Setting(
        "target_networks",
        networks,
        "any address",
        "networks such as 10.0.0.0/8, fd00::/8, separated by commas",
        "Where targets may be; link-local, metadata, multicast and unspecified addresses never.",
    ),
    Setting(
        "target_ports",
        port_rules,
        "any port",
        "engines with ports such as postgresql:5432, postgresql:6432-6440, mysql:3306",
        "The only ports that targets may have; an engine that it does not name may have none.",
    ),
)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings; the environment wins over the file, and an empty variable is unset.

    Raises SettingsError, which names the first variable or key that is wrong.
    """
    config = environ.get(CONFIG)
    filed = _read_file(Path(config)) if config else {}
    values: dict[str, object] = {}
    for setting in SETTINGS:
        if given := environ.get(setting.variable):
            values[setting.name] = _parse(setting, setting.variable, given)
        elif setting.name in filed:
            where = f"{setting.name} in {config}"
            values[setting.name] = _parse(setting, where, filed[setting.name])
    return Settings(data_directory=_data_directory(environ), **values)  # type: ignore[arg-type]  # the table's parsers give each field its type


def _parse(setting: Setting, where: str, value: str) -> object:
    try:
        return setting.parse(value)
    except ValueError:
        shown = "has a wrong value" if setting.is_secret else f"is {value!r}"
        raise _wrong(f"{where} {shown}; allowed: {setting.allowed}") from None


def _read_file(path: Path) -> dict[str, str]:
    import tomllib  # noqa: PLC0415 -- few have a file

    try:
        document = tomllib.loads(read_regular(path, MAX_CONFIG_BYTES).decode())
    except OSError as error:
        raise _wrong(f"{CONFIG} names {path}, which cannot be read: {error.strerror}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise _wrong(f"{CONFIG} names {path}, which is not TOML: {error}") from None
    return dict(_entries(document, path))


def read_regular(path: Path, most: int) -> bytes:
    """Read a regular file of at most so many bytes; no pipe or device is waited for.

    Raises OSError, ValueError (a path that holds a NUL).
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(EINVAL, "it is no regular file")
        return read_at_most(file, most)


def read_at_most(file: BinaryIO, most: int) -> bytes:
    """Read to the end. Raises OSError if there are more bytes than that."""
    content = file.read(most + 1)
    if len(content) > most:
        raise OSError(EFBIG, f"it is larger than {most} bytes")
    return content


def _entries(document: Mapping[str, object], path: Path) -> Iterator[tuple[str, str]]:
    known = {setting.name for setting in SETTINGS}
    for name, value in document.items():
        if name not in known:
            raise _wrong(
                f"{name} in {path} is not a setting; there are: {', '.join(sorted(known))}"
            )
        parts = value if isinstance(value, list) else [value]
        if not all(type(part) in {str, int, float} for part in parts):
            raise _wrong(f"{name} in {path} is a text, a number or a list of texts")
        yield name, ",".join(map(str, parts))


def _data_directory(environ: Mapping[str, str]) -> Path | None:
    base = Path(environ.get("XDG_DATA_HOME", ""))
    if not base.is_absolute():  # the XDG rules: a relative one is ignored
        try:
            base = Path(environ.get("HOME") or Path.home()) / ".local" / "share"
        except RuntimeError:  # the user is not in the list of users either
            return None
    return base / "capacity-sync"


def _wrong(message: str) -> SettingsError:
    return SettingsError(Text(message))
