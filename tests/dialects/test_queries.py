"""Every question of every engine parses in its dialect, reads only, and reads catalogues only.

A parser is no server: it takes some words of other dialects, too.
"""

import pkgutil
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.tokens import TokenType

import capacity_adapters.engines as engines_package

DIALECTS = {"postgresql": "postgres", "mysql": "mysql", "oracle": "oracle", "sqlserver": "tsql"}
VIEWS: Mapping[str, frozenset[str]] = {
    "postgresql": frozenset({"pg_catalog.pg_database", "pg_catalog.pg_roles"}),
    "mysql": frozenset(
        {
            "information_schema.schemata",
            "information_schema.tables",
            "information_schema.innodb_tablespaces",
            "information_schema.innodb_sys_tablespaces",
            "information_schema.innodb_tables",
            "information_schema.innodb_sys_tables",
            "information_schema.innodb_tablestats",
            "information_schema.innodb_sys_tablestats",
        }
    ),
    "oracle": frozenset(
        {
            "dual",
            "sys.v_$pdbs",
            "sys.dba_container_data",
            *(
                f"sys.{owner}_{view}"
                for owner in ("cdb", "dba")
                for view in (
                    "data_files",
                    "temp_files",
                    "tablespaces",
                    "tablespace_usage_metrics",
                )
            ),
        }
    ),
    "sqlserver": frozenset(
        {
            "sys.databases",
            "sys.master_files",
            "sys.database_files",
            "sys.resource_stats",
        }
    ),
}
# What the parser has no name of its own for; none of them changes anything.
FUNCTIONS: Mapping[str, frozenset[str]] = {
    "postgresql": frozenset({"has_database_privilege", "pg_has_role", "pg_database_size"}),
    "mysql": frozenset(),
    "oracle": frozenset({"rawtohex", "sys_context"}),
    "sqlserver": frozenset(
        {
            "db_name",
            "dm_io_virtual_file_stats",
            "fileproperty",
            "has_dbaccess",
            "has_perms_by_name",
            "serverproperty",
            "suser_sname",
        }
    ),
}
READING = (exp.Select, exp.Union, exp.Show)
CHANGING = (exp.DML, exp.DDL, exp.Into, exp.Lock, exp.Command, exp.Set, exp.Use)
# No parser takes a procedure; its words are looked at one by one.
PROCEDURES = {("sqlserver", "EACH_INSIDE")}
# They set our own session; nothing else may.
SESSIONS = {("sqlserver", "SESSION")}
# We print them, for an administrator to run.
CURES = {("mysql", "FIND_ACCOUNT")}
WRITING_WORDS = frozenset(
    [
        "INSERT",
        "UPDATE",
        "DELETE",
        "MERGE",
        "TRUNCATE",
        "CREATE",
        "ALTER",
        "DROP",
        "GRANT",
        "REVOKE",
        "DENY",
        "KILL",
        "BACKUP",
        "RESTORE",
        "DBCC",
        "SHUTDOWN",
        "RECONFIGURE",
        "INTO",
        "WRITETEXT",
        "UPDATETEXT",
    ]
)
_LOOKS_LIKE_SQL = re.compile(r"\s*(SELECT|WITH|SHOW GRANTS|DECLARE|EXEC|SET|BEGIN)\b")


def modules_of(engine: str) -> Iterator[ModuleType]:
    package = import_module(f"{engines_package.__name__}.{engine}")
    yield package
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield import_module(found.name)


def engines() -> list[str]:
    """Name the engines that ask in SQL: the packages."""
    return [found.name for found in pkgutil.iter_modules(engines_package.__path__) if found.ispkg]


def declared(engine: str) -> list[str]:
    found = (getattr(module, "QUERIES", ()) for module in modules_of(engine))
    return list(dict.fromkeys(query for queries in found for query in queries))


EVERY = [(engine, query) for engine in engines() for query in declared(engine)]


def ids(value: str) -> str:
    return " ".join(value.split())[:40]


