"""From rows of SQL Server's catalogue to sizes: pages of 8 KiB, by database and kind of file."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from capacity_adapters.engines.sqlserver import rights as may
from capacity_adapters.engines.sqlserver.errors import CODES, OUTCOMES, STATES
from capacity_adapters.engines.sqlserver.rights import Rights
from capacity_core.model import CollectFailed, DatabaseSize, Outcome, Reason, Unmeasured

PAGE: Final = 8192  # bytes
LOG: Final = 1
FILESTREAM: Final = 2
TEMPDB: Final = "tempdb"
EPOCH: Final = datetime(2010, 1, 1)  # noqa: DTZ001 -- of a clock whose zone nobody tells
OUTSIDE_METHOD: Final = "ms.master_files"
INSIDE_METHOD: Final = "ms.database_files"


@frozen
class Known:
    """A row of sys.databases. `created` is in seconds since 2010, of the server's clock."""

    id: int
    name: str
    state: int
    is_snapshot: bool
    may_be_entered: bool
    created: int

    @property
    def is_shut(self) -> bool:
        """Whether it is online, and tells us nothing of itself."""
        return self.state == 0 and not (self.is_snapshot or self.may_be_entered)

    @property
    def identity(self) -> str | None:
        """Spell when it was made or renamed; tempdb is made at every start of the server."""
        if self.name == TEMPDB:
            return None
        return (EPOCH + timedelta(seconds=self.created)).isoformat()

    @property
    def outcome(self) -> Outcome:
        """What its state makes of it; one that we do not know is not open either."""
        return STATES.get(self.state, Outcome.OFFLINE) if self.state else Outcome.MEASURED


@frozen
class FileKind:
    """The files of one kind of a database, in pages; `used` and `ceiling` None where unknown."""

    kind: int
    pages: int
    ceiling: int | None
    used: int | None = None


Files = tuple[FileKind, ...]
Told = Files | int  # what a database says of its files, or the number of its error


@frozen
class Published:
    """What Azure published of a database: bytes, and when in seconds since 2010."""

    allocated: int
    used: int | None
    at: int


def known_row(row: Sequence[object]) -> Known:
    """Read a row of DATABASES. Raises CollectFailed."""
    match row:
        case [int(number), str(name), int(state), int() | None as source, entered, int(created)]:
            may_enter = entered == 1 and state == 0 and source is None
            return Known(number, name, state, source is not None, may_enter, created)
    raise CollectFailed(Reason.PROTOCOL)


def file_row(row: Sequence[object]) -> tuple[tuple[int, str], Files]:
    """Read a row of FILES; a database none of whose files we see has one, without a kind."""
    match row:
        case [int(number), str(name), None, *_]:
            return (number, name), ()
        case [int(number), str(name), int(kind), int(pages), int(most), int(endless)]:
            return (number, name), (FileKind(kind, pages, None if endless else most),)
    raise CollectFailed(Reason.PROTOCOL)


def inside_row(row: Sequence[object]) -> tuple[int, Told | None]:
    """Read a row of INSIDE with the database's id before it, or the number of its error.

    The id alone says that the database has told all, and gives None.
    """
    match row:
        case [int(number)]:
            return number, None
        case [int(number), int(error)]:
            return number, error
        case [int(number), int(kind), int(pages), int(most), int(endless), int() | None as used]:
            return number, (FileKind(kind, pages, None if endless else most, used),)
    raise CollectFailed(Reason.PROTOCOL)


def azure_row(row: Sequence[object]) -> tuple[str, Published]:
    match row:
        case [str(name), int(allocated), int() | None as used, int(at)]:
            return name, Published(allocated, used, at)
    raise CollectFailed(Reason.PROTOCOL)


def size_of(
    known: Known, outside: Files, inside: Told | None, rights: Rights, *, expired: bool
) -> DatabaseSize | Unmeasured:
    """Size a database by what master_files says, and by what it says itself where it must.

    FILESTREAM has no size in master_files, and tempdb the one it starts with.
    """
    own = inside if isinstance(inside, tuple) and inside else None
    is_partial = any(each.kind == FILESTREAM for each in outside) or known.name == TEMPDB
    if outside and not is_partial:
        return _sized(known, outside, own, OUTSIDE_METHOD)
    if own is not None:
        return _sized(known, own, own, INSIDE_METHOD)
    if not outside and not isinstance(inside, int) and not rights.allow(may.FILES):
        return Unmeasured.of(known.name, Outcome.DENIED, rights.cure(may.FILES))
    if known.outcome is not Outcome.MEASURED:
        return Unmeasured.of(known.name, known.outcome)
    outcome = _why_silent(known, inside, expired=expired)
    cure = rights.entering(known.name) if outcome is Outcome.DENIED else None
    return Unmeasured.of(known.name, outcome, cure)


def _why_silent(known: Known, inside: Told | None, *, expired: bool) -> Outcome:
    """Say why a database that is online has not told its files."""
    if isinstance(inside, int):
        return OUTCOMES.get(
            CODES[inside].reason if inside in CODES else Reason.OTHER, Outcome.ERROR
        )
    if known.may_be_entered:
        return Outcome.TIMED_OUT if expired else Outcome.ERROR
    return Outcome.DENIED


def _sized(known: Known, files: Files, own: Files | None, method: str) -> DatabaseSize:
    log = sum(each.pages for each in files if each.kind == LOG)
    data = sum(each.pages for each in files) - log
    return DatabaseSize(
        known.name,
        (data + log) * PAGE,
        method,
        data_size_bytes=data * PAGE,
        log_size_bytes=log * PAGE,
        used_size_bytes=_summed([each.used for each in own]) if own else None,
        ceiling_bytes=_summed([each.ceiling for each in files]),
        outcome=known.outcome,
    )


def _summed(pages: Sequence[int | None]) -> int | None:
    known = [each for each in pages if each is not None]
    return sum(known) * PAGE if len(known) == len(pages) else None
