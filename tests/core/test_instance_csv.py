"""A file of instances, read: which lines it has, what they say, and what is wrong with them."""

import csv
import io
from collections.abc import Mapping
from contextlib import suppress

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.builders import ENGINES, NOON

from capacity_core.errors import InvalidInputError
from capacity_core.filters import FilterRules
from capacity_core.instance_csv import (
    COLUMNS,
    Line,
    LineError,
    column_of,
    differing,
    fields_in,
    read_csv,
)
from capacity_core.instances import SEALED, InstanceFields, fields_of, new_instance
from capacity_core.messages import Language, render
from capacity_core.model import Level, Tls, TlsMode

pytestmark = pytest.mark.unit

HEADER = "name,db_type,host"
SHOP = InstanceFields(name="shop", db_type="postgresql", host="db.example.org")


def lines(content: str | bytes) -> list[tuple[int, list[str]]]:
    raw = content if isinstance(content, bytes) else content.encode()
    read = list(read_csv(raw))
    assert [each for each in read if not isinstance(each, Line)] == []
    return [(each.number, list(each.cells.values())) for each in read if isinstance(each, Line)]


def errors(content: str | bytes) -> list[tuple[int, str | None, str]]:
    """Tell the line, the column and the key of each error."""
    raw = content if isinstance(content, bytes) else content.encode()
    found = [each for each in read_csv(raw) if isinstance(each, LineError)]
    assert all("{" not in render(each.message, Language.EN) for each in found)
    return [(each.line, each.field, each.message.key) for each in found]


def the_line(content: str) -> Line:
    [line] = read_csv(content.encode())
    assert isinstance(line, Line)
    return line


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\na,pg,h\n\nb,pg,h",
        f"\ufeff{HEADER}\r\na,pg,h\r\n\r\nb,pg,h\r\n",
        f"{HEADER}\ra,pg,h\r\rb,pg,h\r",
        "name;db_type;host\na;pg;h\n;;\nb;pg;h\n",
        'name\tdb_type\thost\na\tpg\th\n \t\t\n"b"\tpg\th\n',
        " Name , DB_TYPE,host\na,pg,h\n  ,,\nb,pg,h\n",
    ],
    ids=["plain", "Excel", "old Mac", "semicolons", "tabs", "by hand"],
)
def test_a_file_has_lines_whoever_wrote_it(content: str) -> None:
    assert lines(content) == [(2, ["a", "pg", "h"]), (4, ["b", "pg", "h"])]
    assert the_line(f"{content.splitlines()[0]}\n{content.splitlines()[1]}").cells.keys() == {
        "name",
        "db_type",
        "host",
    }


def test_a_line_has_the_number_of_the_line_it_begins_on() -> None:
    content = f'\n{HEADER}\n"two\nlines",pg,h\n"three\r\n\r\nlines",pg,h\nlast,pg,"a ""b"""\n'
    assert lines(content) == [
        (3, ["two\nlines", "pg", "h"]),
        (5, ["three\r\n\r\nlines", "pg", "h"]),
        (8, ["last", "pg", 'a "b"']),
    ]


def test_other_line_ends_of_unicode_are_text() -> None:
    assert lines(f"{HEADER}\na\u2028b\x0b\x85,pg,h\nc,pg,h\n") == [
        (2, ["a\u2028b\x0b\x85", "pg", "h"]),
        (3, ["c", "pg", "h"]),
    ]


def test_a_header_alone_is_a_file_of_nothing() -> None:
    assert lines(HEADER) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", [(1, None, "import.empty")]),
        ("\ufeff", [(1, None, "import.empty")]),
        (" \n\n,,\n", [(1, None, "import.empty")]),
        (f"{HEADER}\nok,pg,h\nx\xe9,pg,h".encode("latin-1"), [(3, None, "import.encoding")]),
        (f"{HEADER}\na,pg,h".encode("utf-16"), [(1, None, "import.encoding")]),
        (f"{HEADER}\na,pg,h".encode("utf-16-le"), [(1, None, "import.nul")]),
        (f"{HEADER}\nok,pg,h\n\0,pg,h\n", [(3, None, "import.nul")]),
        (f"{HEADER}\r\r\nok,pg,h\r,pg,h\0\r", [(4, None, "import.nul")]),
        ('"name,db_type', [(1, None, "import.quotes")]),
        ("name,host\na,h\n", [(1, "db_type", "import.column_missing")]),
        (
            "host,port,Port,colour\n",
            [
                (1, "port", "import.column_twice"),
                (1, "colour", "import.column_unknown"),
                (1, "name", "import.column_missing"),
                (1, "db_type", "import.column_missing"),
            ],
        ),
        (f"{HEADER},Password\na,pg,h,secret\n", [(1, "password", "import.password")]),
        (f"{HEADER},\na,pg,h,\n", [(1, "", "import.column_unknown")]),
        (f"{HEADER},{'x' * 1000}\n", [(1, "x" * 1000, "import.column_unknown")]),
    ],
)
def test_a_file_that_is_none_is_told_at_once(
    content: str | bytes, expected: list[tuple[int, str | None, str]]
) -> None:
    assert errors(content) == expected
    raw = content if isinstance(content, bytes) else content.encode()
    assert len(list(read_csv(raw))) == len(expected)