@pytest.fixture(params=EVERY, ids=lambda pair: f"{pair[0]}: {ids(pair[1])}")
def asked(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Lend an engine's name and one of its questions."""
    pair: tuple[str, str] = request.param
    return pair


def parsed(engine: str, query: str) -> exp.Expression:
    (statement,) = sqlglot.parse(query.replace("%s", "NULL"), dialect=DIALECTS[engine])
    return statement


def test_every_engine_declares_its_questions() -> None:
    assert set(engines()) <= DIALECTS.keys()
    assert {engine for engine, _ in EVERY} == set(engines())


def test_a_question_parses_and_reads_only(asked: tuple[str, str]) -> None:
    statement = parsed(*asked)
    assert isinstance(statement, READING)
    assert [node for node in statement.walk() if isinstance(node, CHANGING)] == []


def test_a_question_reads_catalogues_only(asked: tuple[str, str]) -> None:
    engine, query = asked
    tables = [table for table in parsed(engine, query).find_all(exp.Table) if table.name]
    assert {table.catalog for table in tables} <= {""}
    read = {".".join(filter(None, (table.db, table.name))).lower() for table in tables}
    assert read <= VIEWS[engine]


def test_a_question_calls_what_changes_nothing(asked: tuple[str, str]) -> None:
    engine, query = asked
    called = {node.name.lower() for node in parsed(engine, query).find_all(exp.Anonymous)}
    assert called <= FUNCTIONS[engine]


@pytest.mark.parametrize("engine", engines())
def test_no_question_is_left_undeclared(engine: str) -> None:
    texts = {
        name: value
        for module in modules_of(engine)
        for name, value in vars(module).items()
        if isinstance(value, str) and not name.startswith("_") and _LOOKS_LIKE_SQL.match(value)
    }
    known = set(declared(engine))
    undeclared = {(engine, name) for name, value in texts.items() if value not in known}
    assert undeclared <= PROCEDURES | SESSIONS | CURES


@pytest.mark.parametrize(("engine", "name"), sorted(PROCEDURES))
def test_a_procedure_has_no_word_that_writes(engine: str, name: str) -> None:
    (procedure,) = {getattr(module, name) for module in modules_of(engine) if hasattr(module, name)}
    words = _words(engine, procedure)
    # A FETCH puts a row into a variable, which is no table.
    assert not {word for word, following in words if not (word == "INTO" and following == "@")} & (
        WRITING_WORDS
    )


def _words(engine: str, text: str) -> list[tuple[str, str]]:
    """Tell each word, those inside quotes too, and what follows it."""
    tokens = sqlglot.tokenize(text, dialect=DIALECTS[engine])
    quoted = {TokenType.STRING, TokenType.NATIONAL_STRING}
    following = [token.text for token in tokens[1:]] + [""]
    words: list[tuple[str, str]] = []
    for token, after in zip(tokens, following, strict=True):
        if token.token_type in quoted:
            words += _words(engine, token.text)
        else:
            words.append((token.text.upper(), after[:1]))
    return words


@pytest.mark.parametrize(
    "planted",
    [
        "DELETE FROM pg_catalog.pg_database",
        "SELECT * INTO x FROM pg_catalog.pg_database",
        "WITH gone AS (DELETE FROM pg_catalog.pg_database RETURNING 1) SELECT * FROM gone",
        "SELECT oid FROM pg_catalog.pg_database FOR UPDATE",
    ],
)
def test_the_check_sees_what_writes(planted: str) -> None:
    with pytest.raises(AssertionError):
        test_a_question_parses_and_reads_only(("postgresql", planted))


def test_the_check_sees_what_is_no_catalogue() -> None:
    for planted in ("SELECT * FROM customers", "SELECT * FROM pg_catalog.pg_authid"):
        with pytest.raises(AssertionError):
            test_a_question_reads_catalogues_only(("postgresql", planted))
    with pytest.raises(AssertionError):
        test_a_question_calls_what_changes_nothing(("postgresql", "SELECT pg_terminate_backend(1)"))
