"""The answers of Oracle's catalogue, read strictly: odd rows are a protocol error, not a size."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol, TypeVar

from attrs import frozen

from capacity_adapters.engines.engine import milliseconds_since
from capacity_adapters.engines.oracle.queries import PDBS, PLACE, SEES_ALL, TABLESPACES
from capacity_core.messages import Text, text
from capacity_core.model import (
    CollectFailed,
    DatabaseSize,
    Failure,
    Outcome,
    Reason,
    Unmeasured,
    sql_cure,
)

Row = tuple[Any, ...]
Key = TypeVar("Key", int, str)

log = logging.getLogger(__name__)

FILES: Final = "ora.files"
TOTAL_SIZE: Final = "ora.pdb_total_size"
ROOT_ID: Final = 1
MOUNTED: Final = "MOUNTED"
OFFLINE: Final = "OFFLINE"


class Ask(Protocol):
    """Put a query, with values by name. Raises CollectFailed (permission_denied) for no right."""

    def __call__(self, query: str, values: Mapping[str, object] | None = None, /) -> list[Row]: ...


@frozen
class Place:
    """Where a login is: in the root of containers, in one of them, or in a database without."""

    con_id: int
    name: str
    login: str

    @property
    def is_root(self) -> bool:
        return self.con_id == ROOT_ID


@frozen
class Pdb:
    con_id: int
    name: str
    open_mode: str
    total_size: int | None
    guid: str | None = None

    @property
    def is_open(self) -> bool:
        return self.open_mode != MOUNTED


@frozen
class Files:
    """The data and temporary files of a container or tablespace, in bytes.

    Of `unread` files the server does not know the size now; `endless` ones have no limit.
    """

    count: int
    unread: int
    total: int
    data: int
    ceiling: int
    endless: int

    def __add__(self, other: "Files") -> "Files":
        return Files(
            self.count + other.count,
            self.unread + other.unread,
            self.total + other.total,
            self.data + other.data,
            self.ceiling + other.ceiling,
            self.endless + other.endless,
        )


def place_of(ask: Ask) -> Place:
    for con_id, name, login in _rows(ask(PLACE), 3):
        try:
            return Place(int(con_id), _word(name), _word(login))
        except (TypeError, ValueError):
            break
    raise CollectFailed(Reason.PROTOCOL)


def pdbs_of(ask: Ask) -> dict[str, Pdb]:
    """Give the containers that the login sees, by name; without the root."""
    return {
        _word(name): Pdb(
            _whole(con_id), _word(name), _word(mode), _maybe(size), _word(guid) if guid else None
        )
        for con_id, name, mode, size, guid in _rows(ask(PDBS), 5)
    }


def tablespaces_of(ask: Ask) -> dict[str, str]:
    """Give the status of every tablespace, by name."""
    return {_word(name): _word(status) for name, status in _rows(ask(TABLESPACES), 2)}


def sees_all(ask: Ask, login: str) -> bool:
    return any(_whole(count) > 0 for (count,) in _rows(ask(SEES_ALL, {"login": login}), 1))


def files_by(ask: Ask, query: str, key: Callable[[Any], Key]) -> tuple[dict[Key, Files], int]:
    """Give the files by container or tablespace, and how many milliseconds the query took."""
    started = time.monotonic()
    rows = _rows(ask(query), 7)
    took = milliseconds_since(started)
    files = {}
    for name, count, known, *sums in rows:
        total, data, ceiling, endless = map(_maybe, sums)
        unread = _whole(_whole(count) - _whole(known))
        if not unread and None in {total, data}:
            raise CollectFailed(Reason.PROTOCOL)
        files[key(name)] = Files(
            _whole(count),
            unread,
            total or 0,
            data or 0,
            ceiling or 0,
            _whole(count) if ceiling is None else endless or 0,
        )
    return files, took


def used_by(ask: Ask, query: str, key: Callable[[Any], Key]) -> dict[Key, int | None]:
    """Give the bytes in use by container or tablespace; None where any part is not told."""
    rows = allowed(ask, query)
    if rows is None:
        return {}
    return {
        key(name): _maybe(used) if _whole(count) == _whole(known) else None
        for name, count, known, used in _rows(rows, 4)
    }


def allowed(ask: Ask, query: str) -> list[Row] | None:
    """Ask, or tell with None that we may not."""
    try:
        return ask(query)
    except CollectFailed as error:
        if error.failure.reason is not Reason.PERMISSION_DENIED:
            raise
        return None


def size_of(
    name: str, files: Files, used: int | None, took: int, identity: str | None = None
) -> DatabaseSize | Unmeasured:
    if files.unread:
        log.warning("%s has %d files without a size", ascii(name), files.unread)
        return Unmeasured(name, Outcome.ERROR, text("oracle.files_offline", n=files.unread))
    return DatabaseSize(
        name,
        files.total,
        FILES,
        data_size_bytes=files.data,
        # Metrics lag behind; what is more than there is tells nothing.
        used_size_bytes=used if used is not None and used <= files.total else None,
        ceiling_bytes=None if files.endless else files.ceiling,
        duration_ms=took,
        identity=identity,
    )


def may_read(login: str, *views: str) -> Text:
    """Say what an administrator has to run so that the login may read these views."""
    grants = (f"GRANT SELECT ON SYS.{view.upper()} TO {quoted(login)}" for view in views)
    return sql_cure("; ".join(grants))


def denied(cure: Text) -> CollectFailed:
    failure = Failure.of(Reason.PERMISSION_DENIED, cure=cure)
    return CollectFailed(failure.reason, failure.hint)


def quoted(login: str) -> str:
    """Spell a name as SQL. Oracle has none with a quote in it."""
    name = login.replace('"', "")
    return f'"{name}"'


def _rows(rows: Sequence[Row], width: int) -> Sequence[Row]:
    if any(len(row) != width for row in rows):
        raise CollectFailed(Reason.PROTOCOL)
    return rows


def _maybe(value: object) -> int | None:
    return None if value is None else _whole(value)


def _whole(value: object) -> int:
    """Read a NUMBER that has to be a whole one, and no less than 0. Raises CollectFailed."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            whole = int(value)
        except (ValueError, ArithmeticError):  # NaN, and infinity
            raise CollectFailed(Reason.PROTOCOL) from None
        if whole == value and whole >= 0:
            return whole
    raise CollectFailed(Reason.PROTOCOL)


def _word(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise CollectFailed(Reason.PROTOCOL)


con_id = _whole
tablespace = _word
