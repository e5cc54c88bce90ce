"""SQLite files: looked at, never opened through SQLite, which would leave side files behind."""

import errno
import os
import stat
import time
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Final

from attrs import define, field

from capacity_adapters.engines.deadline import Guard
from capacity_adapters.engines.engine import Engine, Target, milliseconds_since
from capacity_adapters.engines.file_rights import CAPABILITIES, examined, grants, opening
from capacity_core.diagnosis import Check
from capacity_core.model import (
    CapacityReport,
    CollectFailed,
    DatabaseSize,
    Failure,
    FileAddress,
    Inventory,
    Outcome,
    Reason,
    SeenDatabase,
    Unmeasured,
)

METHOD: Final = "sqlite.file_size"
DESCRIPTORS: Final = Path("/dev/fd")
HEADER: Final = b"SQLite format 3\0"
ENDINGS: Final = (".db", ".sqlite", ".sqlite3", ".db3")
# Bytes that belong to the database but not yet to its file; -shm is only an index into them.
SIDE_FILES: Final = ("-wal", "-journal")

REASONS: Mapping[type[BaseException], Reason] = MappingProxyType(
    {
        PermissionError: Reason.PERMISSION_DENIED,
        FileNotFoundError: Reason.PATH_MISSING,
        NotADirectoryError: Reason.PATH_MISSING,
        ValueError: Reason.PATH_MISSING,  # a NUL in the path
    }
)
NO_SUCH_PATH: Final = frozenset({errno.ENAMETOOLONG, errno.ELOOP})
OUTCOMES: Mapping[type[OSError], Outcome] = MappingProxyType(
    {
        FileNotFoundError: Outcome.VANISHED,
    }
)

_File = tuple[int, int] | str


@define(eq=False)
class _Files:
    """A conversation with a file, or with a folder of files, not recursive."""

    path: Path
    guard: Guard
    _paths: dict[str, Path] = field(factory=dict, init=False)

    def inventory(self) -> Inventory:
        found = (self.path,) if self.path.is_file() else self._databases()
        self._paths.clear()
        for path in found:
            name = shown_name(path.name)
            # Bytes that are no text show as escapes, which another file may have for its name.
            taken = name in self._paths
            self._paths[f"{name} (inode {path.lstat().st_ino})" if taken else name] = path
        return Inventory(tuple(SeenDatabase(name) for name in sorted(self._paths)))

    def _databases(self) -> Iterable[Path]:
        """Find each file once: under its own name rather than a link's, and the first of several.

        Links to a file that is counted already would count its bytes again.
        """
        found: list[tuple[bool, str, _File]] = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                self.guard.remaining()
                if _is_database(entry):
                    found.append((entry.is_symlink(), entry.name, _file_of(entry)))
        found.sort(key=itemgetter(0, 1))
        once: dict[_File, Path] = {}
        for _, name, file in found:
            once.setdefault(file, self.path / name)
        return once.values()

    def measure(self, names: AbstractSet[str]) -> CapacityReport:
        fates = [self._fate(name) for name in sorted(names)]
        return CapacityReport(
            tuple(fate for fate in fates if isinstance(fate, DatabaseSize)),
            tuple(fate for fate in fates if isinstance(fate, Unmeasured)),
        )

    def _fate(self, name: str) -> DatabaseSize | Unmeasured:
        path = self._paths.get(name)
        if path is None:
            return Unmeasured.of(name, Outcome.VANISHED)
        if self.guard.expired:
            return Unmeasured.of(name, Outcome.TIMED_OUT)
        try:
            return size_of(name, path)
        except PermissionError:
            return Unmeasured.of(name, Outcome.DENIED, opening([path]))
        except OSError as error:
            outcomes = (OUTCOMES[kind] for kind in OUTCOMES if isinstance(error, kind))
            return Unmeasured.of(name, next(outcomes, Outcome.ERROR))

    def examine(self) -> tuple[Check, ...]:
        self.inventory()
        closed = {name: path for name, path in self._paths.items() if self._is_closed(name)}
        return examined(closed)

    def _is_closed(self, name: str) -> bool:
        self.guard.remaining()
        fate = self._fate(name)
        return isinstance(fate, Unmeasured) and fate.outcome is Outcome.DENIED

    def close(self) -> None:
        self._paths.clear()


