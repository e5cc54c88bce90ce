"""H2 in memory, in its Oracle or SQL Server mode: it runs our catalogue queries on seeded tables.

It proves joins, grouping, units and the handling of NULL; not the columns that the real catalogue
has, nor their types. What it lacks (DB_NAME, SERVERPROPERTY...) can be told as Java in one line.
"""

import faulthandler
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal, Self

import jpype
from attrs import frozen

Mode = Literal["Oracle", "MSSQLServer"]
Values = Mapping[str, object] | Sequence[object] | None

JAR: Final = Path("/usr/share/java/h2.jar")
_SETTINGS: Mapping[Mode, str] = {
    "Oracle": "",
    "MSSQLServer": ";DATABASE_TO_UPPER=FALSE;CASE_INSENSITIVE_IDENTIFIERS=TRUE",
}
# Quoted things and comments are passed over; what is left of a value is its name.
_NAMED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|::|:([A-Za-z_]\w*)", re.DOTALL)
_PLACED = re.compile(r"%(%|s)")
_NUMBERS = count(1)


class H2Error(Exception):
    """The statement failed; `code` is H2's own number, not that of any other engine."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@frozen
class H2:
    """An open database. It ends with the connection."""

    connection: Any

    def execute(self, statement: str) -> None:
        """Run a statement that prepares the ground. Raises H2Error."""
        with _errors(), _closing(self.connection.createStatement()) as it:
            it.execute(statement)

    def table(self, name: str, columns: str, rows: Iterable[Sequence[object]] = ()) -> Self:
        """Make a table, named as the query names it (`sys.databases`, `v$pdbs`), and fill it.

        A schema in front of the name is made, too.
        """
        schema, dot, _ = name.rpartition(".")
        if dot:
            self.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        self.execute(f"CREATE TABLE {name} ({columns})")
        for row in rows:
            blanks = ", ".join("?" * len(row))
            insert = f"INSERT INTO {name} VALUES ({blanks})"  # noqa: S608 -- the tests' own names
            with _errors(), self._prepared(insert, row) as it:
                it.execute()
        return self

    def function(self, name: str, java: str) -> Self:
        """Add a function: `java` is a static method, such as `String f(int id) { return "x"; }`."""
        self.execute(f"CREATE ALIAS {name} AS $$ {java} $$")
        return self

    def ask(self, question: str, values: Values = None) -> list[tuple[Any, ...]]:
        """Run a query as a driver would: `:name` for a mapping, `%s` for a sequence.

        Raises H2Error, and KeyError or IndexError where a value is missing.
        """
        statement, placed = bound(question, values)
        with (
            _errors(),
            self._prepared(statement, placed) as it,
            _closing(it.executeQuery()) as rows,
        ):
            width = rows.getMetaData().getColumnCount()
            found = []
            while rows.next():
                found.append(tuple(_plain(rows.getObject(n + 1)) for n in range(width)))
            return found

    @contextmanager
    def _prepared(self, statement: str, values: Sequence[object]) -> Iterator[Any]:
        with _closing(self.connection.prepareStatement(statement)) as prepared:
            for place, value in enumerate(values, 1):
                prepared.setObject(place, _java(value))
            yield prepared


@contextmanager
def h2(mode: Mode, name: str = "") -> Iterator[H2]:
    """Lend an empty database. A three-part name works for the database of that `name` alone."""
    _start_java()
    unique = name or f"h2_{next(_NUMBERS)}"
    url = f"jdbc:h2:mem:{unique};MODE={mode}{_SETTINGS[mode]}"
    connection = jpype.JClass("org.h2.Driver")().connect(
        url, jpype.JClass("java.util.Properties")()
    )
    try:
        yield H2(connection)
    finally:
        connection.close()


def bound(question: str, values: Values) -> tuple[str, list[object]]:
    """Spell a driver's placeholders as JDBC does, and give the values in their order."""
    if values is None:
        return question, []
    placed: list[object] = []
    if isinstance(values, Mapping):

        def named(found: "re.Match[str]") -> str:
            if found[1] is None:
                return found[0]
            placed.append(values[found[1]])
            return "?"

        return _NAMED.sub(named, question), placed

    def in_order(found: "re.Match[str]") -> str:
        if found[1] == "%":
            return "%"
        placed.append(values[len(placed)])
        return "?"

    statement = _PLACED.sub(in_order, question)
    if len(placed) != len(values):
        raise IndexError("more values than places")
    return statement, placed


def _start_java() -> None:
    if jpype.isJVMStarted():
        return
    if not JAR.exists():
        raise RuntimeError(f"{JAR} is missing: run ./tests/dialects/install")
    faulthandler.disable()  # Java uses the signal of a bad address for itself
    jpype.startJVM("-Xmx128m", "-Djava.awt.headless=true", classpath=[str(JAR)])


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except jpype.JClass("java.sql.SQLException") as error:
        raise H2Error(error.getErrorCode(), str(error.getMessage())) from None


@contextmanager
def _closing(closable: Any) -> Iterator[Any]:
    try:
        yield closable
    finally:
        closable.close()


def _java(value: object) -> object:
    if isinstance(value, bool):
        return jpype.JBoolean(value)
    if isinstance(value, int | Decimal):
        return jpype.JClass("java.math.BigDecimal")(str(value))
    if isinstance(value, bytes):
        return jpype.JArray(jpype.JByte)(value)
    if isinstance(value, datetime):
        return jpype.JClass("java.sql.Timestamp").valueOf(str(value.replace(tzinfo=None)))
    return value


def _plain(value: Any) -> object:
    """Give what a driver would: no Java comes out."""
    convert = _PLAIN.get(type(value).__name__, str)
    return convert(value)


def _number(value: Any) -> int | Decimal:
    number = Decimal(str(value))
    return int(number) if number == number.to_integral_value() else number


_PLAIN: Mapping[str, Callable[[Any], object]] = {
    "NoneType": lambda _: None,
    "java.lang.Boolean": bool,
    "java.lang.Byte": int,
    "java.lang.Short": int,
    "java.lang.Integer": int,
    "java.lang.Long": int,
    "java.lang.Float": float,
    "java.lang.Double": float,
    "java.math.BigDecimal": _number,
    "java.sql.Timestamp": lambda value: datetime.fromisoformat(str(value)),
    "byte[]": bytes,
}
