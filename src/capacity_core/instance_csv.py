"""Instances as CSV: the first line names the columns, each other one says an instance."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

from capacity_core.errors import InvalidInputError
from capacity_core.filters import FilterRules
from capacity_core.instances import SEALED, InstanceFields
from capacity_core.messages import Text, text
from capacity_core.model import Level, Tls, TlsMode

_DELIMITERS: Final = ",;\t"
_SHOWN: Final = 40
_REQUIRED: Final = ("name", "db_type")
_OF_TLS: Final = ("tls_mode", "tls_ca", "tls_cert", "tls_key")
_OF_FILTERS: Final = ("exclude", "include", "ignore_case")
_BOOLEANS: Final = MappingProxyType(
    {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
)
_PORT: Final = re.compile(r"\s*\d{1,5}\s*", re.ASCII)
_ITEM: Final = re.compile(r"(?:\\.|[^;\\]|\\\Z)+", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(?:(;)|.)", re.DOTALL)


@frozen
class LineError:
    """What is wrong with a line (the first is 1), and in which column if it is one's fault."""

    line: int
    field: str | None
    message: Text


@frozen
class Line:
    """The cells of an instance by column, and the number of the line that they begin on."""

    number: int
    cells: Mapping[str, str]


def read_csv(raw: bytes) -> Iterator[Line | LineError]:
    """Read UTF-8, with commas, semicolons or tabs between cells, as the first line has them.

    Lines without anything in them are left out. A header that is wrong ends it.
    """
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield LineError(_line_of(raw, error.start), None, text("import.encoding"))
        return
    if b"\0" in raw:
        yield LineError(_line_of(raw, raw.index(b"\0")), None, text("import.nul"))
        return
    records = _records(content)
    number, header = next(records, (1, []))
    columns = None if header is None else [name.strip().lower() for name in header]
    wrong = list(_errors_of(number, columns))
    if columns is None or wrong:
        yield from wrong
        return
    for begun, cells in records:
        yield _line(begun, columns, cells)


def _line_of(raw: bytes, position: int) -> int:
    return len(raw[: position + 1].splitlines())


def _records(content: str) -> Iterator[tuple[int, list[str] | None]]:
    """Cut it into cells, with the line that each record begins on; None: its quotes are wrong."""
    first = next((line for line in io.StringIO(content) if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield number, None
        else:
            if any(map(str.strip, cells)):
                yield number, cells


def _errors_of(number: int, columns: Sequence[str] | None) -> Iterator[LineError]:
    if columns is None:
        yield _quotes(number)
        return
    if not columns:
        yield LineError(number, None, text("import.empty"))
        return
    seen: set[str] = set()
    for name in columns:
        if name in seen:
            yield LineError(number, name, text("import.column_twice", column=_brief(name)))
        elif name == "password":
            yield LineError(number, name, text("import.password"))
        elif name not in COLUMNS:
            said = text("import.column_unknown", column=_brief(name), known=", ".join(COLUMNS))
            yield LineError(number, name, said)
        seen.add(name)
    for name in _REQUIRED:
        if name not in seen:
            yield LineError(number, name, text("import.column_missing", column=name))


def _line(number: int, columns: Sequence[str], cells: list[str] | None) -> Line | LineError:
    if cells is None:
        return _quotes(number)
    if len(cells) != len(columns):
        said = text("import.cells", found=len(cells), wanted=len(columns))
        return LineError(number, None, said)
    return Line(number, dict(zip(columns, cells, strict=True)))


def _quotes(number: int) -> LineError:
    return LineError(number, None, text("import.quotes", most=csv.field_size_limit()))


def _brief(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else name[:_SHOWN] + "...")


def fields_in(cells: Mapping[str, str]) -> InstanceFields:
    """Read the cells of a line; an empty one says nothing. Raises InvalidInputError."""
    for name in _REQUIRED:
        if not cells[name]:
            raise InvalidInputError(name, text("field.required", field=name))
    said: dict[str, Any] = {name: COLUMNS[name](cell) for name, cell in cells.items() if cell}
    tls = {name.removeprefix("tls_"): said.pop(name) for name in _OF_TLS if name in said}
    rules = {name: said.pop(name) for name in _OF_FILTERS if name in said}
    return InstanceFields(**said, tls=Tls(**tls), filters=FilterRules(**rules))


def column_of(field: str) -> str:
    """Name the column of a field that an InvalidInputError names, such as filters.exclude[0]."""
    return field.replace("tls.", "tls_").removeprefix("filters.").partition("[")[0]


def differing(columns: Sequence[str], kept: InstanceFields, said: InstanceFields) -> list[str]:
    """Name the columns in which a line says something else than what is kept.

    A password kept in the store is no difference to a line that names none.
    """
    if said.password_ref is None and kept.password_ref == SEALED:
        columns = [name for name in columns if name != "password_ref"]
    return [name for name in columns if _in_column(name, kept) != _in_column(name, said)]


def _in_column(name: str, fields: InstanceFields) -> object:
    if name in _OF_TLS:
        return getattr(fields.tls, name.removeprefix("tls_"))
    return getattr(fields.filters if name in _OF_FILTERS else fields, name)


def _one_of(name: str, kind: type[Level | TlsMode], key: str) -> Callable[[str], object]:
    def parse(cell: str) -> object:
        try:
            return kind(cell.strip().lower())
        except ValueError:
            raise InvalidInputError(name, text(key, known=", ".join(kind))) from None

    return parse


def _boolean(name: str) -> Callable[[str], bool]:
    def parse(cell: str) -> bool:
        said = _BOOLEANS.get(cell.strip().lower())
        if said is None:
            raise InvalidInputError(name, text("import.boolean", field=name))
        return said

    return parse


def _port(cell: str) -> int:
    if not _PORT.fullmatch(cell):
        raise InvalidInputError("port", text("field.port"))
    return int(cell)


def _path(cell: str) -> str:
    if not PurePath(cell).is_absolute():
        raise InvalidInputError("path", text("field.absolute", field="path"))
    return cell


def _password_ref(cell: str) -> str:
    if cell == SEALED:  # the mark of a password in the store is ours to set
        raise InvalidInputError("password_ref", text("field.password_ref"))
    return cell


def _items(cell: str) -> tuple[str, ...]:
    r"""Split at semicolons; `\;` is one in an item."""
    parts = (found[0].strip() for found in _ITEM.finditer(cell))
    return tuple(_ESCAPED.sub(lambda pair: pair[1] or pair[0], part) for part in parts if part)


# What may be said of an instance, and how a cell that is not empty is read.
COLUMNS: Final[Mapping[str, Callable[[str], object]]] = MappingProxyType(
    {
        "name": str,
        "db_type": str,
        "host": str,
        "port": _port,
        "path": _path,
        "username": str,
        "database_name": str,
        "level": _one_of("level", Level, "field.level"),
        "password_ref": _password_ref,
        "tls_mode": _one_of("tls_mode", TlsMode, "field.tls"),
        "tls_ca": str,
        "tls_cert": str,
        "tls_key": str,
        "timezone": str,
        "exclude": _items,
        "include": _items,
        "ignore_case": _boolean("ignore_case"),
        "tags": _items,
        "zone": str,
        "description": str,
        "is_active": _boolean("is_active"),
    }
)