def shown_name(name: str) -> str:
    """Spell a file's name in Unicode; bytes that are none show as escapes, so it can be stored."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def size_of(name: str, path: Path) -> DatabaseSize | Unmeasured:
    """Measure one file with its side files, which lie beside the real file of a link."""
    begun = time.monotonic()
    file = path.stat()
    data = file.st_size
    if not stat.S_ISREG(file.st_mode) or (header_of(path) != HEADER and data):
        return Unmeasured.of(name, Outcome.INVALID)
    real = path.resolve()
    log = sum(_size_if_there(real.with_name(real.name + ending)) for ending in SIDE_FILES)
    return DatabaseSize(
        name,
        data + log,
        METHOD,
        data_size_bytes=data,
        log_size_bytes=log,
        duration_ms=milliseconds_since(begun),
    )


def header_of(path: Path) -> bytes:
    """Read where the header stands.

    A file that this process has open already, the store perhaps, is read through that descriptor:
    closing another one would drop the locks that SQLite holds on it.
    """
    file = path.stat()
    for number in _own_descriptors():
        with suppress(OSError):  # closed meanwhile, as the one of the list itself
            if os.path.samestat(file, os.fstat(number)):
                return os.pread(number, len(HEADER), 0)
    # What became a pipe meanwhile is neither waited for nor read.
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        is_file = stat.S_ISREG(os.fstat(opened).st_mode)
        return os.read(opened, len(HEADER)) if is_file else b""
    finally:
        os.close(opened)


def _own_descriptors() -> list[int]:
    """List what this process has open; without /proc nobody can say."""
    try:
        return [int(entry.name) for entry in DESCRIPTORS.iterdir()]
    except OSError:
        return []


def _size_if_there(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_database(entry: "os.DirEntry[str]") -> bool:
    named = entry.name.lower().endswith(ENDINGS)
    try:
        is_file = entry.is_file()
    except OSError:  # a link in a loop, or into a closed folder: measuring it says so
        return named
    return is_file and (named or _begins_like_sqlite(Path(entry.path)))


def _file_of(entry: "os.DirEntry[str]") -> _File:
    """Tell a file by its device and inode; one that cannot be looked at, by its name."""
    try:
        file = entry.stat()
    except OSError:
        return entry.name
    return file.st_dev, file.st_ino


def _begins_like_sqlite(path: Path) -> bool:
    try:
        return header_of(path) == HEADER
    except OSError:  # no database by its name, and its content is not ours to read
        return False


def open_files(target: Target, guard: Guard) -> _Files:
    address = target.instance.address
    if not isinstance(address, FileAddress):
        raise CollectFailed(Reason.PATH_MISSING)
    path = Path(address.path)
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        os.scandir(path).close()  # may we list it?
    elif not stat.S_ISREG(mode):
        raise CollectFailed(Reason.PATH_MISSING)
    return _Files(path, guard)


def failure_of(error: BaseException) -> Failure | None:
    if isinstance(error, PermissionError) and isinstance(error.filename, str):
        return Failure.of(Reason.PERMISSION_DENIED, cure=opening([Path(error.filename)]))
    for kind, reason in REASONS.items():
        if isinstance(error, kind):
            return Failure.of(reason)
    if isinstance(error, OSError) and error.errno in NO_SUCH_PATH:
        return Failure.of(Reason.PATH_MISSING)
    return None


ENGINE: Final = Engine(open_files, (OSError, ValueError), failure_of, CAPABILITIES, grants)
