"""The rules of an instance's fields."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import ENGINES, NOON

from capacity_core.errors import InvalidInputError
from capacity_core.instances import (
    InstanceFields,
    changed_instance,
    engine_for,
    fields_of,
    new_instance,
)
from capacity_core.model import EngineFacts, FileAddress, Level, NetworkAddress, Tls

pytestmark = pytest.mark.unit

GOOD = InstanceFields(name="shop", db_type="pg", host="db.example.org")
FILES = InstanceFields(name="files", db_type="sqlite", path="/srv/files")


def test_a_good_instance_gets_its_engines_name_and_port() -> None:
    instance = new_instance(GOOD, ENGINES, NOON)
    assert instance.db_type == "postgresql"
    assert instance.address == NetworkAddress("db.example.org", 5432)


def test_an_engine_of_files_takes_a_path() -> None:
    assert new_instance(FILES, ENGINES, NOON).address == FileAddress("/srv/files")


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "10.0.0.1"},
        {"host": "::1"},
        {"host": "under_score.host"},
        {"host": "数据库.example"},
        {"host": "h."},
        {"port": 1},
        {"port": 65535},
        {"timezone": "Asia/Shanghai"},
        {"password_ref": "env:CAPACITY_SECRET_SHOP"},
        {"password_ref": "file:shop.pw"},
        {"name": "1a"},
        {"name": "n" * 255},
        {"username": ""},
        {"database_name": "ORCL.example.org"},
        {"tls": Tls("prefer", None, "/c", "/k")},
        {"tls": Tls("verify-full", "/ca", "/c", "/k")},
    ],
)
def test_values_that_are_fine(changes: dict[str, object]) -> None:
    fields = evolve(GOOD, **changes)  # type: ignore[arg-type]  # a table of fields
    instance = new_instance(fields, ENGINES, NOON)
    assert fields_of(instance) == evolve(fields, db_type="postgresql", port=fields.port or 5432)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "n" * 256}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": "123"}, "name"),
        ({"username": "u" * 256}, "username"),
        ({"database_name": " "}, "database_name"),
        ({"description": "d" * 2001}, "description"),
        ({"db_type": "mongodb"}, "db_type"),
        ({"host": None}, "host"),
        ({"host": ""}, "host"),
        ({"host": "/var/run/postgresql"}, "host"),
        ({"host": "@socket"}, "host"),
        ({"host": "a b"}, "host"),
        ({"host": "a,b"}, "host"),
        ({"host": "a\n"}, "host"),
        ({"host": "fe80::1%eth0"}, "host"),
        ({"host": "-a"}, "host"),
        ({"host": "h" * 254}, "host"),
        ({"port": 0}, "port"),
        ({"port": 70_000}, "port"),
        ({"path": "/x"}, "path"),
        ({"tls": Tls(ca="/a\0b")}, "tls.ca"),
        ({"tls": Tls(ca="ca.pem")}, "tls.ca"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"timezone": "America"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"password_ref": "plain"}, "password_ref"),
        ({"password_ref": "env:HOME"}, "password_ref"),
        ({"password_ref": "env:CAPACITY_SECRET_KEY"}, "password_ref"),
        ({"password_ref": "file:../x"}, "password_ref"),
        ({"password_ref": "file:/etc/passwd"}, "password_ref"),
    ],
)
def test_values_that_break_a_rule_are_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        new_instance(evolve(GOOD, **changes), ENGINES, NOON)  # type: ignore[arg-type]  # likewise
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"host": "h"}, "host"),
        ({"port": 1}, "port"),
        ({"path": None}, "path"),
        ({"path": ""}, "path"),
        ({"path": "a\0b"}, "path"),
    ],
)
def test_an_engine_of_files_refuses_what_is_not_its(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        new_instance(evolve(FILES, **changes), ENGINES, NOON)  # type: ignore[arg-type]  # likewise
    assert caught.value.field == field


@pytest.mark.parametrize("alias", ["pg", "Postgres", " POSTGRESQL ", "Postgre-SQL", "post_gres"])
def test_aliases_are_understood_in_any_case(alias: str) -> None:
    assert engine_for(alias, ENGINES).db_type == "postgresql"


def test_a_changed_instance_stays_the_same_one() -> None:
    old = evolve(new_instance(GOOD, ENGINES, NOON), id=7)
    new = changed_instance(old, evolve(fields_of(old), host="other"), ENGINES, NOON)
    assert (new.id, new.address) == (7, NetworkAddress("other", 5432))


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_taken_or_refused_by_name(name: str, host: str) -> None:
    fields = evolve(GOOD, name=name, host=host)
    refused = None
    try:
        instance = new_instance(fields, ENGINES, NOON)
    except InvalidInputError as error:
        refused = error.field
    if refused is None:
        assert (instance.name, instance.address) == (name, NetworkAddress(host, 5432))
    assert refused in {None, "name", "host"}


@pytest.mark.parametrize("level", Level)
def test_an_engine_that_knows_tablespaces_may_have_them(level: Level) -> None:
    engines = {"oracle": EngineFacts("oracle", default_port=1521, levels=tuple(Level))}
    fields = InstanceFields(name="shop", db_type="oracle", host="db.example", level=level)
    instance = new_instance(fields, engines, NOON)
    assert instance.level is level
    assert fields_of(instance).level is level


def test_an_engine_without_tablespaces_refuses_them() -> None:
    with pytest.raises(InvalidInputError) as caught:
        new_instance(evolve(GOOD, level=Level.TABLESPACE), ENGINES, NOON)
    assert caught.value.field == "level"


@pytest.mark.parametrize(
    ("fields", "tls", "field"),
    [
        (GOOD, Tls("require", None, "/c"), "tls.key"),
        (GOOD, Tls("require", None, None, "/k"), "tls.cert"),
        (GOOD, Tls("require", None, "", "/k"), "tls.cert"),
        (GOOD, Tls("require", None, "/c\0", "/k"), "tls.cert"),
        (GOOD, Tls("require", None, "/c", "k" * 4097), "tls.key"),
        (GOOD, Tls("insecure", None, "/c", "/k"), "tls.mode"),
        (GOOD, Tls("require", None, "c.pem", "/k"), "tls.cert"),
        (GOOD, Tls("require", None, "/c", "./k"), "tls.key"),
        (FILES, Tls("prefer", None, "/c", "/k"), "tls.cert"),
        (FILES, Tls("prefer", None, None, "/k"), "tls.key"),
    ],
)
def test_a_client_certificate_comes_with_its_key_and_a_mode_that_shows_it(
    fields: InstanceFields, tls: Tls, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        new_instance(evolve(fields, tls=tls), ENGINES, NOON)
    assert caught.value.field == field


def test_a_path_is_kept_in_its_plainest_spelling() -> None:
    found = new_instance(evolve(FILES, path="/srv/a/.././files/"), ENGINES, NOON)
    assert found.address == FileAddress("/srv/files")