def test_every_faulty_line_is_told_and_the_others_read() -> None:
    content = f'{HEADER}\na,pg\nb,pg,h\n"c"d,pg,h\ne,pg,h,5432\nf,pg,h\n"open,pg,h\ng,pg,h\n'
    assert errors(content) == [
        (2, None, "import.cells"),
        (4, None, "import.quotes"),
        (5, None, "import.cells"),
        (7, None, "import.quotes"),
    ]
    read = [each for each in read_csv(content.encode()) if isinstance(each, Line)]
    assert [(each.number, each.cells["name"]) for each in read] == [(3, "b"), (6, "f")]


def test_a_cell_is_not_longer_than_the_reader_allows() -> None:
    long = "x" * (csv.field_size_limit() + 1)
    assert errors(f"{HEADER}\n{long},pg,h\nb,pg,h\n") == [(2, None, "import.quotes")]


def test_an_unknown_column_is_shown_in_brief() -> None:
    [error] = read_csv(f"{HEADER},{'x' * 1000}".encode())
    assert isinstance(error, LineError)
    assert len(render(error.message, Language.EN)) < 400


FULL = {
    "name": "shop",
    "db_type": "pg",
    "host": "db.example.org",
    "port": " 5433 ",
    "username": "o'reader",
    "database_name": "main",
    "level": "Tablespace",
    "password_ref": "env:CAPACITY_SECRET_X",
    "tls_mode": " Verify-CA",
    "tls_ca": "/etc/ca.pem",
    "tls_cert": "/etc/c.pem",
    "tls_key": "/etc/k.pem",
    "timezone": "Asia/Shanghai",
    "exclude": r"tmp_*; a\*b;; x\;y;",
    "include": "订*",
    "ignore_case": "TRUE",
    "tags": "prod; eu",
    "zone": "dmz",
    "description": "two\nlines; and\\more",
    "is_active": "no",
}


def test_every_field_can_be_said() -> None:
    assert {*FULL, "path"} == COLUMNS.keys()
    assert fields_in(FULL) == InstanceFields(
        name="shop",
        db_type="pg",
        host="db.example.org",
        port=5433,
        username="o'reader",
        database_name="main",
        level=Level.TABLESPACE,
        password_ref="env:CAPACITY_SECRET_X",
        tls=Tls(TlsMode.VERIFY_CA, "/etc/ca.pem", "/etc/c.pem", "/etc/k.pem"),
        timezone="Asia/Shanghai",
        filters=FilterRules(("tmp_*", r"a\*b", "x;y"), ("订*",), ignore_case=True),
        description="two\nlines; and\\more",
        tags=("eu", "prod"),
        zone="dmz",
        is_active=False,
    )
    files = {"name": "f", "db_type": "sqlite", "path": "/srv/a;b"}
    assert fields_in(files) == InstanceFields(name="f", db_type="sqlite", path="/srv/a;b")


