"""Input that breaks a rule is refused by name, and nothing of it is kept."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.http.service import Service

from capacity_http.plugin import MAX_BODY_BYTES

pytestmark = pytest.mark.unit

GOOD: dict[str, Any] = {"name": "n", "db_type": "postgresql", "host": "db.example"}

FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("nickname", {"nickname": "x"}),
    ("id", {"id": 1}),
    ("name", {"name": None}),
    ("name", {"name": 7}),
    ("name", {"name": ""}),
    ("name", {"name": "  "}),
    ("name", {"name": "x" * 256}),
    ("name", {"name": "a\0b"}),
    ("name", {"name": "12345"}),
    ("db_type", {"db_type": "dbase"}),
    ("db_type", {"db_type": ""}),
    ("db_type", {"db_type": ["postgresql"]}),
    ("port", {"port": 0}),
    ("port", {"port": -1}),
    ("port", {"port": 70000}),
    ("port", {"port": 10**30}),
    ("port", {"port": True}),
    ("port", {"port": "5432"}),
    ("port", {"port": 1.5}),
    ("port", {"port": 5432.0}),
    ("host", {"host": "/var/run/postgresql"}),
    ("host", {"host": "@abstract"}),
    ("host", {"host": "db example"}),
    ("host", {"host": " db"}),
    ("host", {"host": ""}),
    ("host", {"host": None}),
    ("host", {"host": "db\0"}),
    ("host", {"host": "host=evil port=1"}),
    ("host", {"host": "fe80::1%eth0"}),
    ("path", {"path": "/data/x"}),
    ("username", {"username": None}),
    ("username", {"username": "u\0"}),
    ("database_name", {"database_name": "x" * 256}),
    ("description", {"description": "x" * 2001}),
    ("level", {"level": "schema"}),
    ("level", {"level": None}),
    ("level", {"level": "tablespace"}),  # PostgreSQL's are shared by databases
    ("is_active", {"is_active": "yes"}),
    ("is_active", {"is_active": 1}),
    ("timezone", {"timezone": "Mars/Olympus"}),
    ("timezone", {"timezone": "../../etc/passwd"}),
    ("timezone", {"timezone": ""}),
    ("password", {"password": 7}),
    ("password", {"password": "p", "password_ref": "env:CAPACITY_SECRET_A"}),
    ("password_ref", {"password_ref": "env:HOME"}),
    ("password_ref", {"password_ref": "file:../x"}),
    ("password_ref", {"password_ref": "sealed"}),
    ("password_ref", {"password_ref": "hunter2"}),
    ("filters", {"filters": None}),
    ("filters.exclude", {"filters": {"exclude": "tmp"}}),
    ("filters.exclude[1]", {"filters": {"exclude": ["tmp", ""]}}),
    ("filters.exclude[1]", {"filters": {"exclude": ["tmp", 5]}}),
    ("filters.include[0]", {"filters": {"include": ["a\0"]}}),
    ("filters.include[0]", {"filters": {"include": ["a\\"]}}),
    ("filters.exclude", {"filters": {"exclude": ["x"] * 201}}),
    ("filters.ignore_case", {"filters": {"ignore_case": 1}}),
    ("filters.only", {"filters": {"only": []}}),
    ("a`b - at `$.c", {"a`b - at `$.c": 1}),
    ("tls", {"tls": "require"}),
    ("tls.mode", {"tls": {}}),
    ("tls.mode", {"tls": {"mode": "tls1.3"}}),
    ("tls.secret", {"tls": {"mode": "require", "secret": "k"}}),
    ("tls.ca", {"tls": {"mode": "verify-ca", "ca": ""}}),
    ("tls.ca", {"tls": {"mode": "verify-ca", "ca": "/a\0b"}}),
    ("tls.ca", {"tls": {"mode": "verify-ca", "ca": "ca.pem"}}),
    ("tls.cert", {"tls": {"mode": "require", "cert": "../c", "key": "/k"}}),
    ("tls.key", {"tls": {"mode": "require", "cert": "/c", "key": "k"}}),
    ("tls.cert", {"tls": {"mode": "require", "cert": "", "key": "/k"}}),
    ("tls.key", {"tls": {"mode": "require", "cert": "/c", "key": "/k\0"}}),
    ("tls.key", {"tls": {"mode": "require", "cert": "/c"}}),
    ("tls.cert", {"tls": {"mode": "verify-full", "key": "/k"}}),
    ("tls.mode", {"tls": {"mode": "insecure", "cert": "/c", "key": "/k"}}),
]
BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"name": "\xff"}',
    b'{"name": "\\ud800"}',
    b'{"name": "x", "db_type": "pg"} {}',
    b"{'name': 'x'}",
    b'{"name": NaN}',
    b"[" * 100_000,
]


def refused(answer: Any, status: int, field: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["message_code"]) == (status, "VALIDATION_ERROR"), body
    assert (body["category"], body["severity"], body["recoverable"]) == ("validation", "low", True)
    assert body["extra"] == {"field": field}
    assert body["message"]


@pytest.mark.parametrize(("field", "wrong"), FIELDS, ids=str)
def test_a_new_instance_with_a_wrong_field_is_refused(
    service: Service, field: str, wrong: dict[str, Any]
) -> None:
    refused(service.call("POST", "/instances", json={**GOOD, **wrong}), 400, field)
    assert service.names() == []


@pytest.mark.parametrize(("field", "wrong"), FIELDS, ids=str)
def test_a_change_with_a_wrong_field_is_refused(
    service: Service, field: str, wrong: dict[str, Any]
) -> None:
    added = service.call("POST", "/instances", json=GOOD).json()["data"]["instance"]
    path = f"/instances/{added['id']}"
    before = service.call("GET", path).json()["data"]
    refused(service.call("PATCH", path, json=wrong), 400, field)
    assert service.call("GET", path).json()["data"] == before


@pytest.mark.parametrize("missing", ["name", "db_type", "host"])
def test_what_a_new_instance_needs_is_asked_for(service: Service, missing: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != missing}
    refused(service.call("POST", "/instances", json=body), 400, missing)


@pytest.mark.parametrize("content", BODIES, ids=lambda content: repr(content[:12]))
def test_a_body_that_is_no_json_object_is_refused(service: Service, content: bytes) -> None:
    refused(service.call("POST", "/instances", content=content), 400, "body")
    assert service.names() == []


def chunks(size: int) -> Iterator[bytes]:
    yield b'{"name": "'
    for _ in range(size // 65_536):
        yield b"x" * 65_536
    yield b'"}'


def test_a_body_of_more_than_a_mebibyte_is_too_large(service: Service) -> None:
    too_large = b" " * (MAX_BODY_BYTES + 1)
    refused(service.call("POST", "/instances", content=too_large), 413, "body")
    refused(service.call("POST", "/instances", content=chunks(2 * MAX_BODY_BYTES)), 413, "body")
    refused(service.call("PATCH", f"/instances/{service.add()}", content=too_large), 413, "body")
    just_right = b"{}" + b" " * (MAX_BODY_BYTES - 2)
    refused(service.call("POST", "/instances", content=just_right), 400, "name")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"),
        ("page=x", "page"),
        ("page=1.5", "page"),
        ("page=", "page"),
        ("page=99999999999999999999", "page"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=true", "limit"),
    ],
)
def test_a_wrong_page_is_refused(service: Service, query: str, field: str) -> None:
    for path in ("/instances", f"/instances/{service.add()}/databases"):
        refused(service.call("GET", f"{path}?{query}"), 400, field)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "database_name"),
        ("database_name=", "database_name"),
        ("database_name=a%00b", "database_name"),
        ("database_name=" + "x" * 256, "database_name"),
        ("database_name=a&start_date=yesterday", "start_date"),
        ("database_name=a&start_date=2026-02-30", "start_date"),
        ("database_name=a&end_date=2026-01-01T00:00:00", "end_date"),
        ("database_name=a&limit=500", "limit"),
    ],
)
def test_a_wrong_question_for_a_history_is_refused(
    service: Service, query: str, field: str
) -> None:
    refused(service.call("GET", f"/instances/{service.add()}/sizes?{query}"), 400, field)


def test_a_path_outside_what_the_service_may_read_is_refused(service: Service) -> None:
    body = {"name": "n", "db_type": "sqlite", "path": "/etc"}
    refused(service.call("POST", "/instances", json=body), 400, "path")
    inside = service.call("POST", "/instances", json={**body, "path": "/data/x"})
    assert inside.status_code == 201
    path = f"/instances/{inside.json()['data']['instance']['id']}"
    refused(service.call("PATCH", path, json={"path": "/etc"}), 400, "path")
    refused(service.call("PATCH", path, json={"host": "h"}), 400, "host")