def test_an_empty_cell_says_nothing() -> None:
    said = {**dict.fromkeys(COLUMNS, ""), "name": "a", "db_type": "pg"}
    assert fields_in(said) == InstanceFields(name="a", db_type="pg")


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("name", ""),
        ("db_type", ""),
        ("port", "high"),
        ("port", "5_432"),
        ("port", "-1"),
        ("port", "123456"),
        ("port", "５４３２"),
        ("path", "files/shop.db"),
        ("level", "schema"),
        ("tls_mode", "on"),
        ("ignore_case", "maybe"),
        ("is_active", "2"),
        ("password_ref", SEALED),
        ("exclude", "x" * 256),
        ("exclude", "ends in\\"),
        ("include", ";".join("x" * 201)),
    ],
)
def test_a_cell_that_cannot_be_read_names_its_column(column: str, cell: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        fields_in({"name": "a", "db_type": "pg", column: cell})
    assert column_of(refused.value.field) == column
    assert "{" not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "column"), [("tls.ca", "tls_ca"), ("filters.exclude", "exclude"), ("host", "host")]
)
def test_a_field_is_named_by_its_column(field: str, column: str) -> None:
    assert column_of(field) == column


def test_a_line_differs_in_what_it_says_only() -> None:
    kept = evolve(SHOP, port=5432, description="edited since", filters=FilterRules(("a",)))
    assert differing(["db_type", "host", "port"], kept, evolve(SHOP, port=5432)) == []
    columns = list(COLUMNS)
    assert differing(columns, kept, evolve(SHOP, tls=Tls(ca="/ca"))) == [
        "port",
        "tls_ca",
        "exclude",
        "description",
    ]


def test_a_password_given_since_is_no_difference() -> None:
    sealed = evolve(SHOP, password_ref=SEALED)
    assert differing(["password_ref", "host"], sealed, SHOP) == []
    other = evolve(SHOP, password_ref="env:CAPACITY_SECRET_X")
    assert differing(["password_ref", "host"], sealed, other) == ["password_ref"]
    assert differing(["password_ref", "host"], other, SHOP) == ["password_ref"]


def exported(fields: InstanceFields, delimiter: str) -> bytes:
    """Write what `fields_in` reads."""
    values: Mapping[str, object] = {
        **{name: getattr(fields, name, None) for name in COLUMNS},
        **{f"tls_{name}": getattr(fields.tls, name) for name in ("mode", "ca", "cert", "key")},
        **{name: items(getattr(fields.filters, name)) for name in ("exclude", "include")},
        "ignore_case": fields.filters.ignore_case,
        "tags": items(fields.tags),
    }
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([values.keys(), values.values()])
    return out.getvalue().encode()


def items(values: tuple[str, ...]) -> str:
    return ";".join(value.replace(";", r"\;") for value in values)


anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
words = anything.filter(str.strip)
rules = words.filter(
    lambda rule: rule == rule.strip() and r"\;" not in rule and not rule.endswith("\\")
)
ruled = st.lists(rules, max_size=3).map(tuple)
labels = st.from_regex(r"\w[\w.:/-]{0,10}", fullmatch=True)
instance_fields = st.builds(
    InstanceFields,
    name=words.filter(lambda name: not name.isdecimal()),
    db_type=st.just("postgresql"),
    host=st.sampled_from(["db.example.org", "::1", "数据库.example"]),
    port=st.integers(1, 65_535),
    username=st.just("") | words,
    database_name=st.none() | words,
    password_ref=st.sampled_from([None, "env:CAPACITY_SECRET_X", "file:x.pw"]),
    tls=st.builds(Tls, st.sampled_from(TlsMode), st.none() | words.map("/".__add__)),
    timezone=st.sampled_from([None, "Asia/Shanghai"]),
    filters=st.builds(FilterRules, ruled, ruled, ignore_case=st.booleans()),
    description=st.just("") | words.map("=1+".__add__) | words,
    tags=st.lists(labels, max_size=3).map(tuple),
    zone=labels,
    is_active=st.booleans(),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(instance_fields, st.sampled_from(",;\t"))
def test_what_is_said_of_an_instance_comes_back_from_a_file(
    fields: InstanceFields, delimiter: str
) -> None:
    kept = fields_of(new_instance(fields, ENGINES, NOON))
    [line] = read_csv(exported(kept, delimiter))
    assert isinstance(line, Line)
    assert fields_in(line.cells) == kept
    assert differing(list(line.cells), kept, fields_in(line.cells)) == []


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text('nameb_typdo,;\t"\r\n\0x', max_size=60).map(str.encode))
def test_no_file_makes_it_fail(raw: bytes) -> None:
    for prefix in (b"", b"name,db_type\n", b"name;db_type;exclude\r\n"):
        for each in read_csv(prefix + raw):
            if isinstance(each, LineError):
                assert each.line >= 1
                continue
            assert each.number > 1
            with suppress(InvalidInputError):
                fields_in(each.cells)
